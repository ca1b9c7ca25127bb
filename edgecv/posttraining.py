"""A float .tflite of anybody's and a folder of images, to an int8 .tflite and its manifest."""

import dataclasses
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from edgecv import data
from edgecv.artifacts import Normalization, TFLiteModel
from edgecv.data.labeled import labeled_folder
from edgecv.data.lint import calibration_warnings, overlap_warnings
from edgecv.data.unpack import check_folder
from edgecv.errors import RecipeError
from edgecv.evaluate import compare_outputs
from edgecv.files import sha256, write_text, written_whole
from edgecv.ladder import Climb, Validation, climb
from edgecv.progress import Progress, Warnings
from edgecv.quantize.activations import Image
from edgecv.quantize.checks import check_described
from edgecv.quantize.datafree import data_free
from edgecv.quantize.engine import Quantized, Stages, post_training
from edgecv.quantize.int8 import float_operators
from edgecv.quantize.lint import model_warnings
from edgecv.quantize.manifest import check_paths, write_manifest
from edgecv.quantize.pixels import saying
from edgecv.quantize.sensitivity import sensitivity, spread
from edgecv.recipe import QuantizeOptions, Recipe, check_target
from edgecv.report.sensitivity import sensitivity_page
from edgecv.tflite import contract, flatbuffer, open_batch, scale_test, trial
from edgecv.tflite.batchnorm import record_path
from edgecv.tflite.contract import Contract, ImageInput

BATCH_NORMS = "bn"  # in place of a folder: no images, but the record beside the model
LABELED = 100  # images that sensitivity is measured on where they have labels


class Calibration(NamedTuple):
    """The images that set ranges, and the manifest's rows: their files, or what is read instead."""

    images: list[Image]
    rows: list[dict[str, str]]


class Made(NamedTuple):
    """An int8 file that was written, what its ranges are from, and how it was climbed to."""

    found: Quantized
    calibration: Calibration
    climbed: Climb | None = None


class Wishes(NamedTuple):
    """What is asked of an int8 file beyond being one."""

    max_drop: float | None = None  # percent points of top-1, on the validation folder
    validation: Path | None = None  # a folder of images for each class
    labels: tuple[str, ...] = ()  # of the model, where it does not know them itself
    sensitivity: bool = False
    normalization: Normalization | None = None  # of pixels; what the file says, if left out


class Job(NamedTuple):
    """A float model, what it takes and gives, and what is wanted of its int8 twin."""

    model: Path
    said: Contract
    out: Path
    options: QuantizeOptions
    wishes: Wishes


def quantize_file(
    model: Path,
    calibration: Path,
    out: Path,
    recipe: Recipe,
    progress: Progress,
    wishes: Wishes = Wishes(),  # noqa: B008
) -> dict[str, Any]:
    """What was written: the int8 twin of a float model, and beside it where its ranges came from.

    With a largest drop, `ladder` holds every way that was tried, and whether one kept within it.
    Raises UnsupportedModelError when the model does not take one RGB image.
    """
    check_target(recipe.quantize)
    check_paths(model, calibration, out, wishes.validation)
    check_images(calibration, wishes)
    said = _read(model, wishes)
    warnings = Warnings(progress)
    validation = _validation(wishes, said, progress, warnings)
    if str(calibration) == BATCH_NORMS:
        made = _without_images(model, out, recipe)
    else:
        images = _representative(calibration, said.image, recipe, warnings)
        warnings.add(*_overlap(images.rows, validation))
        said = scale_test.resolved(said, model, images.images)
        job = Job(model, said, out, recipe.quantize, wishes)
        made = _from_images(job, images, validation, progress, warnings)
    found, (used, rows) = made.found, made.calibration
    manifest = out.with_suffix(".calibration.json")
    write_manifest(manifest, rows, recipe.seed, _preprocessing(said.image), found.ranges)
    result = {
        **_file_facts(model, out),
        "calibration": str(manifest),
        "images": len(used),
        "notes": found.notes,
        "contract": said.to_dict(),
        "warnings": warnings.texts,
    }
    if not said.output.is_of_classes and used:
        result["fidelity"] = _fidelity(model, said, out, used)
    if made.climbed:
        result["ladder"] = _ladder(made.climbed, wishes)
    if wishes.sensitivity:
        result["sensitivity"] = _sensitivity(found, out, used, validation, progress)
    return result


def _file_facts(model: Path, out: Path) -> dict[str, Any]:
    """Sizes in bytes, and what of the int8 file computes in floating point."""
    remaining = float_operators(out)
    return {
        "path": str(out),
        "bytes": out.stat().st_size,
        "float32_bytes": model.stat().st_size,
        "full_int8": not remaining,
        "float_operators": remaining,
    }


def check_named(model: Path, calibration: Path, wishes: Wishes) -> None:
    """Raise EdgecvError where what is named is not there, or no float model of one image.

    Nothing runs: it takes no time, and no TensorFlow.
    """
    flat = flatbuffer.read(model)
    open_batch.settle(flat)
    check_described(flat, str(model))
    contract.read(model, contract.Asked(wishes.normalization, wishes.labels))
    check_images(calibration, wishes)


def check_images(calibration: Path, wishes: Wishes) -> None:
    """Raise DataError where images are not there, RecipeError where they are needed."""
    if str(calibration) != BATCH_NORMS:
        check_folder(calibration, "a folder of images is needed")
    elif wishes.max_drop is not None:
        raise RecipeError("--max-drop: needs a folder of --calibration images to try more with")
    elif wishes.sensitivity and wishes.validation is None:
        raise RecipeError("--sensitivity: without calibration images, it needs --validation")
    if wishes.validation:
        check_folder(wishes.validation, "a folder with a folder for each class is needed")


