"""`edgecv search`: build the most promising models of a grid, or of those that `suggest` lists."""

import json
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from edgecv.cli.command import Command, add_group, option
from edgecv.cli.limits import LIMITS, limits_of
from edgecv.cli.measurements import measurements
from edgecv.cli.options import device_option, json_option
from edgecv.cli.recipe_flags import SET, flag, recipe_of
from edgecv.errors import RecipeError, plural
from edgecv.recipe import Recipe

if TYPE_CHECKING:
    from edgecv.device.description import Device
    from edgecv.estimate.measured import Profile
    from edgecv.progress import Progress
    from edgecv.sweep.grid import SweepGrid
    from edgecv.sweep.search import Search, Trial
    from edgecv.tradeoff.choose import Limits

PATH = click.Path(path_type=Path)


@click.command(cls=Command)
@click.argument("grid", required=False, type=PATH)
@device_option("Where the latency counts.", default="host", show_default=True)
@add_group("Limits; of a GRID, the latency only", *LIMITS)
@add_group(
    "In place of a GRID",
    flag("data.path", "Images to train and judge the models of edgecv suggest on.", "GRID's"),
    SET,
)
@option("--trials", type=click.IntRange(1), default=20, show_default=True, help="Models to try.")
@option("--seed", type=int, default=0, show_default=True, help="Of the proposals.")
@option("-o", "--out", type=PATH, help="Folder of the runs.", show_default="runs/NAME")
@json_option
def search(
    grid: Path | None,
    device: str,
    settings: tuple[str, ...],
    trials: int,
    out: Path | None,
    as_json: bool,
    **flags: Any,
) -> None:
    """Build those models that promise accuracy for little latency: cells of GRID, a sweep file.

    Without GRID, they are models of edgecv suggest within the limits, built for int8 on --data; its
    picks come first. Optuna proposes others, learning from those before. What is estimated to be
    too slow is not built; a training far behind one of a smaller model is not finished. The same
    command goes on.

    \b
    edgecv search --data photos/ --device rpi4 --max-latency 30ms --trials 12
    edgecv search grid.toml --device rpi4 --max-latency 30ms --trials 20
    """
    from edgecv.cli.progress import Terminal
    from edgecv.device import description
    from edgecv.models.tensorflow import import_tensorflow
    from edgecv.pipeline import inputs
    from edgecv.sweep import search as run

    limits, where, progress = limits_of(flags), description.find(device), Terminal()
    own = measurements(where.name)
    if grid:
        cells = _grid_of_file(grid, limits, settings)
    else:
        cells = _grid_of_suggestions(where, own, limits, settings, progress)
    out = out or Path("runs") / (grid.stem if grid else f"search_{where.name}")
    for cell in cells.cells:
        inputs.check_named(cell.recipe)
    import_tensorflow()
    job = run.Search(out, where, limits.max_latency_ms, progress, own)
    tried = run.search(cells, job, trials, flags["seed"])
    front = run.best(tried)
    click.echo(_json(tried, front) if as_json else _text(tried, front, job))


def _grid_of_file(path: Path, limits: "Limits", settings: tuple[str, ...]) -> "SweepGrid":
    """The sweep file's cells. Raises RecipeError where flags say what the file says."""
    from edgecv.sweep import grid

    used = {
        "--data": recipe_of(Recipe(), ()).data.path,
        "--set": settings,
        "--max-size": limits.max_bytes,
        "--max-macs": limits.max_macs,
        "--min-top1": limits.min_top1,
    }
    for name, value in used.items():
        if value:
            raise RecipeError(f"{name}: not together with {path}, which says what is built")
    return grid.load(path)


def _grid_of_suggestions(
    device: "Device",
    own: "list[Profile]",
    limits: "Limits",
    settings: tuple[str, ...],
    progress: "Progress",
) -> "SweepGrid":
    """The published models within the limits. Raises EdgecvError where nothing is known of them."""
    from edgecv.pipeline import inputs, suggest
    from edgecv.sweep import candidates

    base = recipe_of(Recipe(), settings)
    if not base.data.path:
        raise RecipeError(
            "GRID: is missing; name a sweep file, or with --data images to try published models on"
        )
    if device.delegate == "edgetpu":
        raise RecipeError(
            f"--device {device.name}: a search without a GRID is for processors; for an Edge TPU:"
            f" edgecv suggest --device {device.name}"
        )
    inputs.check_named(base)
    suggestions = suggest.suggest(suggest.pace(device, profiles=own), limits)
    grid = candidates.candidate_grid(suggestions, limits, base)
    inputs.load_images(base, progress)
    progress.line(
        f"{len(grid.cells)} of {plural(len(suggestions.models), 'model')} within the limits on"
        f" {device.name}, estimated: {suggestions.basis}"
    )
    return grid


def _json(tried: "list[Trial]", front: "list[Trial]") -> str:
    """Every trial, and the names of those on the front."""
    table = {"trials": [trial._asdict() for trial in tried]}
    return json.dumps(table | {"front": [trial.name for trial in front]})


def _text(tried: "list[Trial]", front: "list[Trial]", job: "Search") -> str:
    """The front with its figures; of the others, how many and why; what to do next."""
    lines = [
        f"{100 * trial.top1:5.1f} %  {trial.ms:8.3g} ms {trial.origin} on {job.device.name}"
        + f"  {trial.name}"
        + f" ({trial.basis})" * bool(trial.basis)
        + ", beyond --max-latency" * bool(job.max_ms and trial.ms > job.max_ms)
        for trial in front
    ]
    lines.append(f"{len(tried)} tried, {len(front)} on the front")
    lines += [f"{trial.name}: {trial.reason}" for trial in tried if trial.reason]
    return "\n".join([*lines, "", f"Next: edgecv report {shlex.quote(str(job.out))}"])
