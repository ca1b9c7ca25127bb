"""From a recipe to a run folder: the stages in order, and nowhere else.

Each stage is a plain function from artifact to artifact; one whose file is there is not run again.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

from edgecv import __version__, models, report
from edgecv.artifacts import Range, Report, TFLiteModel
from edgecv.coral.section import section
from edgecv.data import Dataset
from edgecv.data.identity import images_sha256
from edgecv.evaluate.accuracy import Evaluation, evaluate
from edgecv.files import write_text, written_whole
from edgecv.models import weights
from edgecv.pipeline import compare as comparison
from edgecv.pipeline import inputs
from edgecv.pipeline import prune as pruning
from edgecv.pipeline.cache import StageCache
from edgecv.pipeline.folder import check_kept, open_run
from edgecv.pipeline.job import Job
from edgecv.pipeline.quantize import Findings, quantize_run
from edgecv.profile import profile
from edgecv.progress import OnEpoch, Progress, Warnings
from edgecv.quantize.int8 import full_int8
from edgecv.quantize.manifest import read_ranges
from edgecv.recipe import Recipe
from edgecv.report import figures, lint
from edgecv.tflite import batchnorm, flatbuffer, metadata, operators


def run_name(recipe: Recipe) -> str:
    """`mobilenet_v1_075_160_int8`: arch, width, side and scheme, as recipes are named.

    Pruning adds its kind, the Edge TPU `_coral`, quantization-aware training `_qat`.
    """
    model = models.resolve(recipe.model)
    width = f"{model.width:.2f}".replace(".", "")
    scheme = "float32" if recipe.quantize.scheme == "none" else recipe.quantize.scheme
    kind = "" if recipe.prune.kind == "none" else f"_{recipe.prune.kind.replace(':', '_')}"
    kind += "_coral" * (recipe.quantize.target == "coral")
    return f"{model.arch}_{width}_{model.resolution}_{scheme}{kind}" + "_qat" * recipe.train.qat


def build(
    recipe: Recipe,
    out: Path,
    progress: Progress | None = None,
    force: bool = False,
    cache: StageCache | None = None,
    measure: bool = True,
    on_epoch: OnEpoch | None = None,
) -> Report:
    """Carry a model through every stage of its recipe; what each one made lies in `out`.

    An interrupted run goes on where it stopped; a finished one is only read. What `cache` holds is
    not made again. Without `measure`, the latency is left to others, who have the machine alone.
    `on_epoch` is called after each epoch of the training, and may end the run by raising.
    """
    progress = progress or Progress()
    warnings = Warnings(progress)
    recipe = inputs.resolved(recipe)
    check_kept(out, recipe, force)
    images = inputs.images(recipe, progress)
    warnings.add(*(images.warnings if images else ()))
    recipe = inputs.pinned(recipe, images)
    with open_run(out, recipe, force, wait=cache is not None) as run:
        if run.finished:
            progress.line(f"{out}: finished before; --force builds it anew")
        else:
            labels = inputs.labels(recipe, images, progress)
            warnings.add(*labels.warnings, *weights.assumptions(recipe.model))
            pruning.check(recipe, images, len(labels.names))
            job = Job(recipe, images, labels.names, run, progress, cache, warnings, on_epoch)
            _run(job, measure)
    return report.load(out)


def _run(job: Job, measure: bool) -> None:
    """All stages, in order; the report comes last."""
    write_text(job.file("labels.txt"), "".join(f"{label}\n" for label in job.labels))
    dense, (job, model) = job, _pruned(job, _trained(job))
    reference = _converted(job, model)
    smaller = _smaller(job, model, reference)
    files = [reference, *_sparse_twin(job, model), *smaller.models]
    evaluation = _evaluated(job, files)
    timed = files if measure else []
    latency = [profile(each, job.recipe.profile, progress=job.progress) for each in timed]
    quantization = _quantization(job.recipe, files[-1], smaller.findings.notes)
    edge_tpu = section(files[-1].path, job.recipe.quantize, job.progress)
    job.warnings.add(*edge_tpu.warnings)
    finished = _report(job, model.count_params(), files, quantization, evaluation, latency)
    described = pruning.described(job.recipe, files[-1])
    finished = dataclasses.replace(finished, pruning=described, coral=edge_tpu.table)
    if job.recipe.prune.compare and job.images:
        finished = _compared(dense, job.images, finished)
    shown = evaluation.predictions if evaluation else []
    details = report.Details(job.labels, smaller.ranges, shown, smaller.findings.sensitivity)
    report.write(job.run.path, finished, details)


def _trained(job: Job) -> Any:
    """The Keras model with its weights, as model.keras holds it."""
    from edgecv.train import train

    path = job.file("model.keras")
    with job.stage("train", [], path) as missing:
        if missing:
            classes, state = len(job.labels), job.run.state
            model = train(job.recipe, job.images, classes, state, job.progress, job.on_epoch)
            with written_whole(path) as partial:
                model.save(partial)
            return model
    return _stored(job, path)


def _stored(job: Job, path: Path) -> Any:
    """The Keras model with the weights that an earlier attempt left."""
    options = dataclasses.replace(job.recipe.model, weights=str(path))
    model = models.build(job.recipe.model, len(job.labels))
    weights.load(model, options, Progress())
    return model


def _pruned(job: Job, model: Any) -> tuple[Job, Any]:
    """The pruned model, as model_pruned.keras holds it, and the run with its table of channels."""
    if job.recipe.prune.kind == "none" or job.images is None:
        return job, model
    path = job.file("model_pruned.keras")
    with job.stage("prune", [job.file("model.keras")], path) as missing:
        if missing:
            found = pruning.pruned(job.recipe, model, job.images, job.run.state, job.progress)
            with written_whole(path) as partial:
                found.save(partial)
    recipe = pruning.narrowed(job.recipe, path)
    if recipe.model.channels:
        again = pruning.again(recipe, path)
        write_text(job.file("recipe_pruned.toml"), again.to_toml())
    job = dataclasses.replace(job, recipe=recipe)
    return job, pruning.stored(recipe, path, len(job.labels))


def _sparse_twin(job: Job, model: Any) -> list[TFLiteModel]:
    """The float model with its zeros left out, for the runtimes that have sparse kernels."""
    wanted = job.recipe.prune.kind == "xnnpack"
    return [_converted(job, model, "float32_sparse")] if wanted else []


def _converted(
    job: Job, model: Any, scheme: str = "float32", path: Path | None = None
) -> TFLiteModel:
    """The .tflite at batch 1, with its labels; in the run's folder, if no path is given."""
    from edgecv.convert.batchnorm import record
    from edgecv.convert.keras import convert

    options, source = job.recipe.model, job.file("model_qat.keras") if path else job.network
    path = path or job.file(f"model_{scheme}.tflite")
    statistics = [batchnorm.record_path(path)] if scheme == "float32" else []
    with job.stage("convert", [source], path, beside=statistics, scheme=scheme) as missing:
        if missing:
            job.progress.line(f"convert to {scheme}")
            with written_whole(path) as partial:
                convert(model, partial, models.normalization(options), scheme)
                metadata.attach(
                    partial, metadata.Metadata(job.labels, options.arch, job.recipe.data.crop)
                )
                for each in statistics:
                    record(model, partial, each)
    return TFLiteModel(path, scheme)


