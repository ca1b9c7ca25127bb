"""A sweep file as recipes: a recipe with a [grid] table, in which every key has a list of values.

devices = ["host", "rpi4"]                 # to measure on; default: this machine

[data]                                     # what all cells share, as in any recipe
path = "photos"

[grid]                                     # what they differ in; all combinations are built
model.arch = ["mobilenet_v1", "mobilenet_v2"]
model.width = [0.5, 1.0]
prune = [{}, { kind = "magnitude", sparsity = 0.5 }]     # a whole table as one value
seed = [0, 1]
"""

import copy
import itertools
import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from edgecv import recipe
from edgecv.errors import RecipeError
from edgecv.pipeline import inputs
from edgecv.pipeline.build import run_name
from edgecv.recipe import Recipe

MOST_CELLS = 10_000  # more is a slip of the pen
NAMED = {  # by `run_name`, whatever they are
    "model.arch",
    "model.width",
    "model.resolution",
    "quantize.scheme",
    "prune.kind",
    "train.qat",
}


class Cell(NamedTuple):
    """One build of a sweep; its name is its folder's."""

    name: str
    recipe: Recipe


@dataclass(frozen=True)
class SweepGrid:
    """All builds of a sweep, in the order of the file, and where they are measured.

    `axes` are the keys with how many values each has; `places` has a cell for every choice of them;
    `first` are the places that a search begins with.
    """

    cells: tuple[Cell, ...]
    devices: tuple[str, ...]
    axes: Mapping[str, int]
    places: Mapping[tuple[int, ...], Cell]
    first: tuple[tuple[int, ...], ...] = ()


Setting = tuple[str, Any]  # a key, with its table before a dot, and a value


def load(path: Path) -> SweepGrid:
    """Read and check a sweep file: every cell of it. Raises RecipeError, naming file and key."""
    table = recipe.table(path)
    devices = _devices(table.pop("devices", ["host"]), path)
    axes = _axes(table.pop("grid", None), path)
    recipe.parse_table(Recipe, table, str(path))
    count = math.prod(len(values) for _, values in axes)
    if count > MOST_CELLS:
        raise RecipeError(f"{path}: grid: has {count} cells; at most {MOST_CELLS}")
    places = {}
    for place in itertools.product(*(range(len(values)) for _, values in axes)):
        settings = [
            (key, values[position]) for (key, values), position in zip(axes, place, strict=True)
        ]
        places[place] = _cell(table, settings, path)
    named = {cell.recipe: cell for cell in _unique([*places.values()])}
    places = {place: named[cell.recipe] for place, cell in places.items()}
    counts = {key: len(values) for key, values in axes}
    return SweepGrid(tuple(named.values()), devices, counts, places)


def _devices(value: object, path: Path) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise RecipeError(f"{path}: devices: must be a list of names, got {value!r}")
    return tuple(dict.fromkeys(value))


def _axes(grid: object, path: Path) -> list[tuple[str, list[Any]]]:
    """The keys of the grid with their values."""
    if not isinstance(grid, Mapping) or not grid or {} in grid.values():
        raise RecipeError(f"{path}: grid: must be a table of lists, e.g. model.width = [0.5, 1.0]")
    axes: list[tuple[str, list[Any]]] = []
    for key, value in grid.items():
        inner = value.items() if isinstance(value, Mapping) else [("", value)]
        for name, values in inner:
            where = f"{key}.{name}" if name else key
            if not isinstance(values, list) or not values:
                raise RecipeError(f"{path}: grid.{where}: must be a list of values, got {values!r}")
            axes.append((where, values))
    return axes


def _cell(table: Mapping[str, Any], settings: Sequence[Setting], path: Path) -> Cell:
    """The recipe of the shared table with a cell's settings on top."""
    merged = copy.deepcopy(dict(table))
    for key, value in settings:
        section, _, name = key.partition(".")
        shared, own = merged.get(section, {}), {name: value} if name else value
        both = isinstance(shared, Mapping) and isinstance(own, Mapping)
        merged[section] = {**shared, **own} if both else own
    cell_recipe = recipe.parse_table(Recipe, merged, str(path))
    try:
        cell_recipe = inputs.resolve_recipe(cell_recipe)
    except RecipeError as error:
        words = ", ".join(f"{key} = {value!r}" for key, value in settings)
        raise RecipeError(f"{path}: the cell of {words}: {error}") from error
    return Cell(_name(cell_recipe, settings), cell_recipe)


def _name(recipe: Recipe, settings: Sequence[Setting]) -> str:
    """The run's usual name, and the settings of the grid that are not in it."""
    flat: list[Setting] = []
    for key, value in settings:
        if isinstance(value, Mapping):
            flat += [(f"{key}.{name}", number) for name, number in value.items()]
        else:
            flat.append((key, value))
    words = [f"{key.rpartition('.')[2]}{value}" for key, value in flat if key not in NAMED]
    name = "_".join([run_name(recipe), *words])
    return re.sub(r"[^A-Za-z0-9_.-]+", "-", name)[:120].strip(".-")


def _unique(cells: Sequence[Cell]) -> list[Cell]:
    """The cells with a number behind the names that several have; equal recipes only once."""
    different = {cell.recipe: cell for cell in cells}
    times = Counter(cell.name for cell in different.values())
    taken = {name for name, count in times.items() if count == 1}
    named = []
    for cell in different.values():
        name = cell.name
        if times[name] > 1:
            numbered = (f"{name}_{number}" for number in itertools.count(1))
            name = next(candidate for candidate in numbered if candidate not in taken)
            taken.add(name)
        named.append(cell._replace(name=name))
    return named
