"""`edgecv check`: has a model become slower, larger or worse than it was?"""

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from edgecv.cli.command import option
from edgecv.cli.options import json_option
from edgecv.cli.units import GROWTH, POINTS
from edgecv.errors import CheckFailed, RecipeError, RunFolderError, plural

if TYPE_CHECKING:
    from edgecv.profile.baseline import BaselineRow, FigureVerdict

STYLES = {"same": "green", "better": "green", "worse": "red"}


@click.command()
@click.argument("run", type=click.Path(path_type=Path))
@option(
    "--baseline",
    type=click.Path(path_type=Path),
    required=True,
    help="A CSV of figures to hold the run against.",
)
@option("--write", is_flag=True, help="Put the run's figures into the CSV, check nothing.")
@option("--force", is_flag=True, help="With --write: also those that are not valid, marked.")
@option(
    "--max-growth",
    "bytes",
    type=GROWTH,
    help="Largest growth of a file, e.g. 2%.",
    show_default="1%",
)
@option(
    "--max-drop",
    "top1",
    type=POINTS,
    help="Largest allowed drop of top-1, in points.",
    show_default="1",
)
@option(
    "--max-slowdown",
    "p50_ms",
    type=GROWTH,
    help="Largest gap between the confidence intervals of a latency, e.g. 5%.",
    show_default="0%",
)
@json_option
def check(
    run: Path,
    baseline: Path,
    write: bool,
    force: bool,
    as_json: bool,
    **limits: float | None,
) -> None:
    """Hold RUN, a run's folder, against a baseline; exit code 3 when a figure became worse.

    A latency became worse when its confidence interval lies above the baseline's. What is not valid
    is skipped. Measurements of boards are those that `edgecv profile` left in the folder.

    \b
    edgecv check runs/mobilenet_v1_075_160_int8 --baseline devices/results/rpi4.csv
    edgecv check runs/mobilenet_v1_075_160_int8 --baseline rpi4.csv --write
    """
    from edgecv import report
    from edgecv.files import check_outputs
    from edgecv.pipeline.run_folder import RECIPE, REPORT
    from edgecv.profile import baseline as baselines
    from edgecv.profile import results

    loaded = report.load(run)
    rows = baselines.rows(loaded, results.read_kept(run))
    if write:
        names = (RECIPE, REPORT, "labels.txt", *(file["path"] for file in loaded.files.values()))
        check_outputs([baseline], [run / name for name in names])
        _write(baseline, rows, force, run, as_json)
        return
    if not baseline.exists():
        raise RecipeError(f"{baseline}: no such file; put this run's figures into it: --write")
    if limits["top1"] is not None:
        limits["top1"] /= 100
    verdicts = baselines.check(baseline, rows, limits)
    click.echo(_json(verdicts) if as_json else _text(verdicts))
    _judge(verdicts, baseline, run)
    if not as_json:
        click.echo(f"\nNext: edgecv profile {run}/MODEL.tflite --device DEVICE")


def _write(path: Path, rows: "list[BaselineRow]", force: bool, run: Path, as_json: bool) -> None:
    """The rows that are worth keeping, and what was left out."""
    from edgecv.profile import baseline

    kept = [row for row in rows if force or not row.invalid]
    baseline.write(path, kept)
    for row in rows:
        if row not in kept:
            click.echo(f"left out: {row}: not valid: {row.invalid}", err=True)
    if as_json:
        click.echo(json.dumps({"baseline": str(path), "written": [asdict(row) for row in kept]}))
        return
    click.echo(
        f"{path}: {plural(len(kept), 'figure')}\n\nNext: edgecv check {run} --baseline {path}"
    )


def _json(verdicts: "list[FigureVerdict]") -> str:
    return json.dumps(
        [
            {**asdict(verdict.row), "status": verdict.status, "words": verdict.words}
            for verdict in verdicts
        ]
    )


def _text(verdicts: "list[FigureVerdict]") -> str:
    """A line for each figure."""
    lines = [
        f"{click.style(f'{verdict.status:<8}', fg=STYLES.get(verdict.status, 'yellow'))}"
        f" {verdict.row}: {verdict.words}"
        for verdict in verdicts
    ]
    return "\n".join(lines)


def _judge(verdicts: "list[FigureVerdict]", baseline: Path, run: Path) -> None:
    """Raise CheckFailed for what became worse, RunFolderError for what was not measured."""
    worse = [verdict for verdict in verdicts if verdict.status == "worse"]
    missing = [verdict for verdict in verdicts if verdict.status == "missing"]
    if worse:
        first = f"{worse[0].row}: {worse[0].words}"
        raise CheckFailed(f"{baseline}: {len(worse)} of {len(verdicts)} became worse: {first}")
    if missing:
        rest = f", and {len(missing) - 1} more" if missing[1:] else ""
        raise RunFolderError(f"{run}: {missing[0].row}: not measured{rest}; see edgecv profile")
