"""The images that tables of labels name: found below the data's folder, and nowhere else."""

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from edgecv.data.class_folders import Classes, Sides, is_table
from edgecv.data.scan import NAMED, files_below, ignored_remark, is_image
from edgecv.data.split_names import TRAINING, VALIDATION, split_word
from edgecv.data.tables import Row, Table, read_table
from edgecv.errors import DataError, be, plural
from edgecv.tflite.label_file import normalize_name

DEEPEST = 3  # folders below the data's: root/annotations/train/labels.csv
NOT_LABELS = re.compile("sample|submission", re.IGNORECASE)  # Kaggle's form of an answer
MOST_MISSING = 0.05  # share of rows whose file is not there: more is another data set's table
LONGEST = 80  # characters of a cell in a message
DRIVE = re.compile(r"^[A-Za-z]:")


class NamedFile(NamedTuple):
    """A row's file, where it was found."""

    file: Path
    labels: tuple[str, ...]
    split: str  # a word of split_names, or ""


def find_tables(base: Path) -> list[Table]:
    """The tables of labels in `base` and its folders. Raises DataError for one that is damaged."""
    paths = [path for path in files_below(base) if is_table(path)]
    near = [path for path in paths if len(path.relative_to(base).parts) <= DEEPEST]
    tables = [read_table(path) for path in near if not NOT_LABELS.search(path.stem)]
    return [table for table in tables if table]


def read_tables(base: Path, tables: Sequence[Table]) -> Sides:
    """Both sides as tables say. Raises DataError where their files are not there."""
    index = _index(base)
    files: list[NamedFile] = []
    missing: list[str] = []
    for table in tables:
        for number, row in enumerate(table.rows):
            file = _locate(base, table, number, row, index)
            if file is None:
                missing.append(row.file)
            else:
                files.append(NamedFile(file, row.labels, _split(base, table, row, file)))
    _refuse_missing(base, tables, missing, len(files))
    single, remarks = _single(base, files)
    remarks = [_read_from(base, tables), *_missing(base, missing), *remarks]
    remarks += _unlisted(base, index, {named.file for named in files})
    return _sides(base, single, remarks)


def _index(base: Path) -> Mapping[str, Sequence[Path]]:
    """Every file below `base` by its path from there, and by its name; both also without ending."""
    index: dict[str, list[Path]] = defaultdict(list)
    for file in files_below(base):
        if is_table(file):
            continue
        path = PurePosixPath(normalize_name(file.relative_to(base).as_posix()))
        for key in {str(path), str(path.with_suffix("")), path.name, path.stem}:
            index[key].append(file)
    return index


def _locate(
    base: Path, table: Table, number: int, row: Row, index: Mapping[str, Sequence[Path]]
) -> Path | None:
    """The file that a row names: by its path from the table or from `base`, or by its name alone.

    Of equal names, those in the table's own split come first, and in train/ before test/.
    """
    path = _from(base, PurePosixPath(row.file.replace("\\", "/")))
    if path.is_absolute() or ".." in path.parts or DRIVE.match(row.file):
        raise DataError(
            f"{table.path}: row {number + 1}: '{_shown(row.file)}' leads out of the folder; only"
            " files below it are read: name them from there"
        )
    here = PurePosixPath(normalize_name(table.path.parent.relative_to(base).as_posix()))
    for key in (str(here / path), str(path)):
        if file := _only(index.get(key, ())):
            return file
    alike = index.get(path.name, ())
    for word in (row.split or _own_word(base, table), *TRAINING) if len(alike) > 1 else ():
        if file := _only([file for file in alike if word and _place_word(base, file) == word]):
            return file
    return _only(alike)


def _only(files: Sequence[Path]) -> Path | None:
    """The only file, or the only image among them: `7.xml` beside `7.jpg` does not count."""
    images = [file for file in files if is_image(file)] if len(files) > 1 else files
    return images[0] if len(images) == 1 else None


def _from(base: Path, path: PurePosixPath) -> PurePosixPath:
    """A path as it is from `base`, where it is whole and below that."""
    if not path.is_absolute():
        return path
    whole = PurePosixPath(base.resolve().as_posix())
    return path.relative_to(whole) if path.is_relative_to(whole) else path


def _split(base: Path, table: Table, row: Row, file: Path) -> str:
    """The split of a row: as its column, its table's name or folder, or its file's folder says."""
    return row.split or _own_word(base, table) or _place_word(base, file)


