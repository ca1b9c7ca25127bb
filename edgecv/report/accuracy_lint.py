"""Warnings about an accuracy as evidence (few images, chance, one answer), and the next step."""

import math
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from edgecv.artifacts import Report
from edgecv.recipe import Recipe
from edgecv.report import figures

FEWEST_IMAGES = 5  # of a class: with 4 of 5 right, the standard error is 18 points
CHANCE_ERRORS = 2  # standard errors from chance; of results by chance, 95 in 100 are nearer
NAMED = 3  # classes that a message names
MORE_EPOCHS = 100  # the most that a build chooses for itself is 80 (train.SCRATCH)
EPOCHS_FACTOR = 3  # of the epochs, or minutes, that were asked for and did not do
CHECK_CONTRACT = "check that the labels' order and the pixels' scale are the model's"


def mean_over_classes(accuracy: Mapping[str, Any]) -> dict[str, float]:
    """Top-1 of every class, averaged over the classes with images: balanced accuracy, by scheme."""
    rows = [row for row in accuracy.get("per_class", []) if row["images"]]
    if not rows:
        return {}
    return {
        scheme: round(sum(row[scheme] for row in rows) / len(rows), 6)
        for scheme in figures.schemes(accuracy)
    }


def accuracy_warnings(accuracy: Mapping[str, Any], remedy: str) -> list[str]:
    """Everything that makes a report's `accuracy` poor evidence; `remedy` is for a poor result."""
    return [
        *few_images(accuracy),
        *near_chance(accuracy, remedy),
        *same_answer(accuracy, remedy),
    ]


def few_images(accuracy: Mapping[str, Any]) -> list[str]:
    """Classes with fewer held-out images than say anything of them."""
    rows = [row for row in accuracy.get("per_class", []) if 0 < row["images"] < FEWEST_IMAGES]
    if not rows:
        return []
    named = ", ".join(f"'{row['label']}' {row['images']}" for row in rows[:NAMED])
    more = f" and {len(rows) - NAMED} more" if len(rows) > NAMED else ""
    return [
        f"{accuracy['data']}: fewer than {FEWEST_IMAGES} images of {named}{more} are evaluated on,"
        " which says little of them; more images of these classes would"
    ]


def near_chance(accuracy: Mapping[str, Any], remedy: str) -> list[str]:
    """Results that guessing reaches as well, or that are worse."""
    rows = [row for row in accuracy.get("per_class", []) if row["images"]]
    means = mean_over_classes(accuracy)
    if len(accuracy.get("per_class", [])) < 2 or not means:
        return []
    chance = 1 / len(accuracy["per_class"])
    errors = {scheme: _error(rows, scheme) for scheme in means}
    above = {scheme: (means[scheme] - chance) / errors[scheme] for scheme in means}
    poor = [scheme for scheme in means if above[scheme] <= CHANCE_ERRORS]
    if not poor:
        return []
    worse = all(above[scheme] < -CHANCE_ERRORS for scheme in poor)
    shown = ", ".join(
        f"{scheme} {100 * means[scheme]:.1f} ± {100 * errors[scheme]:.1f}" for scheme in poor
    )
    verdict = "far below" if worse else f"within {CHANCE_ERRORS} standard errors of"
    meaning = "the labels may be in another order" if worse else "guessing may do as well"
    return [
        f"{accuracy['data']}: the mean over classes ({shown} %) is {verdict} chance"
        f" ({figures.percent(chance)}): {meaning}; {remedy}"
    ]


def same_answer(accuracy: Mapping[str, Any], remedy: str) -> list[str]:
    """A model that names one class, whatever it is shown; of the last scheme."""
    schemes = figures.schemes(accuracy)
    answers = {mistake["predicted"] for mistake in accuracy.get("confusions", [])}
    if len(answers) != 1 or not schemes:
        return []
    (answer,) = answers
    rows = [row for row in accuracy["per_class"] if row["images"]]
    expected = [1.0 if row["label"] == answer else 0.0 for row in rows]
    if len(rows) < 2 or [row[schemes[-1]] for row in rows] != expected:
        return []
    return [f"{accuracy['data']}: {schemes[-1]} names '{answer}' for every image; {remedy}"]


def next_build(report: Report, recipe: Recipe, run_folder: Path) -> str:
    """The command of a build that may do better, where this one's result is near chance; or ""."""
    if not report.accuracy or not near_chance(report.accuracy, ""):
        return ""
    again = f"edgecv build --recipe {shlex.quote(str(run_folder / 'recipe.toml'))}"
    if _can_start_from_imagenet(recipe):
        name = run_folder.with_name(f"{run_folder.name}_imagenet")
        return f"{again} --weights imagenet -o {shlex.quote(str(name))}"
    asked, minutes = recipe.train.epochs, recipe.train.minutes
    name = run_folder.with_name(f"{run_folder.name}_longer")
    longer = f"--epochs {EPOCHS_FACTOR * asked if asked else MORE_EPOCHS}"
    longer = f"--minutes {EPOCHS_FACTOR * minutes:g}" if minutes else longer
    return f"{again} {longer} -o {shlex.quote(str(name))}"


def more_training(recipe: Recipe) -> str:
    """The next build after a poor result, in words."""
    start = ", or start from --weights imagenet" if _can_start_from_imagenet(recipe) else ""
    return f"train for more epochs (--epochs){start}"


def _can_start_from_imagenet(recipe: Recipe) -> bool:
    """Whether there are ImageNet weights of a model's shape, and images to train them on with."""
    from edgecv.models import imagenet_sources

    return bool(recipe.data.path and not recipe.model.weights and imagenet_sources(recipe.model))


def _error(rows: Sequence[Mapping[str, Any]], scheme: str) -> float:
    """The standard error of a mean over classes."""
    errors = [figures.standard_error(row[scheme], row["images"]) for row in rows]
    return math.hypot(*errors) / len(errors)
