"""Warnings about a calibration set as files: few, copied, of one class, also evaluated on."""

import hashlib
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path, PurePath

from edgecv.data.dataset import Sample

# With 20 images, what two halves of them make of a tensor's range differs by a sixth at most in the
# middle of five ImageNet models' tensors; with 10, by a fifth.
FEWEST = 20


def calibration_warnings(
    root: Path, samples: Sequence[Sample], rows: Sequence[Mapping[str, str]]
) -> list[str]:
    """Warnings about the images under `root` as a calibration set; `rows` are their manifest's."""
    warnings = []
    if len(samples) < FEWEST:
        warnings.append(
            f"{root}: {len(samples)} calibration images are few; ranges are steady from {FEWEST} on"
        )
    if copies := _copies(samples, rows):
        warnings.append(
            f"{root}: {copies} of {len(samples)} calibration images are copies of others"
        )
    if len(samples) > 1 and (name := _one_class([sample.name for sample in samples])):
        warnings.append(
            f"{root}: all calibration images are of the one class folder '{name}';"
            " ranges of the other classes are not seen"
        )
    return warnings


def overlap_warnings(
    calibrated: Collection[str], evaluated: Collection[str], name: str
) -> list[str]:
    """Whether images of `name`, where accuracy is measured, set the ranges too; both by SHA-256."""
    shared = len(set(calibrated) & set(evaluated))
    if not shared:
        return []
    return [
        f"{name}: {shared} of its {len(evaluated)} images were calibrated with;"
        " accuracy on them flatters the int8 model"
    ]


def _copies(samples: Sequence[Sample], rows: Sequence[Mapping[str, str]]) -> int:
    """How many images could go: those whose file, or whose pixels, came before."""
    files, pixels = set[str](), set[str]()
    copies = 0
    for sample, row in zip(samples, rows, strict=True):
        looks = hashlib.sha256(sample.image.tobytes()).hexdigest()
        copies += row["sha256"] in files or looks in pixels
        files.add(row["sha256"])
        pixels.add(looks)
    return copies


def _one_class(names: Sequence[str]) -> str:
    """The one folder that all files are in, below the calibration folder; "" if that is not so."""
    folders = Counter(PurePath(name).parent.name for name in names)
    return next(iter(folders)) if len(folders) == 1 else ""
