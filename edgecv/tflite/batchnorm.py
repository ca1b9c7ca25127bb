"""`model_float32.batchnorm.json`: what batch normalization says of a float model's activations.

    {"schema": 1, "sha256": "<of the .tflite file>",
     "tensors": {"stem_relu6": {"mean": [0.1, ...], "std": [1.2, ...]}, ...}}

Of each tensor that a normalized convolution makes, by its name in the .tflite file: mean and
standard deviation of every channel, before an activation that is fused into the convolution.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from edgecv import files
from edgecv.errors import UnsupportedModelError

SCHEMA = 1


class Normal(NamedTuple):
    """Normal distributions, one for each channel."""

    mean: npt.NDArray[np.floating[Any]]
    std: npt.NDArray[np.floating[Any]]


def record_path(model: Path) -> Path:
    """Where the record of a .tflite file lies: beside it."""
    return model.with_suffix(".batchnorm.json")


def write(path: Path, normals: Mapping[str, Normal], sha256: str) -> Path:
    """Write the record of a .tflite file with this hash to `path`."""
    tensors = {
        name: {key: np.asarray(row, float).tolist() for key, row in normal._asdict().items()}
        for name, normal in normals.items()
    }
    record = {"schema": SCHEMA, "sha256": sha256, "tensors": tensors}
    return files.write_text(path, json.dumps(record) + "\n")


def read(model: Path) -> dict[str, Normal]:
    """The record beside a .tflite file, by the names of its tensors.

    Raises UnsupportedModelError when there is none, or it is damaged or of another file.
    """
    path = record_path(model)
    if model.is_file() and not path.is_file():
        raise UnsupportedModelError(
            f"{model}: no {path.name} beside it, so --calibration bn has nothing to go by;"
            " `edgecv build` writes one for MobileNet and EfficientNet, which have batch"
            " normalization (SqueezeNet has none); else name a folder of images"
        )
    digest = files.sha256(model) if model.is_file() else ""
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        if record["sha256"] != digest:
            raise UnsupportedModelError(f"{path}: is of another model than {model}")
        return {name: _normal(entry) for name, entry in record["tensors"].items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise UnsupportedModelError(f"{path}: not a readable record of batch norms") from error


def _normal(row: Mapping[str, Any]) -> Normal:
    normal = Normal(np.array(row["mean"], float), np.array(row["std"], float))
    if not normal.mean.ndim == normal.std.ndim == 1 or len(normal.mean) != len(normal.std):
        raise ValueError("mean and std must be lists of one length")
    if not (np.isfinite(normal).all() and (normal.std >= 0).all()):
        raise ValueError("means must be finite, and deviations not negative")
    return normal
