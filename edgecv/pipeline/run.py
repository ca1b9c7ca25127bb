"""One run: the stages in order, and nowhere else.

Each stage is a plain function from artifact to artifact; one whose file is there is not run again.
"""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

from edgecv import __version__, report
from edgecv.artifacts import Range, Report, TFLiteModel
from edgecv.coral.section import section
from edgecv.evaluate.accuracy import Evaluation
from edgecv.files import write_text
from edgecv.models import weights
from edgecv.pipeline import inputs
from edgecv.pipeline.accuracy import evaluate_run
from edgecv.pipeline.cache import StageCache
from edgecv.pipeline.convert import convert_model, convert_sparse
from edgecv.pipeline.dense import measure_dense
from edgecv.pipeline.history import describe_split, read_histories
from edgecv.pipeline.job import Job
from edgecv.pipeline.prune import check_prune, describe_pruning, prune_model
from edgecv.pipeline.quantize import Findings, quantize_model
from edgecv.pipeline.run_folder import check_kept, open_run
from edgecv.pipeline.train import train_int8, train_model
from edgecv.profile import profile
from edgecv.progress import QUIET, OnEpoch, Progress, Warnings
from edgecv.quantize.int8 import full_int8
from edgecv.recipe import Recipe
from edgecv.tflite import delegation, flatbuffer, int8_input, operators


@dataclasses.dataclass(frozen=True)
class RunOptions:
    """How a recipe is carried out; errors that the functions raise end the run."""

    force: bool = False  # remove what lies in the folder
    cache: StageCache | None = None  # of stages' results, which are not made again
    measure: bool = True  # the latency, too; without, it is left to others, one at a time
    on_epoch: OnEpoch | None = None  # called after each epoch of the training
    before_report: Callable[[Job, Report], Report] | None = None  # with the report to be written


def run(
    recipe: Recipe,
    out: Path,
    progress: Progress = QUIET,
    options: RunOptions = RunOptions(),
) -> Report:
    """Carry a model through every stage of its recipe; the results of each lie in `out`.

    An interrupted run goes on where it stopped; a finished one is only read.
    """
    warnings = Warnings(progress)
    recipe = inputs.resolve_recipe(recipe)
    check_kept(out, recipe, options.force)
    images = inputs.load_images(recipe, progress)
    warnings.add(*(images.warnings if images else ()))
    recipe = inputs.pin_hashes(recipe, images)
    with open_run(out, recipe, options.force, wait=options.cache is not None) as folder:
        if folder.finished:
            progress.line(f"{out}: finished before; --force builds it anew")
        else:
            labels = inputs.labels(recipe, images, progress)
            warnings.add(*labels.warnings, *weights.assumptions(recipe.model))
            check_prune(recipe, images, len(labels.names))
            job = Job(
                recipe,
                images,
                labels.names,
                folder,
                progress,
                options.cache,
                warnings,
                options.on_epoch,
            )
            _run_stages(job, options)
    return report.load(out)


def _run_stages(job: Job, options: RunOptions) -> None:
    """All stages, in order; the report comes last."""
    write_text(job.file("labels.txt"), "".join(f"{label}\n" for label in job.labels))
    dense, model = job, train_model(job)
    before = measure_dense(job, model, options.measure)
    job, model = prune_model(job, model)
    reference = convert_model(job, model)
    smaller = _smaller(job, model, reference)
    files = [reference, *convert_sparse(job, model), *smaller.models]
    evaluation = evaluate_run(job, files)
    timed = files if options.measure else []
    latency = [profile(model, job.recipe.profile, progress=job.progress) for model in timed]
    quantization = _quantization(job.recipe, files[-1], smaller.findings.notes)
    edge_tpu = section(files[-1].path, job.recipe.quantize, job.progress)
    job.warnings.add(*edge_tpu.warnings)
    finished = _report(job, model.count_params(), files, quantization, evaluation, latency)
    described = describe_pruning(job, dense.recipe, files[-1])
    if before:
        described["before"] = before
    finished = dataclasses.replace(finished, pruning=described, coral=edge_tpu.table)
    if options.before_report:
        finished = options.before_report(dense, finished)
    shown = evaluation.predictions if evaluation else []
    sensitivity = smaller.findings.sensitivity
    details = report.Details(job.labels, smaller.ranges, shown, sensitivity, files[-1].path)
    report.write(job.run.path, finished, details)


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
        return Smaller([convert_model(job, model, scheme)])
    if job.images is None or not job.recipe.train.qat:
        return _quantized(job, reference)
    without = quantize_model(job, reference, "int8_ptq")
    trained = train_int8(job, model, job.images)
    path, source = job.run.state / "qat.tflite", job.file("model_qat.keras")
    tuned = convert_model(job, trained, path=path, source=source)
    final = _quantized(job, tuned)
    return final._replace(models=[without.file, *final.models])


def _quantized(job: Job, source: TFLiteModel) -> Smaller:
    """The int8 model that the recipe asks for."""
    result = quantize_model(job, source, "int8")
    return Smaller([result.file], result.ranges, result.findings)


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
    pixels = {"input": int8_input.WORDS[recipe.quantize.input]} if scheme == "int8" else {}
    stored = {"method": methods[scheme], **pixels, "notes": [*notes]}
    taken = {"xnnpack": delegation.measure(smallest.path)} if scheme == "int8" else {}
    return {**stored, "operators": counts, "full_int8": whole, **taken}


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
    start = options.weights.partition(":")[0]
    start = start if start in ("imagenet", "random") else "file"
    return Report(
        edgecv=__version__,
        arch=options.arch,
        width=job.architecture.width,
        resolution=job.architecture.resolution,
        classes=len(job.labels),
        parameters=parameters,
        macs=operators.macs(flatbuffer.read(files[0].path)),
        weights="trained" if trained and job.recipe.train.epochs != 0 else start,
        files={file.scheme: file.describe() for file in files},
        quantization=quantization,
        accuracy=evaluation.accuracy if evaluation else None,
        latency=latency,
        seconds=job.run.seconds,
        warnings=[*job.warnings.texts],
        date=datetime.now(UTC).date().isoformat(),
        data=describe_split(job),
        training=read_histories(job),
    )
