"""Warnings of uneven classes."""

from collections.abc import Mapping
from pathlib import Path

# The larger of two classes then has four fifths of the images, which is what a model that only
# names it gets right. Google's course on machine learning calls an imbalance mild up to there:
# developers.google.com/machine-learning/crash-course/overfitting/imbalanced-datasets
MOST_UNEVEN = 4.0  # images of the largest class for one of the smallest


def uneven_classes(where: Path | str, counts: Mapping[str, int]) -> list[str]:
    """A warning when the classes are far from even; `counts` are their images, by name."""
    present = {name: count for name, count in counts.items() if count}
    if not present:
        return []
    largest, smallest = max(present, key=present.__getitem__), min(present, key=present.__getitem__)
    if present[largest] <= MOST_UNEVEN * present[smallest]:
        return []
    return [
        f"{where}: the classes are far from even: '{largest}' has {present[largest]} images,"
        f" '{smallest}' {present[smallest]}; top-1 says most of '{largest}', so look at the mean"
        f" over classes, and add images of '{smallest}'"
    ]
