"""`edgecv sweep`: a grid of builds."""

import json
import shlex
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from edgecv.cli.command import option
from edgecv.cli.options import json_option
from edgecv.errors import EdgecvError, plural

if TYPE_CHECKING:
    from edgecv.sweep.cell import Outcome
    from edgecv.sweep.grid import SweepGrid
    from edgecv.sweep.sweep_plan import SweepPlan
    from edgecv.sweep.workers import Workers

PATH = click.Path(path_type=Path)


@click.command()
@click.argument("recipe", type=PATH)
@option("-o", "--out", type=PATH, help="Folder of the runs.", show_default="runs/NAME")
@option("--dry-run", is_flag=True, help="List what would be built, and about how long it takes.")
@option(
    "--jobs",
    type=click.IntRange(1, 256),
    help="Builds at once.",
    show_default="as cores and memory allow",
)
@option("--scheduler", help="A Dask cluster that sees the same folders: tcp://HOST:8786.")
@option("--cache", type=PATH, help="Folder of shared stages.", show_default="OUT/.cache")
@json_option
def sweep(
    recipe: Path,
    out: Path | None,
    dry_run: bool,
    jobs: int | None,
    scheduler: str | None,
    cache: Path | None,
    as_json: bool,
) -> None:
    """Build every cell of RECIPE's [grid], what they share only once; then measure them.

    What is done is skipped; a cell that fails keeps its reason, and the rest goes on: exit code 1.
    Whatever stops it, the same command goes on where it stopped.

    \b
    edgecv sweep grid.toml --dry-run
    edgecv sweep grid.toml -o runs/grid
    edgecv sweep grid.toml --scheduler tcp://10.0.0.5:8786
    """
    from edgecv.cli.progress import Terminal
    from edgecv.device import description
    from edgecv.pipeline import inputs
    from edgecv.sweep import grid as grids
    from edgecv.sweep import run_sweep, workers
    from edgecv.sweep import sweep_plan as plans

    grid, progress = grids.load(recipe), Terminal()
    for name in grid.devices:
        description.find(name)
    for cell in grid.cells:
        inputs.check_named(cell.recipe)
    out = out or Path("runs") / recipe.stem
    todo, local = plans.plan(grid, out, progress), workers.local(jobs)
    progress.line(_introduction(grid, todo, local, scheduler))
    if dry_run:
        click.echo(json.dumps(_table(todo)) if as_json else _listing(todo, recipe))
        return
    outcomes = run_sweep.sweep(grid, todo, out, local, progress, scheduler, cache)
    table = [outcome._asdict() for outcome in outcomes]
    click.echo(json.dumps(table) if as_json else _summary(outcomes))
    if not as_json:
        click.echo(f"\nNext: edgecv report {shlex.quote(str(out))}")
    _judge(outcomes)


def _judge(outcomes: "list[Outcome]") -> None:
    """Raise EdgecvError with the first of the cells that failed."""
    failed = [outcome for outcome in outcomes if outcome.reason]
    if failed:
        raise EdgecvError(f"{len(failed)} of {len(outcomes)}: {failed[0].name}: {failed[0].reason}")


def _introduction(
    grid: "SweepGrid", todo: "SweepPlan", workers: "Workers", scheduler: str | None
) -> str:
    """The number of cells to build, the workers, and the estimated duration."""
    who = (
        f"by {scheduler}"
        if scheduler
        else f"{workers.jobs} at once, {plural(workers.threads, 'thread')} each"
    )
    stages = ", ".join(f"{count} x {name}" for name, count in todo.stages.items())
    minutes = todo.seconds / 60 / (1 if scheduler else workers.jobs)
    cells = plural(len(grid.cells), "cell")
    return f"{cells}, {len(todo.done)} done, {todo.to_build} to build, {who}" + (
        f"; about {minutes:.0f} min: {stages}" if todo.to_build else ""
    )


def _table(todo: "SweepPlan") -> dict[str, Any]:
    table = asdict(todo)
    names = {"done": [cell.name for cell in todo.done]}
    waves = [[cell.name for cell in wave] for wave in todo.waves]
    broken = [outcome._asdict() for outcome in todo.broken]
    return {**table, **names, "waves": waves, "broken": broken, "to_build": todo.to_build}


def _listing(todo: "SweepPlan", recipe: Path) -> str:
    lines = [f"done    {cell.name}" for cell in todo.done]
    lines += [f"broken  {outcome.name}: {outcome.reason}" for outcome in todo.broken]
    lines += [f"build   {cell.name}" for wave in todo.waves for cell in wave]
    return "\n".join([*lines, "", f"Next: edgecv sweep {shlex.quote(str(recipe))}"])


def _summary(outcomes: "list[Outcome]") -> str:
    return "\n".join(
        f"{'failed' if outcome.reason else 'ok':<7} {outcome.name}" for outcome in outcomes
    )
