"""`edgecv search`: the cells of a grid that are worth building."""

import json
import shlex
from pathlib import Path
from typing import TYPE_CHECKING

import click

from edgecv.cli.command import option
from edgecv.cli.options import device_option, json_option
from edgecv.cli.units import LATENCY

if TYPE_CHECKING:
    from edgecv.sweep.search import Trial

PATH = click.Path(path_type=Path)


@click.command()
@click.argument("grid", type=PATH)
@device_option("Where the latency counts.", default="host", show_default=True)
@option(
    "--max-latency",
    type=LATENCY,
    help="Largest p50 there, e.g. 30ms; models estimated to be slower are not built.",
)
@option("--trials", type=click.IntRange(1), default=20, show_default=True, help="Models to try.")
@option("--seed", type=int, default=0, show_default=True, help="Of the proposals.")
@option("-o", "--out", type=PATH, help="Folder of the runs.", show_default="runs/NAME")
@json_option
def search(
    grid: Path,
    device: str,
    max_latency: float | None,
    trials: int,
    seed: int,
    out: Path | None,
    as_json: bool,
) -> None:
    """Build those cells of GRID, a sweep file, that promise accuracy for little latency.

    Optuna proposes them, learning from those before. What the latency model says is too slow is not
    built; a training far behind one of a smaller model is not finished. The same command goes on.

    \b
    edgecv search grid.toml --device rpi4 --max-latency 30ms --trials 20
    """
    from edgecv.cli.progress import Terminal
    from edgecv.device import description
    from edgecv.models.tensorflow import import_tensorflow
    from edgecv.pipeline import inputs
    from edgecv.sweep import grid as grids
    from edgecv.sweep import search as run

    cells, where = grids.load(grid), description.find(device)
    out = out or Path("runs") / grid.stem
    for cell in cells.cells:
        inputs.check_named(cell.recipe)
    import_tensorflow()
    job = run.Search(out, where, max_latency, Terminal())
    found = run.search(cells, job, trials, seed)
    front = run.best(found)
    if as_json:
        known = {"trials": [each._asdict() for each in found]}
        click.echo(json.dumps(known | {"front": [each.name for each in front]}))
        return
    click.echo(_text(found, front, where.name, max_latency))
    click.echo(f"\nNext: edgecv report {shlex.quote(str(out))}")


def _text(found: "list[Trial]", front: "list[Trial]", device: str, limit: float | None) -> str:
    """The front with its figures; of the others, how many and why."""
    lines = [
        f"{100 * each.top1:5.1f} %  {each.ms:8.3g} ms {each.origin} on {device}  {each.name}"
        + f" ({each.basis})" * bool(each.basis)
        + ", beyond --max-latency" * bool(limit and each.ms > limit)
        for each in front
    ]
    lines.append(f"{len(found)} tried, {len(front)} on the front")
    return "\n".join([*lines, *(f"{each.name}: {each.reason}" for each in found if each.reason)])
