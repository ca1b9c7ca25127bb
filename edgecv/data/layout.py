"""How a folder of classes becomes a training and a validation split."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, TypeAlias

from edgecv.data.images import FORMATS
from edgecv.data.scan import Photo, check, contents, image_files, rank, reading, subfolders
from edgecv.errors import DataError
from edgecv.progress import Progress

TRAINING = ("train", "training")  # with class folders in it; otherwise it is a class itself
VALIDATION = ("val", "valid", "validation", "test")  # the first that exists
WANTED = "a folder with two or more class folders of images is needed"
Photos: TypeAlias = Mapping[str, Sequence[Photo]]  # by class
FEWEST = 5  # images of a class that make training and a held-out split worth the name


class Split(NamedTuple):
    """Labels, and the photographs of both sides with their labels."""

    labels: tuple[str, ...]
    training: list[tuple[Photo, int]]
    validation: list[tuple[Photo, int]]


def split_folder(root: Path, share: float, seed: int, progress: Progress) -> Split:
    """The split that the folders `train/` and `val/` state, or a seeded, stratified one.

    Raises DataError for a folder that cannot be trained on.
    """
    with reading(root):
        if not root.is_dir():
            found = "not a folder" if root.exists() else "no such folder"
            raise DataError(f"{root}: {found}; {WANTED}")
        stated = next((each for each in _named(root, TRAINING) if subfolders(each)), None)
        held_out = next(_named(root, VALIDATION), None) if stated else None
        classes = class_files(stated or root)
        sides = [classes, _same_classes(held_out, classes)] if held_out else [classes]
    training, *validation = _check(root, sides, progress)
    if validation:
        return _stated(root, training, validation[0], progress)
    return _stratified(root, training, share, seed, progress)


def _named(root: Path, names: Sequence[str]) -> Iterator[Path]:
    """The folders with these names, in the order of the names."""
    folders = {each.name.lower(): each for each in subfolders(root)}
    return (folders[name] for name in names if name in folders)


def class_files(folder: Path) -> dict[str, list[Path]]:
    """The image files of every class folder."""
    folders = subfolders(folder)
    if not folders:
        raise DataError(f"{folder}: no class folders, found {contents(folder)}; {WANTED}")
    for each in folders:
        if not each.name.isprintable():
            raise DataError(
                f"{folder}: the class folder {each.name!r} has a control character in its name,"
                " which a file of one label a line cannot hold; rename it"
            )
    if len(folders) == 1:
        inner = f"; did you mean {folders[0]}?" if subfolders(folders[0]) else ""
        raise DataError(f"{folder}: only one class, '{folders[0].name}'; {WANTED}{inner}")
    classes = {each.name: image_files(each) for each in folders}
    for each in folders:
        if not classes[each.name]:
            raise DataError(
                f"{each}: no images, found {contents(each)}; {FORMATS} is read;"
                " add images, or remove the class folder"
            )
    return classes


def _same_classes(folder: Path, classes: Mapping[str, object]) -> dict[str, list[Path]]:
    """The classes of a validation folder, which must be those of the training folder."""
    found = class_files(folder)
    for there, here, differs in ((classes, found, "lacks"), (found, classes, "alone has")):
        if names := sorted(set(there) - set(here)):
            raise DataError(
                f"{folder}: {differs} the class folders {', '.join(names[:5])};"
                " training and validation need the same ones"
            )
    return found


def _check(
    root: Path, sides: Sequence[Mapping[str, Sequence[Path]]], progress: Progress
) -> list[Photos]:
    """The same classes with the files that decode."""
    files = [path for classes in sides for paths in classes.values() for path in paths]
    whole = {photo.path: photo for photo in check(root, files, progress)}
    return [
        {label: [whole[each] for each in paths if each in whole] for label, paths in side.items()}
        for side in sides
    ]


def _stated(root: Path, training: Photos, validation: Photos, progress: Progress) -> Split:
    """The two folders as they are, but for training images that would be in both."""
    held_out = {photo.sha256 for photos in validation.values() for photo in photos}
    kept = {
        label: [each for each in photos if each.sha256 not in held_out]
        for label, photos in training.items()
    }
    if copies := sum(map(len, training.values())) - sum(map(len, kept.values())):
        progress.warn(f"{root}: {copies} training images are also in validation; not trained on")
    _refuse_few(root, kept, FEWEST)
    _refuse_few(root, validation, 1)
    return Split(tuple(kept), _labelled(kept), _labelled(validation))


def _stratified(root: Path, classes: Photos, share: float, seed: int, progress: Progress) -> Split:
    """Hold out the same share of every class; equal files stay on one side."""
    shared = _in_several_classes(classes)
    own = {
        label: [each for each in photos if each.sha256 not in shared]
        for label, photos in classes.items()
    }
    if shared:
        progress.warn(f"{root}: {len(shared)} images are in more than one class; left out")
    _refuse_few(root, own, FEWEST)
    split = Split(tuple(own), [], [])
    copies = 0
    for label, photos in enumerate(own.values()):
        ordered = sorted(photos, key=lambda each: rank(seed, root, each.path))
        held_out = _held_out(ordered, share)
        copies += len(photos) - len({each.sha256 for each in photos})
        for photo in ordered:
            side = split.validation if photo.sha256 in held_out else split.training
            side.append((photo, label))
    if copies:
        progress.warn(f"{root}: {copies} files are copies of others; kept on one side of the split")
    return split


def _held_out(photos: Sequence[Photo], share: float) -> set[str]:
    """The contents to hold out, in order but copied ones last; at most half of them."""
    copies = Counter(photo.sha256 for photo in photos)
    held_out: set[str] = set()
    wanted = max(1, round(len(photos) * share))
    for content in sorted(copies, key=lambda each: copies[each] > 1):
        if wanted < 1 or 2 * len(held_out) >= len(copies):
            break
        held_out.add(content)
        wanted -= copies[content]
    return held_out


def _in_several_classes(classes: Photos) -> set[str]:
    """Contents whose label is contradicted by another folder."""
    seen = Counter(sha for photos in classes.values() for sha in {each.sha256 for each in photos})
    return {sha for sha, count in seen.items() if count > 1}


def _refuse_few(root: Path, classes: Photos, fewest: int) -> None:
    for label, photos in classes.items():
        different = len({each.sha256 for each in photos})
        if different < fewest:
            raise DataError(
                f"{root}: class '{label}' has {different} different images that can be read;"
                f" at least {fewest} are needed"
            )


def _labelled(classes: Photos) -> list[tuple[Photo, int]]:
    return [(each, label) for label, photos in enumerate(classes.values()) for each in photos]
