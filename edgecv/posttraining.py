"""A float .tflite of anybody's and a folder of images, to an int8 .tflite and its manifest."""

from pathlib import Path
from typing import Any

from edgecv import data
from edgecv.artifacts import CENTERED, TFLiteModel
from edgecv.errors import UnsupportedModelError
from edgecv.files import written_whole
from edgecv.progress import Progress
from edgecv.quantize.engine import post_training
from edgecv.quantize.int8 import float_operators
from edgecv.quantize.manifest import write_manifest
from edgecv.recipe import Recipe
from edgecv.tflite import metadata, runtime


def quantize_file(
    model: Path, calibration: Path, out: Path, recipe: Recipe, progress: Progress
) -> dict[str, Any]:
    """What was written: the int8 twin of a float model, and beside it where its ranges came from.

    Raises UnsupportedModelError when the model does not take one RGB image.
    """
    options, side = recipe.quantize, image_side(model)
    crop = (metadata.read(model) or metadata.Metadata()).crop
    samples = data.calibration_folder(
        calibration, side, options.images, crop, recipe.seed, progress
    )
    with written_whole(out) as partial:
        found = post_training(
            TFLiteModel(model, "float32"),
            [each.image for each in samples],
            partial,
            options.output,
            progress=progress,
        )
    manifest = out.with_suffix(".calibration.json")
    preprocessing = {"resolution": side, "crop": crop, **CENTERED._asdict()}
    rows = data.manifest(samples, calibration)
    write_manifest(manifest, rows, recipe.seed, preprocessing, found.ranges)
    remaining = float_operators(out)
    return {
        "path": str(out),
        "bytes": out.stat().st_size,
        "float32_bytes": model.stat().st_size,
        "calibration": str(manifest),
        "images": len(samples),
        "full_int8": not remaining,
        "float_operators": remaining,
        "notes": found.notes,
    }


def image_side(model: Path) -> int:
    """The side in pixels of the square RGB image that a model takes."""
    shape = [int(each) for each in runtime.load(model).get_input_details()[0]["shape"]]
    if len(shape) != 4 or shape[0] != 1 or shape[1] != shape[2] or shape[3] != 3:
        raise UnsupportedModelError(
            f"{model}: the input must be one square RGB image [1, side, side, 3], got {shape}"
        )
    return shape[1]
