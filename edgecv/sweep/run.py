"""sweep(): every cell built once, measured once, and told of."""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

from edgecv.progress import Progress
from edgecv.stagecache import StageCache
from edgecv.sweep.cell import Outcome, Task, failed
from edgecv.sweep.grid import Grid
from edgecv.sweep.measure import measure_all
from edgecv.sweep.plan import Plan
from edgecv.sweep.workers import Workers, build_all, cluster

CACHE = ".cache"  # in the sweep's folder, unless another is named


def sweep(
    grid: Grid,
    todo: Plan,
    out: Path,
    workers: Workers,
    progress: Progress,
    scheduler: str | None = None,
    cache: Path | None = None,
) -> list[Outcome]:
    """What became of every cell, and what could not be measured. Raises EdgecvError.

    With a scheduler, its workers build, and `workers` counts for nothing. Whatever stops it, the
    same call goes on.
    """
    out.mkdir(parents=True, exist_ok=True)
    kept = (cache or out / CACHE).resolve()
    outcomes = [failed(out / each.name, each.reason) for each in todo.broken]
    outcomes += [Outcome(cell.name) for cell in todo.done]
    with ExitStack() as stack:
        if scheduler and todo.to_build:
            workers = stack.enter_context(cluster(scheduler))
        built = _built(todo, out.resolve(), kept, workers)
        for outcome in progress.track(built, "build", todo.to_build):
            progress.line(f"  {outcome.name}: {outcome.reason or 'built'}")
            outcomes.append(outcome)
    runs = sorted(out / each.name for each in outcomes if not each.reason)
    unmeasured = measure_all(runs, grid.devices, StageCache(kept), progress)
    return [*outcomes, *unmeasured]


def _built(todo: Plan, out: Path, cache: Path, workers: Workers) -> Iterator[Outcome]:
    for wave in todo.waves:
        tasks = [Task(cell, out, cache, workers.threads) for cell in wave]
        yield from build_all(tasks, workers)
