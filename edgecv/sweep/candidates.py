"""A grid without a file: the published models that a device runs within limits, by `suggest`."""

import dataclasses

from edgecv.errors import CheckFailed, RecipeError, plural
from edgecv.pipeline import inputs
from edgecv.pipeline.build import run_name
from edgecv.pipeline.suggest import Suggestion, Suggestions
from edgecv.recipe import ModelOptions, Recipe
from edgecv.sweep.grid import Cell, SweepGrid
from edgecv.tradeoff.choose import Limits

AXIS = "model"
SHAPE = ("arch", "width", "resolution", "depth", "channels", "lanes")


def candidate_grid(suggestions: Suggestions, limits: Limits, base: Recipe) -> SweepGrid:
    """A cell for every suggestion within the limits, built as `base` says.

    A search begins with the picks, then the other models that nothing beats, by ImageNet top-1.
    Raises RecipeError where `base` names a model's shape, CheckFailed where no model is within the
    limits.
    """
    _check_shape(base)
    fitting = [model for model in suggestions.models if limits.allow(model.option)]
    if not fitting:
        raise CheckFailed(_none(suggestions))
    picks = [suggestions.of(option) for option in suggestions.choice.chosen.values()]
    order = list(dict.fromkeys(model.name for model in [*picks, *suggestions.front]))
    names = [model.name for model in fitting]
    cells = tuple(_cell(model, base) for model in fitting)
    places: dict[tuple[int, ...], Cell] = {(place,): cell for place, cell in enumerate(cells)}
    first = tuple((names.index(name),) for name in order)
    return SweepGrid(cells, (suggestions.device,), {AXIS: len(cells)}, places, first)


def _check_shape(base: Recipe) -> None:
    for key in SHAPE:
        if getattr(base.model, key) != getattr(ModelOptions(), key):
            raise RecipeError(
                f"--set model.{key}: the models are those of edgecv suggest; leave it out,"
                " or name a GRID of your own"
            )


def _cell(model: Suggestion, base: Recipe) -> Cell:
    shape = {key: getattr(model.candidate, key) for key in ("arch", "width", "resolution")}
    options = dataclasses.replace(base.model, **shape)
    recipe = inputs.resolve_recipe(dataclasses.replace(base, model=options))
    return Cell(run_name(recipe), recipe)


def _none(suggestions: Suggestions) -> str:
    """That no model is within the limits, and what comes nearest."""
    words = f"none of {plural(len(suggestions.models), 'model')} is within all limits"
    if option := suggestions.choice.nearest:
        model = suggestions.of(option)
        words += (
            f"; nearest: {model.name}, top-1 {model.top1.top1:.1%}, {option.ms:.3g} ms,"
            f" {option.bytes / 1e6:.3g} MB; edgecv suggest says which limit would have to give"
        )
    return words
