"""How a folder of classes becomes a training and a validation split."""

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, TypeAlias

from edgecv.data.balance import uneven_classes
from edgecv.data.class_folders import Classes
from edgecv.data.scan import Photo, check, rank
from edgecv.data.splits import find_sides
from edgecv.errors import DataError, be, plural
from edgecv.progress import Progress

Photos: TypeAlias = Mapping[str, Sequence[Photo]]  # by class
FEWEST = 5  # images of a class that make training and a held-out split worth the name


class Split(NamedTuple):
    """Labels, the photographs of both sides with their labels, and what to warn of."""

    labels: tuple[str, ...]
    training: list[tuple[Photo, int]]
    validation: list[tuple[Photo, int]]
    warnings: list[str]


def split_folder(root: Path, share: float, seed: int, progress: Progress) -> Split:
    """The split that the folders `train/` and `val/` state, or a seeded, stratified one.

    Raises DataError for a folder that cannot be trained on.
    """
    stated = find_sides(root)
    if stated.training is None:
        raise DataError(f"{root}: nothing to train on beside {stated.where}; name that with --data")
    sides = [stated.training]
    if stated.held_out:
        _refuse_other_classes(stated.where, stated.held_out, stated.training)
        sides.append({name: stated.held_out[name] for name in stated.training})
    files = [path for classes in sides for paths in classes.values() for path in paths]
    checked = check(root, files, progress)
    training, *validation = _decoded(sides, checked.photos)
    counts = {name: len(training[name]) for name in training}
    split = (
        _stated(root, training, validation[0])
        if validation
        else _stratified(root, training, share, seed)
    )
    before = [*stated.remarks, *checked.warnings, *uneven_classes(root, counts)]
    return split._replace(warnings=before + split.warnings)


def check_sizes(root: Path) -> None:
    """Raise DataError where a class has too few files to train on, of which none is read."""
    for label, paths in (find_sides(root).training or {}).items():
        if len(paths) < FEWEST:
            words = f"class '{label}' has {plural(len(paths), 'image')}"
            raise DataError(f"{root}: {words}; at least {FEWEST} are needed")


def _refuse_other_classes(where: Path, held_out: Classes, training: Classes) -> None:
    """Raise DataError where the classes held out are not those that are trained on."""
    for there, here, differs in (
        (training, held_out, "lacks"),
        (held_out, training, "alone has"),
    ):
        if names := sorted(set(there) - set(here)):
            raise DataError(
                f"{where}: {differs} the class folders {', '.join(names[:5])};"
                " training and validation need the same ones"
            )


def _decoded(sides: Sequence[Classes], photos: Sequence[Photo]) -> list[Photos]:
    """The same classes with the files that decode."""
    whole = {photo.path: photo for photo in photos}
    return [
        {label: [whole[path] for path in paths if path in whole] for label, paths in side.items()}
        for side in sides
    ]


def _stated(root: Path, training: Photos, validation: Photos) -> Split:
    """The two folders as they are, but for training images that would be in both."""
    held_out = {photo.sha256 for photos in validation.values() for photo in photos}
    kept = {
        label: [photo for photo in photos if photo.sha256 not in held_out]
        for label, photos in training.items()
    }
    warnings = []
    if copies := sum(map(len, training.values())) - sum(map(len, kept.values())):
        warnings = [f"{root}: {copies} training images are also in validation; not trained on"]
    _refuse_few(root, kept, FEWEST)
    _refuse_few(root, validation, 1)
    return Split(tuple(kept), _labeled(kept), _labeled(validation), warnings)


def _stratified(root: Path, classes: Photos, share: float, seed: int) -> Split:
    """Hold out the same share of every class; equal files stay on one side."""
    shared = _in_several_classes(classes)
    own = {
        label: [photo for photo in photos if photo.sha256 not in shared]
        for label, photos in classes.items()
    }
    warnings = []
    if shared:
        words = f"{plural(len(shared), 'image')} {be(len(shared))} in more than one class"
        warnings = [f"{root}: {words}; left out"]
    _refuse_few(root, own, FEWEST)
    split = Split(tuple(own), [], [], warnings)
    copies = 0
    for label, photos in enumerate(own.values()):
        ordered = sorted(photos, key=lambda photo: rank(seed, root, photo.path))
        held_out = _held_out(ordered, share)
        copies += len(photos) - len({photo.sha256 for photo in photos})
        for photo in ordered:
            side = split.validation if photo.sha256 in held_out else split.training
            side.append((photo, label))
    if copies:
        text = f"{root}: {copies} files are copies of others; kept on one side of the split"
        warnings.append(text)
    return split


def _held_out(photos: Sequence[Photo], share: float) -> set[str]:
    """The contents to hold out, in order but copied ones last; at most half of them."""
    copies = Counter(photo.sha256 for photo in photos)
    held_out: set[str] = set()
    wanted = max(1, round(len(photos) * share))
    for content in sorted(copies, key=lambda digest: copies[digest] > 1):
        if wanted < 1 or 2 * len(held_out) >= len(copies):
            break
        held_out.add(content)
        wanted -= copies[content]
    return held_out


def _in_several_classes(classes: Photos) -> set[str]:
    """Contents whose label is contradicted by another folder."""
    seen = Counter(sha for photos in classes.values() for sha in {photo.sha256 for photo in photos})
    return {sha for sha, count in seen.items() if count > 1}


def _refuse_few(root: Path, classes: Photos, fewest: int) -> None:
    for label, photos in classes.items():
        different = len({photo.sha256 for photo in photos})
        if different < fewest:
            raise DataError(
                f"{root}: class '{label}' has {different} different images that can be read;"
                f" at least {fewest} are needed"
            )


def _labeled(classes: Photos) -> list[tuple[Photo, int]]:
    return [(photo, label) for label, photos in enumerate(classes.values()) for photo in photos]
