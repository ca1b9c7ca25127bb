"""From a recipe to a run folder: the stages in order, and nowhere else.

Each stage is a plain function from artefact to artefact; one whose file is there is not run again.
"""

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgecv import __version__, data, models, report
from edgecv.artifacts import CENTERED, Range, Report, TFLiteModel
from edgecv.data import Dataset, Sample
from edgecv.errors import DataError, RecipeError
from edgecv.evaluate import Evaluation, evaluate
from edgecv.files import sha256, write_text, written_whole
from edgecv.models import weights
from edgecv.profile import profile
from edgecv.progress import Progress
from edgecv.quantize.calibrate import calibrate
from edgecv.quantize.int8 import full_int8, quantize
from edgecv.quantize.manifest import read_ranges, write_manifest
from edgecv.recipe import DataOptions, Recipe
from edgecv.runfolder import RunFolder, open_run
from edgecv.tflite import flatbuffer, metadata, operators


def run_name(recipe: Recipe) -> str:
    """`mobilenet_v1_075_160_int8`: arch, width, side and scheme, as recipes are named."""
    model = models.resolve(recipe.model)
    width = f"{model.width:.2f}".replace(".", "")
    scheme = "float32" if recipe.quantize.scheme == "none" else recipe.quantize.scheme
    return f"{model.arch}_{width}_{model.resolution}_{scheme}"


def build(
    recipe: Recipe, out: Path, progress: Progress | None = None, force: bool = False
) -> Report:
    """Carry a model through every stage of its recipe; what each one made lies in `out`.

    An interrupted run goes on where it stopped; a finished one is only read.
    """
    progress = progress or Progress()
    recipe = _expanded(dataclasses.replace(recipe, model=models.resolve(recipe.model)))
    images = _images(recipe, progress)
    recipe = _pinned(recipe, images)
    with open_run(out, recipe, force) as run:
        if run.finished:
            progress.line(f"{out}: finished before; --force builds it anew")
        else:
            _run(Job(recipe, images, _labels(recipe, images, progress), run, progress))
    return report.load(out)


def _expanded(recipe: Recipe) -> Recipe:
    """The recipe with `~` in its paths as the user's home."""
    replace = dataclasses.replace
    return replace(
        recipe,
        model=replace(recipe.model, weights=_at_home(recipe.model.weights)),
        data=replace(recipe.data, path=_at_home(recipe.data.path)),
        quantize=replace(recipe.quantize, calibration=_at_home(recipe.quantize.calibration)),
    )


def _at_home(path: str) -> str:
    return str(Path(path).expanduser()) if path.startswith("~") else path


def _images(recipe: Recipe, progress: Progress) -> Dataset | None:
    """The labelled images of a run: a folder, the built-in signs, or none at all.

    Raises RecipeError when a stage of the recipe would need images that nobody named.
    """
    start = recipe.model.weights
    if recipe.data.path or not start:
        return data.open(recipe.data, recipe.seed, progress, recipe.train.images_per_epoch)
    if recipe.quantize.scheme == "int8" and start != "random" and not recipe.quantize.calibration:
        raise RecipeError(
            f"weights {start}: int8 needs a representative dataset; name images like the"
            " camera's with --calibration DIR or --data DIR, or use --quantize float16"
        )
    return None


def _pinned(recipe: Recipe, images: Dataset | None) -> Recipe:
    """The recipe with the hashes of its images and its weights file.

    Raises RecipeError when it names the hash of others.
    """
    weights_file = Path(recipe.model.weights)
    found = {
        "data": images.digest if images else "",
        "model": sha256(weights_file) if weights_file.is_file() else "",
    }
    for section, digest in found.items():
        options = getattr(recipe, section)
        if options.sha256 not in ("", digest):
            path = recipe.data.path if section == "data" else recipe.model.weights
            raise RecipeError(
                f"{section}.sha256: the recipe was made from something else than '{path}' is now;"
                " restore that, or remove the key"
            )
        recipe = dataclasses.replace(
            recipe, **{section: dataclasses.replace(options, sha256=digest)}
        )
    return recipe


def _labels(recipe: Recipe, images: Dataset | None, progress: Progress) -> tuple[str, ...]:
    """The class names: the data's, ImageNet's, or numbers where nobody knows them.

    Raises RecipeError when `classes` contradicts the data.
    """
    wanted = recipe.model.classes
    if images:
        if wanted not in (None, len(images.labels)):
            raise RecipeError(
                f"--classes {wanted}: {images.name} has {len(images.labels)} classes;"
                " leave --classes out"
            )
        return images.labels
    known = weights.classes_of(recipe.model)
    if recipe.model.weights == "imagenet" and wanted in (None, known):
        return weights.imagenet_labels(progress)
    return tuple(str(number) for number in range(wanted or known or 1000))


@dataclass(frozen=True)
class Job:
    """One run on its way: what every stage may look at."""

    recipe: Recipe
    images: Dataset | None
    labels: tuple[str, ...]
    run: RunFolder
    progress: Progress

    def file(self, name: str) -> Path:
        """A file of the run folder."""
        return self.run.path / name


def _run(job: Job) -> None:
    """All stages, in order; the report comes last."""
    write_text(job.file("labels.txt"), "".join(f"{label}\n" for label in job.labels))
    model = _trained(job)
    reference = _converted(job, model)
    candidate, ranges = _quantized(job, model, reference)
    evaluation = _evaluated(job, reference, candidate)
    files = [each for each in (reference, candidate) if each]
    latency = [profile(each, job.recipe.profile, progress=job.progress) for each in files]
    finished = _report(job, model.count_params(), files, evaluation, latency)
    shown = evaluation.predictions if evaluation else []
    report.write(job.run.path, finished, report.Details(job.labels, ranges, shown))


