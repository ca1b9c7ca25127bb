"""`edgecv report`: many runs on one page."""

import json
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from edgecv.cli.options import json_option
from edgecv.errors import plural

if TYPE_CHECKING:
    from edgecv.tradeoff.runs import Runs

PATH = click.Path(path_type=Path)


@click.command()
@click.argument("runs", nargs=-1, required=True, type=PATH)
@click.option(
    "-o", "--out", type=PATH, default=Path("tradeoff"), show_default=True, help="Folder for it."
)
@json_option
def report(runs: tuple[Path, ...], out: Path, as_json: bool) -> None:
    """Put RUNS, runs' folders or folders of them, on one page: what accuracy costs.

    Writes tradeoff.html (one file, opens offline), and the same as .csv, .json and .png.

    \b
    edgecv report runs/
    edgecv report runs/a runs/b -o comparison
    """
    from edgecv.cli.progress import Terminal
    from edgecv.tradeoff.runs import collect

    collected, progress = collect(runs), Terminal()
    payload = _write(collected, out)
    for run, reason in collected.rejected:
        progress.line(f"no result: {run}: {reason}")
    click.echo(payload if as_json else _text(collected, runs, out))


def _write(collected: "Runs", out: Path) -> str:
    """Write the files of the trade-off; the JSON among them."""
    from edgecv.files import check_outputs, write_text
    from edgecv.pipeline.run_folder import RECIPE, REPORT
    from edgecv.tradeoff import chart, comparison_tables, page

    outputs = [out / f"tradeoff.{kind}" for kind in ("json", "csv", "png", "html")]
    folders = {Path(candidate.run) for candidate in collected.candidates}
    check_outputs(outputs, [folder / name for folder in folders for name in (RECIPE, REPORT)])
    payload = json.dumps(page.payload(collected), indent=1)
    write_text(out / "tradeoff.json", payload + "\n")
    write_text(out / "tradeoff.csv", comparison_tables.to_csv(collected))
    chart.png(collected.candidates, out / "tradeoff.png")
    write_text(out / "tradeoff.html", page.page(collected, out))
    return payload


def _text(collected: "Runs", runs: Sequence[Path], out: Path) -> str:
    """The counts of runs, models and data sets, and the next command."""
    from edgecv.tradeoff.datasets import data_set_names

    count = len({candidate.run for candidate in collected.candidates})
    lines = [
        f"{plural(count, 'run')}, {plural(len(collected.candidates), 'model')},"
        f" {len(collected.rejected)} without a result"
    ]
    data, *others = data_set_names(collected.candidates).values() or [""]
    which = f" --data {shlex.quote(data)}" if others else ""
    if others:
        lines.append(f"{1 + len(others)} data sets, which do not compare: a front for each of them")
    lines += ["", f"Look at it: {out / 'tradeoff.html'}"]
    lines.append(f"Next: edgecv choose {shlex.join(map(str, runs))}{which} --max-latency 30ms")
    return "\n".join(lines)
