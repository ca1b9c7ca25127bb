"""The accuracy of a run's models on the images that it held out."""

from typing import Any

from edgecv.artifacts import TFLiteModel
from edgecv.data import Dataset
from edgecv.data.identity import images_sha256
from edgecv.evaluate.accuracy import Evaluation, evaluate
from edgecv.pipeline.job import Job
from edgecv.report import accuracy_lint, figures


def evaluate_run(job: Job, files: list[TFLiteModel]) -> Evaluation | None:
    """Accuracy on the held-out images; None where there are none, or nothing was ever learned."""
    images = job.images
    if images is None or job.recipe.model.weights == "random":
        return None
    reference, *others = files
    resolution = job.architecture.resolution

    def measured(candidate: TFLiteModel | None) -> Evaluation:
        samples = images.validation(resolution)
        return evaluate(reference, candidate, samples, job.labels, images.name, job.progress)

    with job.run.time_stage("evaluate"):
        evaluation = measured(others[-1] if others else None)
        for model in others[:-1]:
            both = _merge(evaluation.accuracy, measured(model).accuracy, model.scheme)
            evaluation = evaluation._replace(accuracy=both)
    hint = accuracy_lint.more_training(job.recipe)
    job.warnings.add(*accuracy_lint.accuracy_warnings(evaluation.accuracy, hint))
    return evaluation._replace(accuracy=_comparable(evaluation.accuracy, images))


def _comparable(accuracy: dict[str, Any], images: Dataset) -> dict[str, Any]:
    """`accuracy` with what it is comparable by, and its mean over classes."""
    rendered = [f"{images.name}/validation/{n}" for n in range(images.validation_size)]
    return {
        **accuracy,
        "images_sha256": images_sha256(images.labels, images.held_out or rendered),
        "mean_over_classes": accuracy_lint.mean_over_classes(accuracy),
    }


def _merge(accuracy: dict[str, Any], other: dict[str, Any], scheme: str) -> dict[str, Any]:
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
