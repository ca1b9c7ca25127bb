"""A dataset of the user's own: a folder with a folder of images for each class."""

import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, zip_longest
from pathlib import Path
from typing import TypeAlias

import numpy as np

from edgecv.data.augment import augment, smallest_crop
from edgecv.data.dataset import Image, Sample, shuffle
from edgecv.data.images import REDUCED, crop_center, read
from edgecv.data.layout import split_folder
from edgecv.data.scan import Photo, rank
from edgecv.progress import Progress

Labeled: TypeAlias = tuple[Photo, int]
MONITOR_EVERY = 10  # of a class's training photographs, one is monitored


class Folder:
    """Photographs in class folders, split once; every file of it has been seen to decode."""

    def __init__(
        self, root: Path, held_out: float, crop: float, seed: int, progress: Progress
    ) -> None:
        split = split_folder(root, held_out, seed, progress)
        self.labels, training, self._validation = split.labels, split.training, split.validation
        self.warnings = tuple(split.warnings)
        self._monitor, self._training = _without_monitor(training, root, seed)
        self.held_out = frozenset(photo.sha256 for photo, _ in self._validation)
        self.digest = _digest(root, [training, self._validation])
        self.name = root.resolve().name
        self.train_size = len(self._training)
        self.validation_size = len(self._validation)
        self.monitor_size = len(self._monitor)
        counts = Counter(label for _, label in self._training)
        self.class_sizes = tuple(counts[label] for label in range(len(self.labels)))
        self._root, self._crop, self._seed = root, crop, seed

    def training_image(self, resolution: int, epoch: int, index: int) -> tuple[Image, int]:
        """A photograph of the training split, augmented for this epoch and index."""
        order = shuffle(self.train_size, self._seed, epoch)
        photo, label = self._training[order[index % self.train_size]]
        rng = np.random.default_rng((self._seed, epoch, index))
        image = read(photo.path, _fraction(photo, resolution))
        return augment(image, resolution, rng), label

    def training(self, resolution: int, epoch: int) -> Iterator[tuple[Image, int]]:
        """Every photograph of the training split once, shuffled and augmented."""
        for index in range(self.train_size):
            yield self.training_image(resolution, epoch, index)

    def validation(self, resolution: int) -> Iterator[Sample]:
        """The held-out photographs: their center, as a deployed model is shown it."""
        yield from self._samples(self._validation, resolution)

    def monitor(self, resolution: int) -> list[Sample]:
        """One in ten of each class's training photographs, kept out of the training."""
        return list(self._samples(self._monitor, resolution))

    def calibration(self, resolution: int, count: int) -> list[Sample]:
        """Up to `count` training photographs, the same number of each class while they last."""
        chosen = sorted(self._training, key=lambda pair: rank(self._seed, self._root, pair[0].path))
        by_class = [[pair for pair in chosen if pair[1] == k] for k in range(len(self.labels))]
        in_turn = [pair for pair in chain(*zip_longest(*by_class)) if pair is not None]
        return list(self._samples(in_turn[:count], resolution))

    def _samples(self, photos: Iterable[Labeled], resolution: int) -> Iterator[Sample]:
        for photo, label in photos:
            image = crop_center(read(photo.path), self._crop, resolution)
            yield Sample(image, label, photo.path.relative_to(self._root).as_posix())


def _without_monitor(
    training: Sequence[Labeled], root: Path, seed: int
) -> tuple[list[Labeled], list[Labeled]]:
    """The training split as what early stopping looks at, and what is trained on."""
    copies = Counter(photo.sha256 for photo, _ in training)
    single = [pair for pair in training if copies[pair[0].sha256] == 1]
    seen: Counter[int] = Counter()
    monitor = []
    for photo, label in sorted(single, key=lambda pair: rank(seed, root, pair[0].path)):
        seen[label] += 1
        if seen[label] % MONITOR_EVERY == 0:
            monitor.append((photo, label))
    kept = set(monitor)
    return monitor, [pair for pair in training if pair not in kept]


def _digest(root: Path, splits: Sequence[Sequence[Labeled]]) -> str:
    """SHA-256 over each photograph's name, content, label and split."""
    whole = hashlib.sha256()
    for number, split in enumerate(splits):
        for photo, label in sorted(split):
            name = photo.path.relative_to(root).as_posix()
            row = f"{number} {label} {photo.sha256} {name}\n"
            whole.update(row.encode(errors="surrogateescape"))
    return whole.hexdigest()


def _fraction(photo: Photo, resolution: int) -> int:
    """How far a JPEG may be shrunk on decoding so that no crop of it must be enlarged."""
    spare = smallest_crop(photo.shorter) / resolution
    return max(fraction for fraction in REDUCED if fraction == 1 or fraction <= spare)
