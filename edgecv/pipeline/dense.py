"""The figures of a run's model before it was pruned, measured as those of the pruned one are."""

import json
from typing import Any

from edgecv import models
from edgecv.artifacts import TFLiteModel
from edgecv.data import Dataset
from edgecv.evaluate.accuracy import evaluate
from edgecv.files import write_text
from edgecv.pipeline.convert import convert_model
from edgecv.pipeline.job import Job
from edgecv.profile import profile
from edgecv.recipe import Recipe
from edgecv.tflite import flatbuffer, operators, sparsity

CALIBRATION = 8  # images for the ranges of a model of which only size and latency count


def measure_dense(job: Job, model: Any, measure: bool) -> dict[str, Any]:
    """The dense model's figures, by the keys of the report's `pruning.before`; {} without pruning.

    Of int8 only size and latency, which no range changes: its accuracy is quantization's matter.
    """
    kept = job.run.state / "dense.json"
    if job.recipe.prune.kind == "none" or job.images is None:
        return {}
    if not kept.exists():
        job.progress.line("measure the model before pruning")
        with job.run.time_stage("dense"):
            write_text(kept, json.dumps(_figures(job, job.images, model, measure)))
    figures: dict[str, Any] = json.loads(kept.read_text(encoding="utf-8"))
    return figures


def _figures(job: Job, images: Dataset, model: Any, measure: bool) -> dict[str, Any]:
    source = job.file("model.keras")
    reference = convert_model(job, model, path=job.run.state / "dense.tflite", source=source)
    files = [reference, *_int8(job, images, reference)]
    samples = images.validation(job.architecture.resolution)
    accuracy = evaluate(reference, None, samples, job.labels, images.name, job.progress).accuracy
    figures: dict[str, Any] = {
        "macs": operators.macs(flatbuffer.read(reference.path)),
        "parameters": model.count_params(),
        "top1_float32": accuracy["float32"]["top1"],
    }
    if job.recipe.prune.kind != "channels":
        rows = sparsity.zeros(flatbuffer.read(files[-1].path))
        figures["zeros"] = round(sparsity.share(rows), 4)
    for file in files:
        facts = file.describe()
        sizes = {key: facts[key] for key in ("bytes", "gzip_bytes")}
        figures |= {f"{key}_{file.scheme}": size for key, size in sizes.items()}
        if measure:
            latency = profile(file, job.recipe.profile, progress=job.progress)
            figures[f"p50_ms_{file.scheme}"] = latency["p50_ms"]
            figures |= {} if latency["valid"] else {"reason": latency["reason"]}
    return figures


def _int8(job: Job, images: Dataset, reference: TFLiteModel) -> list[TFLiteModel]:
    """The int8 twin of the dense model, where the run makes an int8 model."""
    if job.recipe.quantize.scheme != "int8":
        return []
    from edgecv.quantize.calibrate import calibrate
    from edgecv.quantize.int8 import quantize

    few = [sample.image for sample in images.calibration(job.architecture.resolution, CALIBRATION)]
    return [quantize(reference, calibrate(reference, few), job.run.state / "dense_int8.tflite")]


def cut_layers(dense: Recipe, cut: Recipe, classes: int) -> list[dict[str, Any]]:
    """The channels and the multiply-accumulates of every layer before and after channels went."""
    before, after = (models.network(recipe.model, classes) for recipe in (dense, cut))
    return [
        {
            "layer": layer.name,
            "channels": after.by_name[layer.name].shape[-1],
            "channels_before": layer.shape[-1],
            "macs": after.macs(after.by_name[layer.name]),
            "macs_before": before.macs(layer),
        }
        for layer in before.layers
        if before.macs(layer)
    ]
