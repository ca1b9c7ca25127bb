"""The stage that converts a Keras model to a .tflite at batch 1, with its labels."""

from pathlib import Path
from typing import Any

from edgecv import models
from edgecv.artifacts import TFLiteModel
from edgecv.files import write_atomically
from edgecv.pipeline.job import Job
from edgecv.tflite import batchnorm, metadata


def convert_model(
    job: Job,
    model: Any,
    scheme: str = "float32",
    path: Path | None = None,
    source: Path | None = None,
) -> TFLiteModel:
    """The .tflite at batch 1, with its labels; in the run's folder, if no path is given.

    `source` is the Keras model's file, the run's own if None.
    """
    from edgecv.convert.keras import convert
    from edgecv.convert.normals import record

    options, source = job.recipe.model, source or job.network
    path = path or job.file(f"model_{scheme}.tflite")
    statistics = [batchnorm.record_path(path)] if scheme == "float32" else []
    with job.stage("convert", [source], path, beside=statistics, scheme=scheme) as missing:
        if missing:
            job.progress.line(f"convert to {scheme}")
            with write_atomically(path) as partial:
                convert(model, partial, models.normalization(options), scheme)
                metadata.attach(
                    partial, metadata.Metadata(job.labels, options.arch, job.recipe.data.crop)
                )
                for statistic in statistics:
                    record(model, partial, statistic)
    return TFLiteModel(path, scheme)


def convert_sparse(job: Job, model: Any) -> list[TFLiteModel]:
    """The float model with its zeros left out, for the runtimes that have sparse kernels."""
    wanted = job.recipe.prune.kind == "xnnpack"
    return [convert_model(job, model, "float32_sparse")] if wanted else []
