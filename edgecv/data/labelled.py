"""Labelled images for a model that is already trained: every one of them is evaluated on."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from edgecv.data.dataset import Sample
from edgecv.data.images import central, read
from edgecv.data.layout import VALIDATION, class_files
from edgecv.data.scan import Photo, check, reading, subfolders
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
    """The class folders of `root`, or of its val/ folder; `labels` are the model's, if it has any.

    Without labels, the sorted folder names are. Raises DataError when a folder is none of them.
    """
    with reading(root):
        held_out = [each for each in subfolders(root) if each.name.lower() in VALIDATION]
        folders = class_files(held_out[0] if held_out else root)
    known = tuple(labels) or tuple(folders)
    index = {name: _place(root, name, known) for name in folders}
    files = {path: index[name] for name, paths in folders.items() for path in paths}
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
