"""The interface of every dataset, built-in or from a folder."""

from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import NamedTuple, Protocol, TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray

Image: TypeAlias = NDArray[np.uint8]  # RGB, [height, width, 3]

T = TypeVar("T")


class Sample(NamedTuple):
    """One preprocessed image."""

    image: Image
    label: int  # -1 where it is not known
    name: str  # path relative to the folder, or "signs/validation/17"
    other: Image | None = None  # what a second model is shown, where that differs


class Dataset(Protocol):
    """Labeled images, split once and for all into training and validation."""

    @property
    def name(self) -> str:
        """`signs`, or the folder's name."""

    @property
    def labels(self) -> tuple[str, ...]:
        """Class names; a label is an index into them."""

    @property
    def digest(self) -> str:
        """SHA-256 over every image, its label and its split; "" where images are made anew."""

    @property
    def held_out(self) -> frozenset[str]:
        """SHA-256 of each validation image's file; none where images are made anew."""

    @property
    def warnings(self) -> tuple[str, ...]:
        """Warnings about images that are usable all the same."""

    @property
    def train_size(self) -> int:
        """Images in one epoch."""

    @property
    def class_sizes(self) -> tuple[int, ...]:
        """Images of every class in one epoch."""

    @property
    def validation_size(self) -> int:
        """Images held out."""

    @property
    def monitor_size(self) -> int:
        """Images that early stopping looks at."""

    def training_image(self, resolution: int, epoch: int, index: int) -> tuple[Image, int]:
        """One augmented image and its label, determined by the seed and the arguments alone.

        An index past the epoch's end starts over, with other augmentation.
        """

    def training(self, resolution: int, epoch: int) -> Iterator[tuple[Image, int]]:
        """The images of one epoch, shuffled and augmented."""

    def validation(self, resolution: int) -> Iterator[Sample]:
        """The held-out images, always the same, not augmented."""

    def monitor(self, resolution: int) -> list[Sample]:
        """Images that are neither trained nor evaluated on: early stopping looks at them."""

    def calibration(self, resolution: int, count: int) -> list[Sample]:
        """At most `count` training images, evenly over the classes, not augmented."""


def pick_evenly(items: Sequence[T], most: int) -> Sequence[T]:
    """At most so many of the items, at equal distances from the first one on."""
    return items[:: max(1, -(-len(items) // most))]


@lru_cache(maxsize=4)
def shuffle(size: int, seed: int, epoch: int) -> NDArray[np.int64]:
    """The numbers below `size` in an order that belongs to this seed and epoch."""
    order = np.random.default_rng((seed, epoch)).permutation(size)
    order.flags.writeable = False
    return order
