"""About how long stages take: by a rough model, corrected by what runs in the same folder took."""

import json
from pathlib import Path
from statistics import median
from typing import Any

from edgecv import models
from edgecv.errors import EdgecvError
from edgecv.models.float_file import float_model
from edgecv.recipe import Recipe
from edgecv.tflite import operators

MACS_PER_SECOND = 6e9  # two cores of a server, training; corrected as soon as there is a run
OVERHEAD = 8.0  # seconds of any training: TensorFlow compiles it
OTHERS = {"convert": 4.0, "quantize": 15.0, "evaluate": 6.0}  # seconds
CUSTOM_MACS = 400e6  # of a model from a file, at 224 pixels: its layers are not counted


def seconds(stage: str, recipe: Recipe, train_size: int, pace: float = 1.0) -> float:
    """Of a stage, with two threads."""
    if stage in OTHERS:
        return pace * OTHERS[stage]
    if recipe.model.weights == "random" or recipe.train.epochs == 0:
        return 0.0
    if stage == "train" and recipe.train.minutes:
        return 60 * recipe.train.minutes
    work = 3 * images_seen(stage, recipe, train_size) * macs(recipe)  # there, back, and the weights
    return pace * (OVERHEAD + work / MACS_PER_SECOND)


def images_seen(stage: str, recipe: Recipe, train_size: int) -> int:
    """By a stage that trains: images times epochs."""
    from edgecv import train

    effort = {"prune": train.PRUNED, "qat": train.QAT}.get(stage)
    if effort is None:
        loaded = recipe.model.weights not in ("", "random")
        effort = train.TRANSFER if loaded else train.SCRATCH if recipe.data.path else train.SIGNS
    options = {"train": recipe.train.epochs, "prune": recipe.prune.epochs}
    asked = options.get(stage, recipe.train.qat_epochs)
    return train_size * (effort.epochs(max(train_size, 1)) if asked is None else asked)


def macs(recipe: Recipe) -> float:
    """Multiply-accumulates of an inference; of a model from a file, a guess."""
    model = models.resolve(recipe.model)
    if model.arch == models.CUSTOM:
        return CUSTOM_MACS * (model.resolution / 224) ** 2
    return operators.macs(float_model(models.network(model, recipe.model.classes or 1000)))


def pace(out: Path) -> float:
    """The seconds of finished runs in a folder over their estimates; 1 where there are none."""
    shares = [_share(path) for path in sorted(out.glob("*/report.json"))]
    return median([share for share in shares if share] or [1.0])


def _share(path: Path) -> float:
    from edgecv.recipe import load

    try:
        report: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        took = {stage: report["seconds"][stage] for stage in OTHERS if stage in report["seconds"]}
        recipe = load(path.with_name("recipe.toml"))
        return float(sum(took.values())) / sum(seconds(stage, recipe, 0) for stage in took)
    except (EdgecvError, OSError, ValueError, LookupError, TypeError, ZeroDivisionError):
        return 0.0
