"""A float .tflite and images to an int8 .tflite and its manifest, for a build and for a file alike.

The manifest says which images set the ranges, and every tensor's range.
"""

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from edgecv import data
from edgecv.artifacts import CENTERED, Range, TFLiteModel
from edgecv.data.calibration_lint import calibration_warnings, overlap_warnings
from edgecv.data.dataset import pick_evenly
from edgecv.data.images import Square, View
from edgecv.data.labeled import LabeledFolder
from edgecv.errors import DataError
from edgecv.files import write_atomically, write_text
from edgecv.pipeline.job import Job
from edgecv.progress import Progress, Warnings
from edgecv.quantize.activations import Image
from edgecv.quantize.engine import Quantized, Stages, post_training
from edgecv.quantize.lint import model_warnings
from edgecv.quantize.manifest import read_hashes, read_ranges, write_manifest
from edgecv.quantize.sensitivity import RANKED_ON, Sensitivity, sensitivity
from edgecv.recipe import DataOptions, QuantizeOptions, Recipe
from edgecv.tflite import flatbuffer, int8_input
from edgecv.tflite.schema import ModelT


class Calibration(NamedTuple):
    """The images that set ranges, and the manifest's rows: their files, or what is read instead."""

    images: list[Image]
    rows: list[dict[str, str]]


def read_images(
    folder: Path,
    view: View,
    recipe: Recipe,
    warnings: Warnings,
    held_out: Collection[str] = frozenset(),
) -> Calibration:
    """Images of a folder, as a model takes them, but those that accuracy is measured on.

    `held_out` are their files' SHA-256. Warns of what is wrong with the folder. Raises DataError
    where no image is left.
    """
    samples, remarks = data.calibration_folder(folder, view, recipe.quantize.images, recipe.seed)
    warnings.add(*remarks)
    pairs = list(zip(samples, data.manifest(samples, folder), strict=True))
    free = [(sample, row) for sample, row in pairs if row["sha256"] not in held_out]
    if len(free) < len(pairs):
        dropped = len(pairs) - len(free)
        warnings.add(f"{folder}: {dropped} images are evaluated on; not calibrated with")
    if not free:
        raise DataError(f"{folder}: every image in it is one that accuracy is measured on")
    rows = [row for _, row in free]
    warnings.add(*calibration_warnings(folder, [sample for sample, _ in free], rows))
    return Calibration([sample.image for sample, _ in free], rows)


@dataclass(frozen=True)
class Quantization:
    """A float model, what sets its ranges, and how its int8 twin is made."""

    source: TFLiteModel
    calibration: Calibration
    preprocessing: Mapping[str, Any]  # what is done to an image before the float model sees it
    recipe: Recipe  # of which the seed and `quantize` matter
    progress: Progress

    def write(self, path: Path, manifest: Path) -> Quantized:
        """Write the int8 model to `path`; before it, so that it is never without, the manifest."""
        options = self.recipe.quantize
        with write_atomically(path) as partial:
            result = post_training(
                self.source,
                self.calibration.images,
                partial,
                options.output,
                options.method,
                self.progress,
                Stages(dense_per_tensor=options.target == "coral"),
            )
            set_input(partial, options)
            self.write_manifest(manifest, result)
        return result

    def write_manifest(self, manifest: Path, result: Quantized) -> None:
        """Write what set the ranges of a result."""
        seed, rows = self.recipe.seed, self.calibration.rows
        write_manifest(manifest, rows, seed, self.preprocessing, result.ranges)

    def rank_layers(
        self, flat: ModelT, path: Path, images: Sequence[Image] = (), labels: Sequence[int] = ()
    ) -> list[Sensitivity]:
        """The cost of each layer of the int8 model at `path`, on some of the calibration images.

        `flat` is the float model as it was quantized. On `images` where they are named, and with
        their `labels` in accuracy, too.
        """
        few = images or pick_evenly(self.calibration.images, RANKED_ON)
        return sensitivity(flat, flatbuffer.read(path), few, labels, self.progress)


