"""Folders whose names are classes, and the images in them."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, TypeAlias

from edgecv.data.images import FORMATS
from edgecv.data.scan import (
    contents,
    files_below,
    files_beside,
    has_images,
    ignored_remark,
    is_image,
    subfolders,
)
from edgecv.data.split_names import split_word
from edgecv.data.unpack import unpack_command
from edgecv.errors import DataError, be, plural
from edgecv.tflite.label_file import normalize_name

WANTED = "a folder with two or more class folders of images is needed"
TABLES = (".csv", ".tsv")
MOST_WRAPPERS = 3  # folders around a data set, of which every one holds nothing but the next

Classes: TypeAlias = Mapping[str, Sequence[Path]]  # image files by class, in the order of the names


class Sides(NamedTuple):
    """The image files of both sides; a side that is not there is None."""

    training: Classes | None
    held_out: Classes | None
    where: Path  # the side held out, or the only one, for messages
    remarks: list[str]  # what was assumed, and what is left out


class Side(NamedTuple):
    """The image files of one side, and remarks on what else is there."""

    classes: Classes
    remarks: list[str]


def enter_wrappers(root: Path, splits: bool = False) -> Path:
    """The folder that holds the data, where `root` holds nothing else: an unpacked archive.

    A folder named like a split is looked through only where `splits` says so: within a split.
    """
    base = root
    for _ in range(MOST_WRAPPERS):
        inside = subfolders(base)
        if len(inside) != 1 or any(map(_is_data, files_beside(base))):
            break
        named = split_word(inside[0].name) and not splits
        if named or not (subfolders(inside[0]) or any(map(is_table, files_beside(inside[0])))):
            break
        base = inside[0]
    return base


def has_class_folders(folder: Path) -> bool:
    """Whether images are in two or more folders inside: what makes a folder a split."""
    inside = subfolders(enter_wrappers(folder, splits=True))
    return len(inside) > 1 and any(map(has_images, inside))


def class_files(folder: Path) -> Side:
    """The image files of every class folder. Raises DataError where those are no classes."""
    folder = enter_wrappers(folder, splits=True)
    folders = _class_folders(folder)
    files = {name: list(files_below(path)) for name, path in folders.items()}
    classes = {name: [file for file in files[name] if is_image(file)] for name in folders}
    for name, path in folders.items():
        if not classes[name]:
            raise DataError(
                f"{path}: no images, found {contents(path)}; {FORMATS} is read;"
                " add images, or remove the class folder"
            )
    others = [file for name in folders for file in files[name] if not is_image(file)]
    beside = [file for file in files_beside(folder) if is_image(file)]
    remarks = ignored_remark(folder, others)
    if beside:
        count = len(beside)
        remarks.append(
            f"{folder}: {plural(count, 'image')} in no class folder {be(count)} left out"
        )
    return Side(classes, remarks)


def _class_folders(folder: Path) -> dict[str, Path]:
    """The class folders by name, sorted. Raises DataError where there are fewer than two."""
    folders = sorted(
        subfolders(folder), key=lambda folder: (normalize_name(folder.name), folder.name)
    )
    if not folders:
        raise DataError(
            f"{folder}: no class folders, found {contents(folder)}; {WANTED}{_hint(folder)}"
        )
    for path in folders:
        if not path.name.isprintable():
            raise DataError(
                f"{folder}: the class folder {path.name!r} has a control character in its name,"
                " which a file of one label a line cannot hold; rename it"
            )
    if len(folders) == 1:
        raise DataError(f"{folder}: only one class, '{folders[0].name}'; {WANTED}")
    named = {normalize_name(path.name): path for path in folders}
    if len(named) < len(folders):
        copy = next(path for path in folders if path not in named.values())
        raise DataError(
            f"{folder}: two class folders are named '{copy.name}' but for their space or their"
            " form of Unicode; put their images into one"
        )
    return named


def _hint(folder: Path) -> str:
    """The command that unpacks the archive in a folder, if there is one."""
    commands = [unpack_command(file) for file in files_beside(folder)]
    command = next(filter(None, commands), "")
    return f"; unpack the archive in it: {command}" if command else ""


def is_table(file: Path) -> bool:
    """Whether a file's ending is that of a table of labels."""
    return file.suffix.lower() in TABLES


def _is_data(file: Path) -> bool:
    return is_image(file) or is_table(file)