def _trained(job: Job) -> Any:
    """The Keras model with its weights, as model.keras holds it."""
    from edgecv.train import train

    options, path = job.recipe.model, job.file("model.keras")
    if path.exists():
        model = models.build(options, len(job.labels))
        stored = dataclasses.replace(options, weights=str(path))
        weights.load(model, stored, Progress())
        return model
    with job.run.timed("train"):
        model = train(job.recipe, job.images, len(job.labels), job.run.state, job.progress)
        with written_whole(path) as partial:
            model.save(partial)
    return model


def _converted(job: Job, model: Any, scheme: str = "float32") -> TFLiteModel:
    """The .tflite at batch 1, with its labels."""
    from edgecv.convert.keras import convert

    options, path = job.recipe.model, job.file(f"model_{scheme}.tflite")
    if not path.exists():
        job.progress.line(f"convert to {scheme}")
        with job.run.timed("convert"), written_whole(path) as partial:
            convert(model, partial, models.normalization(options), scheme)
            metadata.attach(
                partial, metadata.Metadata(job.labels, options.arch, job.recipe.data.crop)
            )
    return TFLiteModel(path, scheme)


def _quantized(
    job: Job, model: Any, reference: TFLiteModel
) -> tuple[TFLiteModel | None, dict[str, Range]]:
    """The smaller model of the recipe's scheme, and the ranges that an int8 one stands on."""
    scheme = job.recipe.quantize.scheme
    if scheme == "none":
        return None, {}
    if scheme != "int8":
        return _converted(job, model, scheme), {}
    manifest, path = job.file("calibration.json"), job.file("model_int8.tflite")
    with job.run.timed("quantize"):
        if not manifest.exists():
            samples = _representative(job)
            ranges = calibrate(reference, [each.image for each in samples], job.progress)
            rows = data.manifest(samples, _calibration_root(job.recipe))
            write_manifest(manifest, rows, job.recipe.seed, _preprocessing(job), ranges)
        ranges = read_ranges(manifest)
        if not path.exists():
            job.progress.line("quantise to int8")
            with written_whole(path) as partial:
                quantize(reference, ranges, partial, job.recipe.quantize.output)
    return TFLiteModel(path, scheme), ranges


def _representative(job: Job) -> list[Sample]:
    """The images that set the ranges: the named folder's, or some of the training split."""
    recipe = job.recipe
    options, resolution = recipe.quantize, recipe.model.resolution or 224
    if not options.calibration:
        images = job.images or data.open(DataOptions(), recipe.seed, job.progress)
        return images.calibration(resolution, options.images)
    folder, crop = Path(options.calibration), recipe.data.crop
    samples = data.calibration_folder(
        folder, resolution, options.images, crop, recipe.seed, job.progress
    )
    held_out = job.images.held_out if job.images else frozenset()
    kept = [each for each in samples if sha256(folder / each.name) not in held_out]
    if len(kept) < len(samples):
        dropped = len(samples) - len(kept)
        job.progress.warn(f"{folder}: {dropped} images are evaluated on; not calibrated with")
    if not kept:
        raise DataError(f"{folder}: every image in it is one that accuracy is measured on")
    return kept


def _calibration_root(recipe: Recipe) -> Path | None:
    """The folder that the representative images' names start from; None for renders."""
    folder = recipe.quantize.calibration or recipe.data.path
    return Path(folder) if folder else None


def _preprocessing(job: Job) -> dict[str, Any]:
    """What was done to an image before the float model saw it."""
    return {
        "resolution": job.recipe.model.resolution,
        "crop": job.recipe.data.crop,
        "mean": CENTERED.mean,
        "std": CENTERED.std,
    }


def _quantization(scheme: str, smallest: TFLiteModel) -> dict[str, Any]:
    """How the smallest file's numbers are stored, and what it computes."""
    methods = {
        "int8": "int8, per-channel weights, ReLU6-aware min-max ranges",
        "float16": "float16 weights",
        "dynamic": "int8 weights, float activations",
        "none": "none",
    }
    counts = operators.counts(flatbuffer.read(smallest.path))
    whole = scheme == "int8" and full_int8(smallest.path)
    return {"method": methods[scheme], "operators": counts, "full_int8": whole}


def _evaluated(
    job: Job, reference: TFLiteModel, candidate: TFLiteModel | None
) -> Evaluation | None:
    """Accuracy on the held-out images; None where there are none, or nothing was ever learnt."""
    images = job.images
    if images is None or job.recipe.model.weights == "random":
        return None
    samples = images.validation(job.recipe.model.resolution or 224)
    with job.run.timed("evaluate"):
        return evaluate(reference, candidate, samples, job.labels, images.name, job.progress)


def _report(
    job: Job,
    parameters: int,
    files: list[TFLiteModel],
    evaluation: Evaluation | None,
    latency: list[dict[str, Any]],
) -> Report:
    """Everything that was measured, in report.json's form."""
    options = job.recipe.model
    trained = job.images is not None and options.weights != "random"
    start = options.weights if options.weights in ("imagenet", "random") else "file"
    return Report(
        edgecv=__version__,
        arch=options.arch,
        width=options.width or 1.0,
        resolution=options.resolution or 224,
        classes=len(job.labels),
        parameters=parameters,
        macs=operators.macs(flatbuffer.read(files[0].path)),
        weights="trained" if trained and job.recipe.train.epochs != 0 else start,
        files={each.scheme: each.describe() for each in files},
        quantization=_quantization(job.recipe.quantize.scheme, files[-1]),
        accuracy=evaluation.accuracy if evaluation else None,
        latency=latency,
        seconds=job.run.seconds,
        warnings=job.progress.warnings,
    )
