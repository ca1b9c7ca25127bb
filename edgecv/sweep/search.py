"""search(): cells of a grid, proposed one after the other by Optuna for accuracy and latency.

A cell whose estimated latency is beyond the limit, whatever the estimate's error, is not built.
What is known of every trial lies in a journal, which survives any end; the same call goes on. One
for another grid, device or limit begins anew, though what is built stays built.
"""

import hashlib
import json
import random
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from edgecv.device.description import Device
from edgecv.errors import EdgecvError, RecipeError
from edgecv.estimate.measured import Profile
from edgecv.estimate.model import Estimate
from edgecv.files import make_folder, write_text
from edgecv.pipeline import build as pipeline
from edgecv.pipeline.cache import StageCache
from edgecv.pipeline.plan import latencies
from edgecv.progress import Progress, Warnings
from edgecv.recipe import Recipe
from edgecv.sweep import estimate
from edgecv.sweep.cell import forget, record_failure
from edgecv.sweep.early_stop import Course, StoppedEarly, Watch, is_far_behind
from edgecv.sweep.grid import Cell, SweepGrid
from edgecv.sweep.measure import measure_all
from edgecv.sweep.run_sweep import CACHE
from edgecv.tradeoff.front import front
from edgecv.tradeoff.runs import collect

JOURNAL, COURSE = ".search.journal", "course.json"
INSTALL = "pip install 'edgecv[search]'"


class Trial(NamedTuple):
    """One proposal and what became of it; without a reason, both figures are there."""

    name: str
    reason: str = ""
    top1: float = 0.0
    ms: float = 0.0
    origin: str = ""
    basis: str = ""  # of an estimate: from what it is, and how far off
    again: bool = False  # whether the same search is to try it once more when it goes on


@dataclass
class Search:
    """The settings of a search, the same from the first trial to the last."""

    out: Path
    device: Device
    max_ms: float | None
    progress: Progress
    profiles: Sequence[Profile] = ()  # by operator, of the device: what estimates go by
    estimates: dict[Any, Estimate | None] = field(default_factory=dict)
    trials: dict[str, Trial] = field(default_factory=dict)
    courses: list[Course] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._warnings = Warnings(self.progress)

    def trial(self, cell: Cell) -> Trial:
        """Build, measure and judge a cell; what was tried before is only looked up."""
        if cell.name not in self.trials:
            self.remember(self._tried(cell), cell)
        return self.trials[cell.name]

    def remember(self, trial: Trial, cell: Cell) -> None:
        """Take note of a trial, and of how its training went for those to come."""
        self.trials[trial.name] = trial
        self.progress.line(f"  {trial.name}: {trial.reason or f'{100 * trial.top1:.1f} %'}")
        if trial.reason:
            return
        with suppress(OSError, ValueError):  # it may have come from the cache, without epochs
            course = json.loads((self.out / cell.name / COURSE).read_text(encoding="utf-8"))
            self.courses.append(Course(estimate.macs(cell.recipe), course))

    def _tried(self, cell: Cell) -> Trial:
        pace = self._estimate(cell.recipe)
        if pace and self.max_ms and pace.ms * (1 - pace.error.get("worst", 0)) > self.max_ms:
            words = f"{pace.ms:.3g} ms estimated on {self.device.name}; {pace.basis}"
            return Trial(cell.name, words)
        folder = self.out / cell.name
        macs = estimate.macs(cell.recipe)
        watch = Watch(lambda accuracies: is_far_behind(Course(macs, accuracies), self.courses))
        cache = StageCache((self.out / CACHE).resolve())
        forget(folder)
        try:
            pipeline.build(cell.recipe, folder, cache=cache, measure=False, on_epoch=watch.on_epoch)
        except EdgecvError as error:
            reason = record_failure(folder, str(error)).reason
            return Trial(cell.name, reason, again=not isinstance(error, StoppedEarly))
        if watch.accuracy:
            write_text(folder / COURSE, json.dumps(watch.accuracy))
        return self._judged(cell, pace, cache)

    def _judged(self, cell: Cell, estimate: Estimate | None, cache: StageCache) -> Trial:
        """Accuracy of the smallest model; its latency, measured where that can be."""
        run = self.out / cell.name
        problems = list(measure_all([run], [self.device], cache, self.progress))
        candidates, rejected = collect([run])
        if rejected:
            return Trial(cell.name, rejected[0].reason, again=True)
        model = candidates[-1]
        there = [
            latency
            for latency in model.latencies
            if latency.device == self.device.name and latency.valid
        ]
        if model.top1 is None:
            return Trial(cell.name, "its accuracy was not measured")
        if there:
            return Trial(
                cell.name, "", model.top1, min(latency.ms for latency in there), "measured"
            )
        if estimate:
            self._warnings.add(*(f"estimated, not measured {row.reason}" for row in problems))
            return Trial(cell.name, "", model.top1, estimate.ms, "estimated", estimate.basis)
        reason = problems[0].reason if problems else "no valid latency"
        return Trial(cell.name, reason, again=True)

    def _estimate(self, recipe: Recipe) -> Estimate | None:
        """The latency without the board, of the scheme that the recipe is for.

        None of a model that channels are taken out of: how many MACs stay is known afterwards.
        """
        if recipe.prune.kind == "channels":
            return None
        key = (recipe.model, recipe.quantize.scheme)
        if key not in self.estimates:
            try:
                estimates = latencies(recipe.model, self.device, self.profiles)
            except RecipeError:  # nothing is published of the device
                estimates = []
            scheme = "int8" if recipe.quantize.scheme == "int8" else "float32"
            self.estimates[key] = next(
                (estimate for estimate in estimates if estimate.scheme == scheme), None
            )
        return self.estimates[key]


