"""From any float .tflite and a folder of images to an int8 .tflite and its manifest."""

import dataclasses
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from edgecv import data
from edgecv.artifacts import Normalization, TFLiteModel
from edgecv.data.dataset import pick_evenly
from edgecv.data.labeled import open_labeled
from edgecv.data.unpack import check_folder
from edgecv.errors import RecipeError
from edgecv.evaluate.accuracy import compare_outputs
from edgecv.files import sha256, write_atomically, write_text
from edgecv.pipeline.accuracy_budget import BudgetResult, Validation, meet_budget
from edgecv.pipeline.quantize import (
    Calibration,
    Quantization,
    overlap,
    read_images,
    set_input,
)
from edgecv.progress import QUIET, Progress, Warnings
from edgecv.quantize.activations import Image
from edgecv.quantize.checks import check_described
from edgecv.quantize.datafree import data_free
from edgecv.quantize.engine import Quantized
from edgecv.quantize.int8 import float_operators
from edgecv.quantize.lint import model_warnings
from edgecv.quantize.manifest import check_paths
from edgecv.quantize.pixels import saying
from edgecv.quantize.sensitivity import RANKED_ON, Sensitivity
from edgecv.recipe import Recipe, check_target
from edgecv.report import model_explorer
from edgecv.report.sensitivity import sensitivity_page
from edgecv.tflite import contract, delegation, flatbuffer, open_batch, scale_test, smoke_load
from edgecv.tflite.batchnorm import record_path
from edgecv.tflite.contract import Contract, ImageInput

BATCH_NORMS = "bn"  # in place of a folder: no images, but the record beside the model
LABELED = 100  # images that sensitivity is measured on where they have labels


class Request(NamedTuple):
    """The optional requirements on an int8 file."""

    max_drop: float | None = None  # percent points of top-1, on the validation folder
    validation: Path | None = None  # a folder of images for each class
    labels: tuple[str, ...] = ()  # of the model, where it does not know them itself
    sensitivity: bool = False
    normalization: Normalization | None = None  # of pixels; None: as the file says


class LayerCosts(NamedTuple):
    """The cost of each layer of an int8 file, and the files that list it."""

    file: Path
    page: Path
    images: int
    layers: list[Sensitivity]

    def to_dict(self) -> dict[str, Any]:
        """The table as JSON has it."""
        rows = [layer._asdict() for layer in self.layers]
        files = {"file": str(self.file), "page": str(self.page)}
        return {**files, "images": self.images, "layers": rows}


@dataclass(frozen=True)
class QuantizedFile:
    """A written int8 file and its figures; None for those that were not asked for."""

    path: Path
    float32: Path
    calibration: Path  # the manifest
    images: int
    notes: list[str]
    contract: Contract
    warnings: list[str]
    fidelity: dict[str, Any] | None = None  # of numbers that are no scores of classes
    budget: BudgetResult | None = None
    sensitivity: LayerCosts | None = None

    def to_dict(self) -> dict[str, Any]:
        """The JSON of `edgecv quantize --json`; sizes in bytes."""
        remaining = float_operators(self.path)
        optional = {
            "fidelity": self.fidelity,
            "ladder": self.budget and self.budget.to_dict(),
            "sensitivity": self.sensitivity and self.sensitivity.to_dict(),
        }
        return {
            "path": str(self.path),
            "bytes": self.path.stat().st_size,
            "float32_bytes": self.float32.stat().st_size,
            "full_int8": not remaining,
            "float_operators": remaining,
            "xnnpack": delegation.measure(self.path),
            "calibration": str(self.calibration),
            "images": self.images,
            "input": contract.read(self.path).image.grid.dtype,
            "notes": self.notes,
            "contract": self.contract.to_dict(),
            "warnings": self.warnings,
            **{key: value for key, value in optional.items() if value is not None},
        }


def quantize_file(
    model: Path,
    calibration: Path,
    out: Path,
    recipe: Recipe = Recipe(),  # noqa: B008
    progress: Progress = QUIET,
    request: Request = Request(),  # noqa: B008
) -> QuantizedFile:
    """Write the int8 twin of a float model to `out`, and beside it where its ranges came from.

    With a largest drop, `budget` holds every attempt, and whether one kept within it. Raises
    UnsupportedModelError when the model does not take one RGB image.
    """
    check_target(recipe.quantize)
    check_paths(model, calibration, out, request.validation)
    check_images(calibration, request)
    described = _read_contract(model, request)
    warnings = Warnings(progress)
    validation = _validation(request, described, progress, warnings)
    job = FileJob(model, described, out, recipe, request, validation, progress, warnings)
    if str(calibration) == BATCH_NORMS:
        return job.from_batch_norms()
    images = read_images(calibration, described.image, recipe, warnings)
    if validation:
        warnings.add(*overlap([row["sha256"] for row in images.rows], validation.images))
    settled = scale_test.decide_scale(described, model, images.images)
    return dataclasses.replace(job, contract=settled).from_images(images)


