"""Labelled images for a model that is already trained: every one of them is evaluated on."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from edgecv.data.dataset import Sample
from edgecv.data.images import central, read
from edgecv.data.scan import Photo, check
from edgecv.data.split_names import split_word
from edgecv.data.splits import find_sides
from edgecv.errors import DataError, nearest
from edgecv.progress import Progress
from edgecv.tflite.label_file import is_label


@dataclass(frozen=True)
class Labelled:
    """Class folders whose names are a model's labels."""

    root: Path
    labels: tuple[str, ...]
    photos: Sequence[tuple[Photo, int]]

    def samples(self, resolution: int, crop: float) -> Iterator[Sample]:
        """Each image: the central share `crop` of it, at `resolution`, and its label."""
        for photo, label in self.photos:
            image = central(read(photo.path), crop, resolution)
            yield Sample(image, label, photo.path.relative_to(self.root).as_posix())


def labelled_folder(root: Path, labels: Sequence[str], progress: Progress) -> Labelled:
    """The images of `root`, or of its val/ side; `labels` are the model's, if it has any.

    Without labels, the sorted names of the classes are. Raises DataError when a class is none of
    the labels.
    """
    sides = find_sides(root, progress)
    classes = sides.held_out or sides.training or {}
    if sides.held_out is None and sides.where != root and split_word(sides.where.name):
        progress.warn(f"{sides.where}: no side is held out; a model trained on it is flattered")
    known = tuple(labels) or tuple(classes)
    index = {name: _place(root, name, known) for name in classes}
    files = {path: index[name] for name, paths in classes.items() for path in paths}
    whole = check(root, list(files), progress)
    return Labelled(root, known, [(photo, files[photo.path]) for photo in whole])


def _place(root: Path, name: str, labels: Sequence[str]) -> int:
    """Which of the model's labels a class folder is. Raises DataError when it is none, or two."""
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