def _own_word(base: Path, table: Table) -> str:
    return split_word(table.path.stem) or _place_word(base, table.path)


def _place_word(base: Path, file: Path) -> str:
    """The split that the folders of a file below `base` are named like."""
    folders = file.parts[len(base.parts) : -1]
    return next(filter(None, map(split_word, folders)), "")


def _single(base: Path, files: Iterable[NamedFile]) -> tuple[dict[Path, NamedFile], list[str]]:
    """The files of one class, and remarks on those of none, or of more than one."""
    labels: dict[Path, set[str]] = defaultdict(set)
    last: dict[Path, NamedFile] = {}
    for named in files:
        labels[named.file].update(named.labels)
        last[named.file] = named
    counts = Counter(min(len(names), 2) for names in labels.values())
    if counts[2] > counts[1]:
        raise DataError(
            f"{base}: {counts[2]} of {len(labels)} images have more than one class; a classifier"
            " names one: keep one class for every image"
        )
    words = {2: "of more than one class", 0: "without a class"}
    remarks = [
        f"{base}: {plural(counts[n], 'image')} {words[n]} {be(counts[n])} left out"
        for n in words
        if counts[n]
    ]
    single = {file: last[file]._replace(labels=tuple(names)) for file, names in labels.items()}
    return {file: named for file, named in single.items() if len(named.labels) == 1}, remarks


def _sides(base: Path, files: Mapping[Path, NamedFile], remarks: list[str]) -> Sides:
    """The images on both sides by class."""
    unread = [file for file in files if not is_image(file)]
    words = {named.split for file, named in files.items() if is_image(file)}
    held_out = next((word for word in VALIDATION if word in words), "")
    training = _classes(base, files, ("", *TRAINING)) if words & {"", *TRAINING} else None
    return Sides(
        training,
        _classes(base, files, (held_out,)) if held_out else None,
        base / held_out,
        remarks + ignored_remark(base, unread),
    )


def _classes(base: Path, files: Mapping[Path, NamedFile], words: Sequence[str]) -> Classes:
    """The images of some splits by class, sorted by its name."""
    classes: dict[str, list[Path]] = defaultdict(list)
    for file in sorted(files):
        if files[file].split in words and is_image(file):
            classes[files[file].labels[0]].append(file)
    for name in classes:
        if not name.isprintable():
            raise DataError(f"{base}: the class {name!r} has a control character; rename it")
    if len(classes) < 2:
        raise DataError(
            f"{base}: the tables of labels have only one class, '{next(iter(classes))}';"
            " two or more are needed"
        )
    return {name: classes[name] for name in sorted(classes)}


def _refuse_missing(
    base: Path, tables: Sequence[Table], missing: Sequence[str], present: int
) -> None:
    if len(missing) > MOST_MISSING * (len(missing) + present):
        raise DataError(
            f"{base}: {len(missing)} of {len(missing) + present} files named in"
            f" {_names(base, tables)} are not below the folder ({_first(missing)});"
            f" at most {MOST_MISSING:.0%} are skipped: put them there, or name them as they are"
        )


def _missing(base: Path, missing: Sequence[str]) -> list[str]:
    if not missing:
        return []
    words = f"{plural(len(missing), 'image')} {be(len(missing))} not there"
    return [f"{base}: {words} ({_first(missing)}); skipped"]


def _unlisted(base: Path, index: Mapping[str, Sequence[Path]], listed: set[Path]) -> list[str]:
    """A remark on images that no table names."""
    everything = {file for files in index.values() for file in files if is_image(file)}
    count = len(everything - listed)
    words = f"{plural(count, 'image')} {be(count)} left out; no table of labels names"
    return [f"{base}: {words} {'it' if count == 1 else 'them'}"] if count else []


def _read_from(base: Path, tables: Sequence[Table]) -> str:
    return f"{base}: the classes are read from {_names(base, tables)}"


def _names(base: Path, tables: Sequence[Table]) -> str:
    names = [table.path.relative_to(base).as_posix() for table in tables]
    return ", ".join(names[:NAMED]) + (f" and {len(names) - NAMED} more" * (len(names) > NAMED))


def _first(files: Sequence[str]) -> str:
    return ", ".join(map(_shown, files[:NAMED]))


def _shown(file: str) -> str:
    """A cell of a table, short and on one line."""
    text = file if file.isprintable() else repr(file)
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}..."
