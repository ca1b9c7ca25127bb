"""Which images of a folder are of which class, and on which side: as people have such folders.

A folder is a split only if it has class folders inside. Where there are none, tables of labels say
what is what; without one, the folder is refused. What had to be assumed is a remark.
"""

from collections.abc import Sequence
from pathlib import Path

from edgecv.data.class_folders import (
    WANTED,
    Sides,
    class_files,
    enter_wrappers,
    has_class_folders,
    is_table,
)
from edgecv.data.scan import (
    contents,
    endings,
    files_below,
    files_beside,
    has_images,
    image_files,
    refuse_unreadable,
    subfolders,
)
from edgecv.data.split_names import TRAINING, UNLABELED, VALIDATION, first_named, split_word
from edgecv.data.table_splits import find_tables, read_tables
from edgecv.data.tables import COLUMNS
from edgecv.data.unpack import check_folder
from edgecv.errors import DataError, be, plural

LABEL_FILES = (".csv", ".tsv", ".json", ".jsonl", ".xml", ".labels", ".parquet", ".xlsx")


def find_sides(root: Path) -> Sides:
    """The training and held-out sides of a folder, with remarks on what was assumed or left out.

    Raises DataError for a folder that says of no image what it shows.
    """
    with refuse_unreadable(root):
        check_folder(root, WANTED)
        base = enter_wrappers(root)
        sides = _stated(base) or _unstated(base)
    if base != root:
        sides.remarks.insert(0, f"{root}: its images are those of {base}")
    return sides


def _stated(base: Path) -> Sides | None:
    """The splits that have class folders inside; None where the folders are no splits."""
    folders = subfolders(base)
    nested = [folder for folder in folders if has_class_folders(folder)]
    training, held_out = first_named(nested, TRAINING), first_named(nested, VALIDATION)
    stated = [folder for folder in (training, held_out) if folder]
    if not stated or _are_classes(folders, nested, stated):
        return None
    if held_out is None:  # val/ is meant to be held out, whatever is wrong with it
        held_out = first_named(folders, [word for word in VALIDATION if word not in UNLABELED])
    sides = [class_files(folder) if folder else None for folder in (training, held_out)]
    first, second = (side.classes if side else None for side in sides)
    remarks = [remark for side in sides if side for remark in side.remarks]
    flat = [folder for folder in folders if folder not in nested]
    return Sides(first, second, held_out or stated[0], remarks + _unlabeled(flat))


def _are_classes(folders: Sequence[Path], nested: Sequence[Path], stated: Sequence[Path]) -> bool:
    """Whether folders named like splits are classes after all, by the folders beside them.

    `train` beside `bus`, both with folders inside, is a class; so is `train_station` beside `bus`.
    Beside `train` and `val`, or beside `seg_train` and `seg_test`, `seg_pred` is none.
    """
    others = [folder for folder in folders if not split_word(folder.name) and has_images(folder)]
    alike = any(folder in nested for folder in others)
    if all(folder.name.lower() == split_word(folder.name) for folder in stated):
        return alike and len(stated) < 2
    return alike or (bool(others) and len(stated) < 2)


def _unlabeled(folders: Sequence[Path]) -> list[str]:
    """A remark on the images of folders without class folders, such as a competition's test/."""
    counts = {folder: len(image_files(folder)) for folder in folders}
    return [
        f"{folder}: {plural(count, 'image')} in no class folder {be(count)} left out"
        for folder, count in counts.items()
        if count
    ]


def _unstated(base: Path) -> Sides:
    """One side of class folders; or the sides that tables of labels say, where they may."""
    folders = [folder for folder in subfolders(base) if has_images(folder)]
    plain = [folder for folder in folders if not split_word(folder.name)]
    tables = find_tables(base) if len(plain) < 2 or len(plain) < len(folders) else []
    if tables:
        return read_tables(base, tables)
    if folders and not plain:
        raise DataError(_flat(base, folders))
    if len(folders) < 2 and (words := _unread(base)):
        raise DataError(f"{base}: no class folders, found {contents(base)}; {words}")
    side = class_files(base)
    ignored = [
        f"{file}: not read; the folders beside it are the classes"
        for file in files_beside(base)
        if is_table(file)
    ]
    return Sides(side.classes, None, base, side.remarks + ignored)


def _flat(base: Path, folders: Sequence[Path]) -> str:
    """The message on folders that are all named like splits, without a class folder in any."""
    names = ", ".join(folder.name for folder in folders)
    return (
        f"{base}: {names}: named like splits, but their images are in no class folders;"
        f" {_unread(base) or f'make a folder for every class, or add a CSV file with {COLUMNS}'}"
    )


def _unread(base: Path) -> str:
    """Words on files that may hold labels, in a form that is not read; "" without any."""
    files = [file for file in files_below(base) if file.suffix.lower() in LABEL_FILES]
    if not files:
        return ""
    first = files[0].relative_to(base)
    return (
        f"labels are not read from {endings(files)} ({first}); make a folder for every class,"
        f" or a CSV file with {COLUMNS}"
    )
