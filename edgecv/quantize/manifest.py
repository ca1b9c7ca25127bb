"""calibration.json: what a model's ranges were taken from, and where it and the model may lie."""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from edgecv import files
from edgecv.artifacts import Range
from edgecv.errors import RunFolderError
from edgecv.tflite.batchnorm import record_path


def write_manifest(
    path: Path,
    rows: Iterable[Mapping[str, str]],
    seed: int,
    preprocessing: Mapping[str, Any],
    ranges: Mapping[str, Range],
) -> Path:
    """Write the representative dataset, a row of file and sha256 each, and every tensor's range."""
    manifest = {
        "files": [dict(row) for row in rows],
        "seed": seed,
        "preprocessing": dict(preprocessing),
        "ranges": {tensor: list(ends) for tensor, ends in ranges.items()},
    }
    return files.write_text(path, json.dumps(manifest, indent=1) + "\n")


def read_hashes(path: Path) -> frozenset[str]:
    """SHA-256 of each image in a calibration.json. Raises RunFolderError when it names none."""
    try:
        rows = json.loads(path.read_text(encoding="utf-8"))["files"]
        return frozenset(str(row["sha256"]) for row in rows)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise RunFolderError(f"{path}: not a readable calibration.json") from error


def read_ranges(path: Path) -> dict[str, Range]:
    """The ranges that a calibration.json holds. Raises RunFolderError when it holds none."""
    try:
        ranges = json.loads(path.read_text(encoding="utf-8"))["ranges"]
        return {tensor: Range(float(low), float(high)) for tensor, (low, high) in ranges.items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise RunFolderError(f"{path}: not a readable calibration.json") from error


def check_paths(model: Path, calibration: Path, out: Path, *others: Path | None) -> None:
    """Raise RecipeError where the int8 file, or one beside it, would replace what is read.

    `others` are further files and folders that are read; those that were not named are None.
    """
    layers = ("json", "html", "model_explorer.json")
    endings = ("calibration.json", *(f"sensitivity.{kind}" for kind in layers))
    outputs = [out, *(out.with_suffix(f".{ending}") for ending in endings)]
    inputs = [model, record_path(model), calibration, *filter(None, others)]
    files.check_outputs(outputs, inputs)
