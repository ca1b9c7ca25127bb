"""A table of labels: a CSV file with an image's file name and its class, in a column or several.

Roboflow writes a column of 0 and 1 for every class, Kaggle an id without an ending, Hugging Face
`file_name`; pandas puts a column without a name before them.
"""

import csv
import io
import re
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from edgecv.data.images import SUFFIXES
from edgecv.data.split_names import split_word
from edgecv.errors import DataError
from edgecv.tflite.label_file import decode, normalize_name

COLUMNS = "a column of file names and one of classes (filename,label)"
MOST_BYTES = 1 << 26  # a million rows take 40 MB
FILES = (  # names of the column of file names, the surest first
    *("filename", "file_name", "file", "filepath", "file_path", "filepaths", "path", "image_path"),
    *(
        "image_file",
        "image_name",
        "image_filename",
        "image",
        "images",
        "img",
        "img_name",
        "im_name",
    ),
    *("img_path", "image_id", "imageid", "id_code", "image_names", "id", "name"),
)
LABELS = (  # of the column of classes
    *("class_name", "label_name", "category_name", "classname", "label", "labels", "class"),
    *("class_label", "category", "target", "species", "breed", "diagnosis", "tag", "y"),
)
SPLITS = ("split", "set", "subset", "data_set", "dataset", "partition", "fold", "usage")
BOXES = {"xmin", "x_min", "x1", "bbox", "bbox_x", "bounding_box", "polygon", "rle"}  # of objects
DELIMITERS = ",;\t|"
YES, NO = ("1", "1.0", "true", "yes"), ("", "0", "0.0", "false", "no")
SEVERAL = re.compile(r"\s*[|;,]\s*")  # between the classes of a cell that holds more than one


class Row(NamedTuple):
    """An image's file name as the table has it, its classes, and its split, if that is said."""

    file: str
    labels: tuple[str, ...]  # none where the image has no class, several where it has more
    split: str


class Table(NamedTuple):
    """A table of labels, and the rows in it."""

    path: Path
    rows: Sequence[Row]


def read_table(path: Path) -> Table | None:
    """The rows of a file; None where it is no table of labels. Raises DataError if unreadable."""
    with path.open("rb") as file:
        data = file.read(MOST_BYTES + 1)
    if len(data) > MOST_BYTES:
        raise DataError(f"{path}: more than {MOST_BYTES >> 20} MB; as a table of labels, divide it")
    rows = parse_rows(data, str(path))
    return Table(path, rows) if rows else None


def parse_rows(data: bytes, where: str) -> list[Row]:
    """The rows of a table of labels; none where its columns are others. Raises DataError."""
    text = decode(data, where)
    first = text.lstrip().partition("\n")[0]
    delimiter = max(DELIMITERS, key=first.count)
    try:
        source = io.StringIO(text, newline="")
        reader = csv.reader(source, delimiter=delimiter, skipinitialspace=True, strict=True)
        lines = list(reader)
    except csv.Error as error:
        raise DataError(f"{where}: not a readable CSV file: {error}") from error
    cells = [[normalize_name(cell) for cell in line] for line in lines if any(map(str.strip, line))]
    if len(cells) < 2 or len(cells[0]) < 2:
        return []
    if any(_ends_like_an_image(cell) for cell in cells[0]):  # no header
        return _unnamed(cells)
    names = [re.sub(r"[^a-z0-9]+", "_", cell.lower()).strip("_") for cell in cells[0]]
    width = len(names)
    body = [(row + [""] * width)[:width] for row in cells[1:]]
    return _named(names, cells[0], body)


def _named(names: Sequence[str], titles: Sequence[str], body: Sequence[Sequence[str]]) -> list[Row]:
    """The rows of a table with a header; none where no column holds files, or none classes."""
    file, split = _first(names, FILES), _first(names, SPLITS)
    if file is None or BOXES.intersection(names):
        return []
    splits = [split_word(row[split]) if split is not None else "" for row in body]
    others = [n for n, name in enumerate(names) if name and n != file and name not in SPLITS]
    label = _first(names, LABELS, others)
    if label is None and len(others) == 1:
        (label,) = others
    if label is not None:
        classes = _of_one_column([row[label] for row in body])
    elif others and all(row[n].lower() in YES + NO for row in body for n in others):
        classes = [tuple(titles[n] for n in others if row[n].lower() in YES) for row in body]
    else:
        return []
    rows = zip(body, classes, splits, strict=True)
    return [Row(row[file], labels, word) for row, labels, word in rows if row[file]]


def _unnamed(cells: Sequence[Sequence[str]]) -> list[Row]:
    """The rows of a table of two columns without a header."""
    if len(cells[0]) != 2:
        return []
    file = 0 if _ends_like_an_image(cells[0][0]) else 1
    rows = [row for row in cells if len(row) == 2 and row[file]]
    classes = _of_one_column([row[1 - file] for row in rows])
    return [Row(row[file], labels, "") for row, labels in zip(rows, classes, strict=True)]


def _of_one_column(cells: Sequence[str]) -> list[tuple[str, ...]]:
    """The classes in every cell: more than one where its parts are classes of other cells."""
    single = set(cells)
    parts = [tuple(SEVERAL.split(cell)) if SEVERAL.search(cell) else () for cell in cells]
    return [
        part if len(part) > 1 and single.issuperset(part) else ((cell,) if cell else ())
        for cell, part in zip(cells, parts, strict=True)
    ]


def _first(
    names: Sequence[str], wanted: Sequence[str], among: Sequence[int] | None = None
) -> int | None:
    """The place of the first wanted name there is."""
    places = range(len(names)) if among is None else among
    return next((n for word in wanted for n in places if names[n] == word), None)


def _ends_like_an_image(cell: str) -> bool:
    return cell.lower().endswith((*SUFFIXES, ".heic", ".gif", ".avif"))
