"""Top-1 accuracies on ImageNet that were published, each with its source, and what lies between.

`accuracy.csv` has a row for each; where several were published of one model, the one whose training
covers most of the family's widths and resolutions is in it.
"""

import csv
import functools
import math
from pathlib import Path
from typing import NamedTuple

TABLE = Path(__file__).with_name("accuracy.csv")
IMAGES = 50_000  # of ImageNet's validation split, on which all of them were measured

Size = tuple[float, int]  # width, resolution


class Accuracy(NamedTuple):
    """A share of right answers, where it was published, and of what the model was trained for."""

    top1: float
    source: str
    method: str = ""  # of int8: after training, or by training for it
    interpolated: bool = False


@functools.cache
def table() -> dict[tuple[str, str], dict[Size, Accuracy]]:
    """Every published figure, by architecture and scheme (float32, int8)."""
    figures: dict[tuple[str, str], dict[Size, Accuracy]] = {}
    with TABLE.open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            size = (float(row["width"]), int(row["resolution"]))
            accuracy = Accuracy(round(float(row["top1"]) / 100, 5), row["source"], row["method"])
            figures.setdefault((row["arch"], row["scheme"]), {})[size] = accuracy
    return figures


def sizes(arch: str) -> list[Size]:
    """Every width of an architecture at every resolution, as far as any of it was published."""
    figures = table().get((arch, "float32"), {})
    widths = sorted({width for width, _ in figures})
    sides = sorted({side for _, side in figures})
    return [(width, side) for width in widths for side in sides]


def accuracy(arch: str, size: Size, scheme: str = "float32") -> Accuracy | None:
    """The published accuracy of a size, else, of float32 alone, an interpolation; None without."""
    figures = table().get((arch, scheme), {})
    return figures.get(size) or (_interpolated(figures, size) if scheme == "float32" else None)


def _interpolated(figures: dict[Size, Accuracy], size: Size) -> Accuracy | None:
    """The figure at the nearest resolution of that width, less what the nearest width loses there.

    None unless a width was published at both resolutions.
    """
    width, side = size
    own = [other for own_width, other in figures if own_width == width]
    for start in sorted(own, key=lambda other: abs(math.log(other / side))):
        widths = [other for other, at in figures if at == side and (other, start) in figures]
        if widths:
            near = min(widths, key=lambda other: abs(math.log(other / width)))
            change = figures[near, side].top1 - figures[near, start].top1
            first = figures[width, start]
            return Accuracy(round(first.top1 + change, 5), first.source, interpolated=True)
    return None