def search(grid: SweepGrid, search: Search, trials: int, seed: int = 0) -> list[Trial]:
    """So many different cells, or all there are, those of earlier calls counted.

    Raises EdgecvError when Optuna is not installed.
    """
    study = _study(grid, search, seed)
    cells = {cell.name: cell for cell in grid.cells}
    for old in study.get_trials(deepcopy=False):
        if "trial" in old.user_attrs:
            trial = Trial(*old.user_attrs["trial"])
            search.remember(trial, cells[trial.name])
    chance = random.Random(seed)  # noqa: S311  # the same order in every run
    while len(search.trials) < min(trials, len(grid.cells)):
        if first := [place for place in grid.first if grid.places[place].name not in search.trials]:
            study.enqueue_trial(dict(zip(grid.axes, first[0], strict=True)))
        asked = study.ask()
        place = tuple(
            asked.suggest_categorical(key, range(count)) for key, count in grid.axes.items()
        )
        cell = grid.places[place]
        if cell.name in search.trials:  # Optuna may propose twice what looks good: something new
            new = [place for place, cell in grid.places.items() if cell.name not in search.trials]
            study.enqueue_trial(dict(zip(grid.axes, chance.choice(new), strict=True)))
        _tell(study, asked, search.trial(cell))
    return [*search.trials.values()]


def best(trials: Sequence[Trial]) -> list[Trial]:
    """The trials that no other beats in accuracy and latency, the fastest first."""
    ranked = sorted((trial for trial in trials if not trial.reason), key=lambda trial: trial.ms)
    return [ranked[place] for place in front([(trial.ms, -trial.top1) for trial in ranked])]


def _study(grid: SweepGrid, search: Search, seed: int) -> Any:
    """The journal's study of this grid, device and limit, begun if need be."""
    try:
        import optuna
    except ImportError as error:
        raise EdgecvError(f"search needs Optuna ({error}); {INSTALL}") from error
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    journal = optuna.storages.journal.JournalFileBackend(str(make_folder(search.out) / JOURNAL))
    asked = repr((grid.axes, grid.places, search.device, search.max_ms, *search.profiles))
    return optuna.create_study(
        study_name=hashlib.sha256(asked.encode()).hexdigest(),
        directions=["maximize", "minimize"],
        sampler=optuna.samplers.TPESampler(seed=seed),
        storage=optuna.storages.JournalStorage(journal),
        load_if_exists=True,
    )


def _tell(study: Any, asked: Any, trial: Trial) -> None:
    """A trial without figures teaches the sampler nothing, but is remembered if it is final."""
    import optuna

    if not trial.again:
        asked.set_user_attr("trial", list(trial))
    if trial.reason:
        study.tell(asked, state=optuna.trial.TrialState.FAIL)
    else:
        study.tell(asked, [trial.top1, trial.ms])
