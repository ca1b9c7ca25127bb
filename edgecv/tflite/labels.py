"""Where a model's labels are: the user's file, its metadata, the archive behind it, labels.txt."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from edgecv.tflite import archive
from edgecv.tflite.label_file import label_lines, parse_labels

FILE = "labels.txt"


class Labels(NamedTuple):
    """The names of the classes, in the order of the scores, and who says so."""

    names: tuple[str, ...] = ()
    origin: str = ""


def search(
    said: Mapping[str, tuple[str, ...]], declared: Sequence[str], path: Path | None, classes: int
) -> Labels:
    """The first labels there are: `said`, by origin, then the archive's, then the file beside.

    `declared` names label files in the archive. Where nobody does, it is the text file with a line
    for each class, or one whose name says labels. Raises UnsupportedModelError for a damaged
    archive, DataError for a file that holds no labels.
    """
    for origin, names in said.items():
        if names:
            return Labels(names, origin)
    if path is None:
        return Labels()
    if names := _in_archive(path, declared, classes):
        return Labels(names, "archive in the file")
    beside = path.with_name(FILE)
    return Labels(label_lines(beside), f"{FILE} beside it") if beside.is_file() else Labels()


def _in_archive(path: Path, declared: Sequence[str], classes: int) -> tuple[str, ...]:
    files = archive.text_files(path)
    for name in declared:
        if name in files:
            return parse_labels(files[name], f"{path}: {name}")
    texts = {
        name: parse_labels(data, f"{path}: {name}")
        for name, data in files.items()
        if "label" in name.lower() or len(data.splitlines()) == classes
    }
    fitting = [names for names in texts.values() if len(names) == classes]
    return next(iter([*fitting, *texts.values()]), ())
