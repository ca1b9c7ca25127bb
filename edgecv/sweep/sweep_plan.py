"""The plan of a sweep: cells that are done, cells in waves, and how long that will take."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgecv.data import Dataset
from edgecv.errors import EdgecvError
from edgecv.pipeline import inputs
from edgecv.pipeline import keys as stage_keys
from edgecv.progress import Progress
from edgecv.recipe import Recipe
from edgecv.sweep import estimate
from edgecv.sweep.cell import Outcome, is_done
from edgecv.sweep.grid import Cell, SweepGrid

SHARED = ("train", "prune", "qat")  # the stages that take long, in their order


@dataclass(frozen=True)
class SweepPlan:
    """The cells of a sweep by what there is to do; `waves` are to be built one after the other.

    In a wave, no two cells wait for the same stage.
    """

    done: list[Cell]
    broken: list[Outcome]
    waves: list[list[Cell]]
    stages: dict[str, int]  # how often each is run
    seconds: float  # of one worker, about

    @property
    def to_build(self) -> int:
        """How many cells."""
        return sum(map(len, self.waves))


def plan(grid: SweepGrid, out: Path, progress: Progress) -> SweepPlan:
    """Look at every cell, its images and what is there of it already."""
    datasets: dict[Any, Dataset | None] = {}
    done, broken, left = [], [], []
    sizes: dict[str, int] = {}
    for cell in grid.cells:
        try:
            images = _images(cell.recipe, datasets, progress)
            wanted = inputs.pin_hashes(cell.recipe, images)
        except EdgecvError as error:
            broken.append(Outcome(cell.name, " ".join(str(error).split())))
            continue
        sizes[cell.name] = images.train_size if images else 0
        if is_done(cell, out, wanted):
            done.append(cell)
        else:
            left.append((cell, keys(wanted)))
    waves, stages = _waves(left)
    pace = estimate.pace(out)
    seconds = sum(estimate.seconds(stage, of.recipe, sizes[of.name], pace) for stage, of in stages)
    counts = {name: sum(stage == name for stage, _ in stages) for name, _ in stages}
    return SweepPlan(done, broken, waves, counts, seconds)


def _images(
    recipe: Recipe, datasets: dict[Any, Dataset | None], progress: Progress
) -> Dataset | None:
    """The recipe's images, looked through once however many cells have them."""
    weights, quantize, train = recipe.model.weights, recipe.quantize, recipe.train
    key = (recipe.data, recipe.seed, train.images_per_epoch, weights, quantize.scheme)
    if (*key, quantize.calibration) not in datasets:
        datasets[*key, quantize.calibration] = inputs.load_images(recipe, progress)
    return datasets[*key, quantize.calibration]


def keys(recipe: Recipe) -> Mapping[str, str]:
    """The keys of the recipe's stages; equal where a stage's result is the same."""
    options = {"train": True, "prune": recipe.prune.kind != "none", "qat": recipe.train.qat}
    return {
        stage: json.dumps(stage_keys.inputs(stage, recipe, ()), sort_keys=True, default=str)
        for stage in SHARED
        if options[stage]
    }


def _waves(
    left: Sequence[tuple[Cell, Mapping[str, str]]],
) -> tuple[list[list[Cell]], list[tuple[str, Cell]]]:
    """Cells in waves, and every stage that is run, with the cell that runs it."""
    made: set[str] = set()
    waves: list[list[Cell]] = []
    stages: list[tuple[str, Cell]] = []
    rest = list(left)
    while rest:
        taken: set[str] = set()
        wave, later = [], []
        for cell, keys in rest:
            new = {stage: key for stage, key in keys.items() if key not in made}
            if taken & set(new.values()):
                later.append((cell, keys))
                continue
            taken |= set(new.values())
            stages += [(stage, cell) for stage in (*new, "convert", "quantize", "evaluate")]
            wave.append(cell)
        made |= taken
        waves.append(wave)
        rest = later
    return waves, stages