class Smaller(NamedTuple):
    """The smaller models of the recipe's scheme, what it asks for last, and how that was made."""

    models: list[TFLiteModel]
    ranges: Mapping[str, Range] = MappingProxyType({})
    findings: Findings = Findings()


def _smaller(job: Job, model: Any, reference: TFLiteModel) -> Smaller:
    """The recipe's smaller model; after quantization-aware training, also the one without."""
    scheme = job.recipe.quantize.scheme
    if scheme == "none":
        return Smaller([])
    if scheme != "int8":
        return Smaller([_converted(job, model, scheme)])
    if job.images is None or not job.recipe.train.qat:
        return _quantized(job, reference, "int8")
    without = _quantized(job, reference, "int8_ptq")
    trained = _trained_for_int8(job, model, job.images)
    tuned = _converted(job, trained, "float32", job.run.state / "qat.tflite")
    final = _quantized(job, tuned, "int8")
    return final._replace(models=[*without.models, *final.models])


def _trained_for_int8(job: Job, model: Any, images: Dataset) -> Any:
    """The float model after quantization-aware training, as model_qat.keras holds it."""
    from edgecv.train import train_for_int8

    path = job.file("model_qat.keras")
    with job.stage("qat", [job.network], path) as missing:
        if missing:
            model = train_for_int8(job.recipe, model, images, job.run.state, job.progress)
            with written_whole(path) as partial:
                model.save(partial)
            return model
    return _stored(job, path)


