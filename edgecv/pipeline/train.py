"""The training stages: of the recipe's model, and with the rounding of int8."""

import dataclasses
from pathlib import Path
from typing import Any

from edgecv import models
from edgecv.data import Dataset
from edgecv.files import write_atomically
from edgecv.models import weights
from edgecv.pipeline.history import history_files
from edgecv.pipeline.job import Job
from edgecv.progress import QUIET


def train_model(job: Job) -> Any:
    """The Keras model with its weights, as model.keras holds it."""
    from edgecv.train import train

    path = job.file("model.keras")
    history = history_files(job, "train")
    with job.stage("train", [], path, beside=history) as missing:
        if missing:
            classes, state = len(job.labels), job.run.state
            model = train(job.recipe, job.images, classes, state, job.progress, job.on_epoch)
            with write_atomically(path) as partial:
                model.save(partial)
            return model
    return load_model(job, path)


def load_model(job: Job, path: Path) -> Any:
    """The Keras model with the weights that an earlier attempt left."""
    options = dataclasses.replace(job.recipe.model, weights=str(path))
    model = models.build(job.recipe.model, len(job.labels))
    weights.load(model, options, QUIET)
    return model


def train_int8(job: Job, model: Any, images: Dataset) -> Any:
    """The float model after quantization-aware training, as model_qat.keras holds it."""
    from edgecv.train import train_for_int8

    path = job.file("model_qat.keras")
    history = history_files(job, "qat")
    with job.stage("qat", [job.network], path, beside=history) as missing:
        if missing:
            model = train_for_int8(job.recipe, model, images, job.run.state, job.progress)
            with write_atomically(path) as partial:
                model.save(partial)
            return model
    return load_model(job, path)
