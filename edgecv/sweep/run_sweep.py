"""sweep(): every cell built once, measured once, and told of."""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

from edgecv.device import description
from edgecv.files import make_folder
from edgecv.pipeline.cache import StageCache
from edgecv.progress import Progress
from edgecv.sweep.cell import Outcome, Task, record_failure
from edgecv.sweep.grid import SweepGrid
from edgecv.sweep.measure import measure_all
from edgecv.sweep.sweep_plan import SweepPlan
from edgecv.sweep.workers import Workers, build_all, cluster

CACHE = ".cache"  # in the sweep's folder, unless another is named


def sweep(
    grid: SweepGrid,
    todo: SweepPlan,
    out: Path,
    workers: Workers,
    progress: Progress,
    scheduler: str | None = None,
    cache: Path | None = None,
) -> list[Outcome]:
    """The outcome of every cell; its reason may be that it could not be measured.

    Raises EdgecvError when the sweep's folder, a device or the scheduler cannot be used at all.

    With a scheduler, its workers build, and `workers` counts for nothing. Whatever stops it, the
    same call goes on.
    """
    make_folder(out)
    devices = [description.find(name) for name in grid.devices]
    kept = (cache or out / CACHE).resolve()
    outcomes = [record_failure(out / outcome.name, outcome.reason) for outcome in todo.broken]
    outcomes += [Outcome(cell.name) for cell in todo.done]
    with ExitStack() as stack:
        if scheduler and todo.to_build:
            workers = stack.enter_context(cluster(scheduler))
        built = _built(todo, out.resolve(), kept, workers)
        for outcome in progress.track(built, "build", todo.to_build):
            progress.line(f"  {outcome.name}: {outcome.reason or 'built'}")
            outcomes.append(outcome)
    runs = sorted(out / outcome.name for outcome in outcomes if not outcome.reason)
    by_name = {outcome.name: outcome for outcome in outcomes}
    for name, reason in measure_all(runs, devices, StageCache(kept), progress):
        before = by_name[name].reason
        by_name[name] = Outcome(name, f"{before}; {reason}" if before else reason)
    return [*by_name.values()]


def _built(todo: SweepPlan, out: Path, cache: Path, workers: Workers) -> Iterator[Outcome]:
    for wave in todo.waves:
        tasks = [Task(cell, out, cache, workers.threads, Path.cwd()) for cell in wave]
        yield from build_all(tasks, workers)
