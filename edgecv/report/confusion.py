"""The confusion matrix as the page draws it: a table of few classes, a picture of many."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from edgecv.artifacts import Report

READABLE = 25  # classes of which a table fits the page


class ConfusionCell(NamedTuple):
    """One field of the matrix; `shade` is 0 to 100."""

    images: int
    shade: float
    right: bool
    text: str


class Spot(NamedTuple):
    """A field of a matrix of many classes, where images are; row and column from 0."""

    row: int
    column: int
    cell: ConfusionCell


class Matrix(NamedTuple):
    """A matrix: as rows of cells where they can be read, else as the spots of a picture."""

    size: int
    rows: Sequence[tuple[str, list[ConfusionCell]]]
    spots: Sequence[Spot]
    group: int  # consecutive classes that one row stands for


def matrix(report: Report) -> Matrix | None:
    """The confusion matrix of the last model; None in reports that hold none."""
    accuracy: Mapping[str, Any] = report.accuracy or {}
    counts: list[list[int]] = accuracy.get("confusion", [])
    if not counts:
        return None
    group = accuracy.get("confusion_group", 1)
    classes = [row["label"] for row in accuracy["per_class"]]
    labels = [_label(classes[start : start + group]) for start in range(0, len(classes), group)]
    cells = [
        [_cell(labels, truth, answer, row) for answer in range(len(row))]
        for truth, row in enumerate(counts)
    ]
    if len(counts) <= READABLE:
        return Matrix(len(counts), [*zip(labels, cells, strict=True)], [], group)
    spots = [
        Spot(row, column, cell)
        for row, line in enumerate(cells)
        for column, cell in enumerate(line)
        if cell.images
    ]
    return Matrix(len(counts), [], spots, group)


def _label(names: Sequence[str]) -> str:
    """The name of a class, or of the first and the last of a group."""
    return names[0] if len(names) == 1 else f"{names[0]} … {names[-1]}"


def _cell(labels: Sequence[str], truth: int, answer: int, row: Sequence[int]) -> ConfusionCell:
    share = row[answer] / max(1, sum(row))
    text = f"{labels[truth]} taken for {labels[answer]}: {row[answer]} of {sum(row)}"
    shade = 100 * share**0.5  # so that a single mistake can be seen
    return ConfusionCell(row[answer], round(shade, 1), truth == answer, text)
