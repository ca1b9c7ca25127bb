"""Labeled images for a model that is already trained: every one of them is evaluated on."""

import dataclasses
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from edgecv.data import imagenet
from edgecv.data.balance import uneven_classes
from edgecv.data.dataset import Sample, pick_evenly
from edgecv.data.images import View, fit_view, read
from edgecv.data.scan import Photo, check
from edgecv.data.split_names import split_word
from edgecv.data.splits import find_sides
from edgecv.errors import DataError, nearest
from edgecv.progress import Progress
from edgecv.tflite.label_file import is_label

SHOWN = 6  # labels in a message


@dataclass(frozen=True)
class LabeledFolder:
    """Class folders whose names are a model's labels."""

    root: Path
    labels: tuple[str, ...]
    photos: Sequence[tuple[Photo, int]]
    assumption: str = ""  # what had to be assumed of the labels, in words
    warnings: tuple[str, ...] = ()

    @property
    def knows_order(self) -> bool:
        """Whether the labels' order is known: the model's own, or ImageNet's."""
        return not self.assumption or len(self.labels) in imagenet.SIZES

    def some(self, most: int) -> "LabeledFolder":
        """At most so many of the images, evenly from all of them."""
        return dataclasses.replace(self, photos=pick_evenly(self.photos, most))

    def samples(self, taken: View, other: View | None = None) -> Iterator[Sample]:
        """Each image as a model takes it, with its label; and as another model takes it."""
        alike = other is None or _view(other) == _view(taken)
        for photo, label in self.photos:
            image, name = read(photo.path), photo.path.relative_to(self.root).as_posix()
            second = None if alike or other is None else fit_view(image, other)
            yield Sample(fit_view(image, taken), label, name, second)


def _view(taken: View) -> tuple[object, ...]:
    return taken.size, taken.crop, taken.channels


def open_labeled(
    root: Path, labels: Sequence[str], progress: Progress, scores: int = 0
) -> LabeledFolder:
    """The images of `root`, or of its val/ side; `labels` are the model's, if it has any.

    Without labels, folders named by WordNet numbers are ImageNet's, where the model gives so many
    `scores`; else the sorted names of the classes are the labels; `assumption` says so. Raises
    DataError when a class is none of the labels.
    """
    sides = find_sides(root)
    warnings = list(sides.remarks)
    classes = sides.held_out or sides.training or {}
    if sides.held_out is None and sides.where != root and split_word(sides.where.name):
        text = f"{sides.where}: no side is held out; a model trained on it is flattered"
        warnings.append(text)
    names, assumption = tuple(labels), ""
    if not labels:
        names, assumption = _assumed(root, list(classes), scores)
    index = {name: _place(root, name, names) for name in classes}
    files = {path: index[name] for name, paths in classes.items() for path in paths}
    checked = check(root, list(files), progress)
    counts = Counter(names[files[photo.path]] for photo in checked.photos)
    warnings += [*checked.warnings, *uneven_classes(root, counts)]
    photos = [(photo, files[photo.path]) for photo in checked.photos]
    return LabeledFolder(root, names, photos, assumption, tuple(warnings))


def _assumed(root: Path, folders: Sequence[str], scores: int) -> tuple[tuple[str, ...], str]:
    """The labels of a model that has none, by the names of the classes, and that in words."""
    if imagenet.labels_of(scores) and all(map(imagenet.wnid, folders)):
        words = f"{root}: the model has no labels: its {scores} scores are taken for ImageNet's"
        return imagenet.labels_of(scores), words
    order = f"{', '.join(folders[:SHOWN])}{', ...' if folders[SHOWN:] else ''}"
    return tuple(folders), (
        f"{root}: the model has no labels: the order of its scores is assumed to be that of the"
        f" sorted folder names ({order}); --labels names a file of them"
    )


def _place(root: Path, name: str, labels: Sequence[str]) -> int:
    """The model's label of a class folder. Raises DataError when none fits, or two do."""
    numbered = imagenet.place(name, labels)
    if numbered is not None:
        return numbered
    places = [n for n, label in enumerate(labels) if is_label(name, n, label)]
    if len(places) == 1:
        return places[0]
    if places:
        raise DataError(
            f"{root}: the class folder '{name}' is label {places[0]} and label {places[1]} of the"
            " model; only labels that differ can be told apart by a folder's name"
        )
    hint = nearest(name, labels) or f" (the model's: {', '.join(labels[:8])})"
    raise DataError(f"{root}: the class folder '{name}' is no label of the model{hint}")