def _without_images(model: Path, out: Path, recipe: Recipe) -> Made:
    """The int8 twin with ranges from the record of batch norms beside the model."""
    with written_whole(out) as partial:
        options = recipe.quantize
        coral = options.target == "coral"
        found = data_free(TFLiteModel(model, "float32"), partial, options.output, coral)
    record = record_path(model)
    return Made(found, Calibration([], [{"file": record.name, "sha256": sha256(record)}]))


def _representative(
    folder: Path, taken: ImageInput, recipe: Recipe, warnings: Warnings
) -> Calibration:
    """The calibration images and their manifest's rows; warns of what is wrong with them."""
    samples, remarks = data.calibration_folder(folder, taken, recipe.quantize.images, recipe.seed)
    rows = data.manifest(samples, folder)
    warnings.add(*remarks, *calibration_warnings(folder, samples, rows))
    return Calibration([each.image for each in samples], rows)


def _overlap(rows: Sequence[Mapping[str, str]], validation: Validation | None) -> list[str]:
    """A warning when images that accuracy is measured on set the ranges, too."""
    if validation is None:
        return []
    evaluated = [photo.sha256 for photo, _ in validation.images.photos]
    root = str(validation.images.root)
    return overlap_warnings([row["sha256"] for row in rows], evaluated, root)


def _from_images(
    job: Job,
    calibration: Calibration,
    validation: Validation | None,
    progress: Progress,
    warnings: Warnings,
) -> Made:
    """The int8 twin with ranges from images, by way of the ladder where there is a budget."""
    images, options, max_drop = calibration.images, job.options, job.wishes.max_drop
    with saying(job.model, job.said) as reference:
        warnings.add(*job.said.image.warnings(job.model.name))
        warnings.add(*model_warnings(reference, images))
        if validation and max_drop is not None:
            climbed = climb(reference, images, job.out, options, validation, max_drop, progress)
            return Made(climbed.kept, calibration, climbed)
        with written_whole(job.out) as partial:
            stages = Stages(dense_per_tensor=options.target == "coral")
            found = post_training(
                reference, images, partial, options.output, options.method, progress, stages
            )
        return Made(found, calibration)


def _fidelity(model: Path, said: Contract, out: Path, images: Sequence[Image]) -> dict[str, Any]:
    """How alike the int8 file's numbers are to the float model's, that are no scores."""
    first = TFLiteModel(model, "float32", said.image.normalization)
    samples = [data.Sample(image, -1, "") for image in spread(images, LABELED)]
    return compare_outputs(first, TFLiteModel(out, "int8"), samples, "calibration images")


def _read(model: Path, wishes: Wishes) -> Contract:
    """The contract of a model that is about to be quantized, and that does not crash the runtime.

    Raises UnsupportedModelError, DataError as `contract.read`.
    """
    said = contract.read(model, contract.Asked(wishes.normalization, wishes.labels))
    trial.survived(model)
    return said


def _preprocessing(taken: ImageInput) -> dict[str, Any]:
    """What is done to an image before the float model sees it."""
    square = taken.height == taken.width
    size = taken.height if square else list(taken.size)
    return {"resolution": size, "crop": taken.crop, **taken.normalization._asdict()}


def _validation(
    wishes: Wishes, said: Contract, progress: Progress, warnings: Warnings
) -> Validation | None:
    """The labeled images that were named, checked."""
    if wishes.validation is None:
        return None
    said.output.check_labels(said.name)
    names, classes = said.output.labels, said.output.classes
    images = labeled_folder(wishes.validation, names, progress, classes)
    warnings.add(*images.warnings)
    if not said.output.is_of_classes and classes != len(images.labels):
        raise RecipeError(
            f"--validation: {said.name} gives {said.output.size} numbers that are no scores of"
            f" {len(images.labels)} classes; leave it out, or name its classes with --labels"
        )
    if images.assumption:
        warnings.add(images.assumption)
    return Validation(images, said.image)


def _ladder(done: Climb, wishes: Wishes) -> dict[str, Any]:
    """The ladder in the result's form."""
    return {
        "max_drop": wishes.max_drop,
        "met": done.met,
        "best": done.best.name,
        "rungs": [each._asdict() for each in done.rungs],
    }


def _sensitivity(
    found: Quantized,
    out: Path,
    images: Sequence[Image],
    validation: Validation | None,
    progress: Progress,
) -> dict[str, Any]:
    """Sensitivity in the result's form, written beside the int8 file as JSON and as a page."""
    some, labels = list(spread(images)), []
    if validation:
        photos = spread(validation.images.photos, LABELED)
        few = dataclasses.replace(validation.images, photos=photos)
        samples = list(few.samples(validation.taken))
        some, labels = [each.image for each in samples], [each.label for each in samples]
    rows = sensitivity(found.flat, flatbuffer.read(out), some, labels, progress)
    layers = [each._asdict() for each in rows]
    table = {"images": len(some), "layers": layers}
    file, page = (out.with_suffix(f".sensitivity.{kind}") for kind in ("json", "html"))
    write_text(file, json.dumps(table, indent=1) + "\n")
    write_text(page, sensitivity_page(out.name, layers, len(some)))
    return {"file": str(file), "page": str(page), **table}