def _quantized(job: Job, source: TFLiteModel, scheme: str) -> Smaller:
    """The int8 twin of a float model; beside it, where its ranges came from."""
    path = job.file(f"model_{scheme}.tflite")
    suffix = scheme.removeprefix("int8")
    manifest = (job.run.state if suffix else job.run.path) / f"calibration{suffix}.json"
    findings = job.run.state / f"quantized{suffix}.json"
    with job.stage("quantize", [source.path], manifest, findings, path) as missing:
        if missing:
            job.progress.line(f"quantize to {scheme}")
            quantize_run(job, source, path, manifest, findings)
    kept = Findings.read(findings)
    for note in kept.notes if missing else ():
        job.progress.line(f"  {note}")
    return Smaller([TFLiteModel(path, scheme)], read_ranges(manifest), kept)


def _quantization(recipe: Recipe, smallest: TFLiteModel, notes: Sequence[str]) -> dict[str, Any]:
    """How the smallest file's numbers are stored, what was done for that, and what it computes."""
    scheme, trained = recipe.quantize.scheme, ", quantization-aware training" * recipe.train.qat
    dense = ", dense weights with one scale" * (recipe.quantize.target == "coral")
    methods = {
        "int8": f"int8, per-channel weights{dense}, ranges by {recipe.quantize.method}{trained}",
        "float16": "float16 weights",
        "dynamic": "int8 weights, float activations",
        "none": "none",
    }
    counts = operators.counts(flatbuffer.read(smallest.path))
    whole = scheme == "int8" and full_int8(smallest.path)
    return {"method": methods[scheme], "notes": [*notes], "operators": counts, "full_int8": whole}


def _compared(job: Job, images: Dataset, finished: Report) -> Report:
    """The report with a table of all kinds of pruning; its rows are runs in `compare`."""
    compared = comparison.Comparison(job.recipe, job.run.path, images, build, job.progress)
    rows = compared.rows(own=finished)
    table = {"rows": rows, "meaning": comparison.meaning(rows)}
    return dataclasses.replace(finished, pruning={**finished.pruning, "comparison": table})


def _evaluated(job: Job, files: list[TFLiteModel]) -> Evaluation | None:
    """Accuracy on the held-out images; None where there are none, or nothing was ever learned."""
    images = job.images
    if images is None or job.recipe.model.weights == "random":
        return None
    reference, *others = files
    resolution = job.architecture.resolution

    def measured(candidate: TFLiteModel | None) -> Evaluation:
        samples = images.validation(resolution)
        return evaluate(reference, candidate, samples, job.labels, images.name, job.progress)

    with job.run.timed("evaluate"):
        evaluation = measured(others[-1] if others else None)
        for each in others[:-1]:
            both = _with(evaluation.accuracy, measured(each).accuracy, each.scheme)
            evaluation = evaluation._replace(accuracy=both)
    hint = lint.more_training(job.recipe)
    job.warnings.add(*lint.accuracy_warnings(evaluation.accuracy, hint))
    return evaluation._replace(accuracy=_described(evaluation.accuracy, images))


def _described(accuracy: dict[str, Any], images: Dataset) -> dict[str, Any]:
    """`accuracy` with what it is comparable by, and its mean over classes."""
    rendered = [f"{images.name}/validation/{n}" for n in range(images.validation_size)]
    return {
        **accuracy,
        "images_sha256": images_sha256(images.labels, images.held_out or rendered),
        "mean_over_classes": lint.mean_over_classes(accuracy),
    }


def _with(accuracy: dict[str, Any], other: dict[str, Any], scheme: str) -> dict[str, Any]:
    """`accuracy` and, before its own last scheme, that of another model on the same images."""
    final = figures.schemes(accuracy)[-1]
    both: dict[str, Any] = {}
    for key, value in accuracy.items():
        if key == final:
            both[scheme] = {**other[scheme], "agreement": other["agreement"]}
        both[key] = value
    pairs = zip(accuracy["per_class"], other["per_class"], strict=True)
    both["per_class"] = [
        {**row, scheme: more[scheme]} if scheme in more else row for row, more in pairs
    ]
    return both


def _report(
    job: Job,
    parameters: int,
    files: list[TFLiteModel],
    quantization: dict[str, Any],
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
        width=job.architecture.width,
        resolution=job.architecture.resolution,
        classes=len(job.labels),
        parameters=parameters,
        macs=operators.macs(flatbuffer.read(files[0].path)),
        weights="trained" if trained and job.recipe.train.epochs != 0 else start,
        files={each.scheme: each.describe() for each in files},
        quantization=quantization,
        accuracy=evaluation.accuracy if evaluation else None,
        latency=latency,
        seconds=job.run.seconds,
        warnings=[*job.warnings.texts],
    )