@dataclass(frozen=True)
class FileJob:
    """A float model, what it takes and gives, and what is wanted of its int8 twin."""

    model: Path
    contract: Contract
    out: Path
    recipe: Recipe
    request: Request
    validation: Validation | None
    progress: Progress
    warnings: Warnings

    @property
    def manifest(self) -> Path:
        """The file that says what set the ranges."""
        return self.out.with_suffix(".calibration.json")

    def from_batch_norms(self) -> QuantizedFile:
        """The int8 twin with ranges from the record of batch norms beside the model."""
        options, record = self.recipe.quantize, record_path(self.model)
        source = TFLiteModel(self.model, "float32")
        with write_atomically(self.out) as partial:
            result = data_free(source, partial, options.output, options.target == "coral")
            set_input(partial, options)
        rows = [{"file": record.name, "sha256": sha256(record)}]
        work = self._work(source, Calibration([], rows))
        work.write_manifest(self.manifest, result)
        return self._finished(work, result)

    def from_images(self, calibration: Calibration) -> QuantizedFile:
        """The int8 twin with ranges from images, by several attempts where there is a budget."""
        with saying(self.model, self.contract) as reference:
            self.warnings.add(*self.contract.image.warnings(self.model.name))
            self.warnings.add(*model_warnings(reference, calibration.images))
            work, max_drop = self._work(reference, calibration), self.request.max_drop
            if self.validation is None or max_drop is None:
                return self._finished(work, work.write(self.out, self.manifest))
            budget = meet_budget(work, self.out, self.validation, max_drop)
            work.write_manifest(self.manifest, budget.kept)
            return self._finished(work, budget.kept, budget)

    def _work(self, source: TFLiteModel, calibration: Calibration) -> Quantization:
        preprocessing = _preprocessing(self.contract.image)
        return Quantization(source, calibration, preprocessing, self.recipe, self.progress)

    def _finished(
        self, work: Quantization, result: Quantized, budget: BudgetResult | None = None
    ) -> QuantizedFile:
        """The result for a written file, with all that is asked of it."""
        images = work.calibration.images
        return QuantizedFile(
            self.out,
            self.model,
            self.manifest,
            len(images),
            result.notes,
            self.contract,
            self.warnings.texts,
            None if self.contract.output.is_of_classes or not images else self._fidelity(images),
            budget,
            self._layers(work, result) if self.request.sensitivity else None,
        )

    def _fidelity(self, images: Sequence[Image]) -> dict[str, Any]:
        """How alike the int8 file's numbers are to the float model's, that are no scores."""
        first = TFLiteModel(self.model, "float32", self.contract.image.normalization)
        samples = [data.Sample(image, -1, "") for image in pick_evenly(images, LABELED)]
        second = TFLiteModel(self.out, "int8")
        return compare_outputs(first, second, samples, "calibration images")

    def _layers(self, work: Quantization, result: Quantized) -> LayerCosts:
        """Sensitivity, written beside the int8 file as JSON and as a page."""
        images, labels = [*pick_evenly(work.calibration.images, RANKED_ON)], list[int]()
        if self.validation:
            few = self.validation.images.some(LABELED)
            samples = list(few.samples(self.validation.taken))
            images = [sample.image for sample in samples]
            labels = [sample.label for sample in samples]
        rows = work.rank_layers(result.flat, self.out, images, labels)
        file, page = (self.out.with_suffix(f".sensitivity.{kind}") for kind in ("json", "html"))
        layers = [row._asdict() for row in rows]
        table = {"images": len(images), "layers": layers}
        write_text(file, json.dumps(table, indent=1) + "\n")
        write_text(page, sensitivity_page(self.out.name, layers, len(images)))
        nodes = self.out.with_suffix(f".sensitivity.{model_explorer.SUFFIX}")
        model_explorer.write_node_data(nodes, [(row.tensor, row.loss) for row in rows])
        return LayerCosts(file, page, len(images), rows)


def check_named(model: Path, calibration: Path, request: Request) -> None:
    """Raise EdgecvError where what is named is not there, or no float model of one image.

    Nothing runs: it takes no time, and no TensorFlow.
    """
    flat = flatbuffer.read(model)
    open_batch.set_batch(flat)
    check_described(flat, str(model))
    contract.read(model, contract.Asked(request.normalization, request.labels))
    check_images(calibration, request)


def check_images(calibration: Path, request: Request) -> None:
    """Raise DataError where images are not there, RecipeError where they are needed."""
    if str(calibration) != BATCH_NORMS:
        check_folder(calibration, "a folder of images is needed")
    elif request.max_drop is not None:
        raise RecipeError("--max-drop: needs a folder of --calibration images to try more with")
    elif request.sensitivity and request.validation is None:
        raise RecipeError("--sensitivity: without calibration images, it needs --validation")
    if request.validation:
        check_folder(request.validation, "a folder with a folder for each class is needed")


def _read_contract(model: Path, request: Request) -> Contract:
    """The contract of a model that is about to be quantized, and that does not crash the runtime.

    Raises UnsupportedModelError, DataError as `contract.read`.
    """
    described = contract.read(model, contract.Asked(request.normalization, request.labels))
    smoke_load.load_in_child(model)
    return described


def _preprocessing(taken: ImageInput) -> dict[str, Any]:
    """The preprocessing of an image for the float model."""
    square = taken.height == taken.width
    size = taken.height if square else list(taken.size)
    return {"resolution": size, "crop": taken.crop, **taken.normalization._asdict()}


def _validation(
    request: Request, described: Contract, progress: Progress, warnings: Warnings
) -> Validation | None:
    """The labeled images that were named, checked."""
    if request.validation is None:
        return None
    output = described.output
    output.check_labels(described.name)
    images = open_labeled(request.validation, output.labels, progress, output.classes)
    warnings.add(*images.warnings)
    if not output.is_of_classes and output.classes != len(images.labels):
        raise RecipeError(
            f"--validation: {described.name} gives {output.size} numbers that are no scores of"
            f" {len(images.labels)} classes; leave it out, or name its classes with --labels"
        )
    if images.assumption:
        warnings.add(images.assumption)
    return Validation(images, described.image)
