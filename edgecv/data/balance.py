"""Uneven classes: what to warn of, and what an image of a rare class weighs in training."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

# The larger of two classes then has four fifths of the images, which is what a model that only
# names it gets right. Google's course on machine learning calls an imbalance mild up to there:
# developers.google.com/machine-learning/crash-course/overfitting/imbalanced-datasets
MOST_UNEVEN = 4.0  # images of the largest class for one of the smallest
EVEN = 1.25  # the same ratio, up to which every image weighs the same


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


def class_weights(sizes: Sequence[int]) -> NDArray[np.float32] | None:
    """The weight of an image of every class in a training loss; None where classes are even.

    It falls with the root of a class's size, and is 1 in the mean over images. The inverse of the
    size would count an image of a class of five as hundreds (Mahajan et al. 2018,
    arXiv:1805.00932, section 2.2).
    """
    counts = np.maximum(sizes, 1).astype(np.float32)
    if counts.max() <= EVEN * counts.min():
        return None
    weights: NDArray[np.float32] = counts**-0.5
    weights *= counts.sum() / (weights * counts).sum()
    return weights