def set_input(path: Path, options: QuantizeOptions) -> None:
    """Give the int8 file at `path`, whose input is uint8, the type of input that is asked for."""
    if options.input == "int8":
        int8_input.rewrite(path)


class Findings(NamedTuple):
    """Results of a quantization that a run keeps beside its files until its report is written."""

    notes: Sequence[str] = ()
    sensitivity: Sequence[Mapping[str, Any]] = ()

    @classmethod
    def read(cls, path: Path) -> "Findings":
        """The results in a file of `write`."""
        return cls(**json.loads(path.read_text(encoding="utf-8")))


class Int8Model(NamedTuple):
    """An int8 file of a run, its activations' ranges, and the findings about it."""

    file: TFLiteModel
    ranges: Mapping[str, Range]
    findings: Findings


def quantize_model(job: Job, source: TFLiteModel, scheme: str) -> Int8Model:
    """The int8 twin of a float model; beside it, where its ranges came from."""
    path = job.file(f"model_{scheme}.tflite")
    suffix = scheme.removeprefix("int8")
    manifest = (job.run.state if suffix else job.run.path) / f"calibration{suffix}.json"
    findings = job.run.state / f"quantized{suffix}.json"
    with job.stage("quantize", [source.path], manifest, findings, path) as missing:
        if missing:
            job.progress.line(f"quantize to {scheme}")
            _write(job, source, path, manifest, findings)
    kept = Findings.read(findings)
    for note in kept.notes if missing else ():
        job.progress.line(f"  {note}")
    return Int8Model(TFLiteModel(path, scheme), read_ranges(manifest), kept)


def _write(job: Job, source: TFLiteModel, path: Path, manifest: Path, findings: Path) -> None:
    """Write a run's int8 file, by the images that its recipe names, and the findings about it.

    Raises DataError where none of those images is left.
    """
    work = Quantization(source, _calibration(job), _preprocessing(job), job.recipe, job.progress)
    if job.recipe.quantize.calibration:  # the training split was looked at before
        job.warnings.add(*model_warnings(source, work.calibration.images))
    result = work.write(path, manifest)
    layers = [layer._asdict() for layer in work.rank_layers(result.flat, path)]
    write_text(findings, json.dumps(Findings(result.notes, layers)._asdict()))


def _calibration(job: Job) -> Calibration:
    """The images that set the ranges: the named folder's, or some of the training split."""
    recipe, side = job.recipe, job.architecture.resolution
    if recipe.quantize.calibration:
        folder, view = Path(recipe.quantize.calibration), Square(side, recipe.data.crop)
        held_out = job.images.held_out if job.images else frozenset()
        return read_images(folder, view, recipe, job.warnings, held_out)
    images = job.images or data.open(DataOptions(), recipe.seed, job.progress)
    samples = images.calibration(side, recipe.quantize.images)
    root = Path(recipe.data.path) if recipe.data.path else None
    return Calibration([sample.image for sample in samples], data.manifest(samples, root))


def _preprocessing(job: Job) -> dict[str, Any]:
    """The preprocessing of an image for the float model."""
    return {
        "resolution": job.architecture.resolution,
        "crop": job.recipe.data.crop,
        **CENTERED._asdict(),
    }


def overlap(hashes: Collection[str], images: LabeledFolder) -> list[str]:
    """A warning when images that accuracy is measured on are of those that set the ranges."""
    evaluated = [photo.sha256 for photo, _ in images.photos]
    return overlap_warnings(hashes, evaluated, str(images.root))


def overlap_with_manifest(model: Path, images: LabeledFolder) -> list[str]:
    """`overlap` of images with those that the manifest beside a model names, if there is one."""
    places = (model.with_suffix(".calibration.json"), model.with_name("calibration.json"))
    manifest = next((place for place in places if place.is_file()), None)
    return overlap(read_hashes(manifest), images) if manifest else []
