"""The representative dataset where it is not the training split, and the record of what it was."""

import hashlib
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from edgecv.data.dataset import Sample
from edgecv.data.images import FORMATS, View, fit_view, read
from edgecv.data.opencv_log import quiet
from edgecv.data.scan import (
    contents,
    damage_warnings,
    files_below,
    ignored_remark,
    is_image,
    rank,
    refuse_unreadable,
)
from edgecv.data.unpack import check_folder, unpack_command
from edgecv.errors import DataError, plural
from edgecv.files import sha256


class CalibrationImages(NamedTuple):
    """Images that set the ranges, and what to warn of."""

    samples: list[Sample]
    warnings: list[str]


def calibration_folder(root: Path, taken: View, count: int, seed: int) -> CalibrationImages:
    """Up to `count` images from anywhere under `root`, as a model takes them, chosen by `seed`.

    Raises DataError when there are none, or when more than 5 % of those tried are damaged.
    """
    with refuse_unreadable(root):
        if unpack_command(root):
            check_folder(root, "a folder of images is needed")
        every = list(files_below(root))
    files = sorted(filter(is_image, every), key=lambda path: rank(seed, root, path))
    if not files:
        raise DataError(f"{root}: no images, found {contents(root)}; {FORMATS} is read")
    warnings = ignored_remark(root, [file for file in every if not is_image(file)])
    samples: list[Sample] = []
    damaged: list[str] = []
    for path in files:
        if len(samples) == count:
            break
        name = path.relative_to(root).as_posix()
        try:
            with quiet():
                samples.append(Sample(fit_view(read(path), taken), -1, name))
        except DataError as error:
            damaged.append(str(error))
    warnings += damage_warnings(root, damaged, len(samples) + len(damaged))
    if len(samples) < count:
        images = plural(len(samples), "image")
        warnings.append(f"{root}: {images} to calibrate with, {count} were asked for")
    return CalibrationImages(samples, warnings)


def manifest(samples: Iterable[Sample], root: Path | None = None) -> list[dict[str, str]]:
    """A row for each image: its name, and the SHA-256 of its file under `root`.

    Without `root` nothing is on disk, and the hash is that of the pixels.
    """
    return [{"file": sample.name, "sha256": _hash(sample, root)} for sample in samples]


def _hash(sample: Sample, root: Path | None) -> str:
    if root:
        return sha256(root / sample.name)
    return hashlib.sha256(sample.image.tobytes()).hexdigest()
