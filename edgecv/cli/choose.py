"""`edgecv choose`: which of the models there are to take."""

import json
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from edgecv.cli.command import option
from edgecv.cli.options import device_option, json_option
from edgecv.cli.units import LATENCY, SHARE, SIZE
from edgecv.errors import CheckFailed, DataError, RecipeError, nearest, plural

if TYPE_CHECKING:
    from edgecv.tradeoff.choose import Choice, Option
    from edgecv.tradeoff.runs import Candidate


MODELS = 3  # in the command that measures again


@click.command()
@click.argument("runs", nargs=-1, type=click.Path(path_type=Path))
@device_option("Where the latency counts.", show_default="where all were measured")
@option("--data", help="The images of the accuracy.", show_default="those of all runs")
@option("--max-latency", type=LATENCY, help="Largest p50 there, e.g. 30ms.")
@option("--min-top1", type=SHARE, help="Least top-1 on held-out images, e.g. 0.9 or 90%.")
@option("--max-size", type=SIZE, help="Largest file, e.g. 2MB or 512KiB.")
@json_option
def choose(
    runs: tuple[Path, ...],
    device: str | None,
    data: str | None,
    max_latency: float | None,
    min_top1: float | None,
    max_size: float | None,
    as_json: bool,
) -> None:
    """Pick models of RUNS, or of runs/, within limits: Quality, Balanced, Compact.

    When none fits, exit code 3; what comes nearest is said, and which limit would have to give.
    Where no latency is valid, they are picked by accuracy and size.

    \b
    edgecv choose --device rpi4 --max-latency 30ms --min-top1 0.9 --max-size 2MB
    """
    from edgecv.tradeoff import choose as choosing
    from edgecv.tradeoff.datasets import select_data
    from edgecv.tradeoff.runs import collect

    candidates = collect(runs or (Path("runs"),)).candidates
    candidates = select_data(candidates, data) or candidates
    device = _device(candidates, device, max_latency is not None)
    options = choosing.options(candidates, device)
    unmeasured = "" if options or not device else _unmeasured(candidates, device)
    if unmeasured:
        click.echo(f"{unmeasured}\n", err=True)
        options = choosing.options(candidates, None)
    if not options:
        raise DataError(f"no model in {len(candidates)} has a measured accuracy")
    latency_limit = None if unmeasured else max_latency
    choice = choosing.choose(options, choosing.Limits(latency_limit, min_top1, max_size))
    click.echo(_json(choice) if as_json else _text(choice, len(options)))
    if not choice.chosen:
        raise CheckFailed(f"{_none(len(options))} within all limits")
    if unmeasured and max_latency is not None:
        raise CheckFailed(f"--max-latency: not tested, no latency on {device} is valid")


def _unmeasured(candidates: "list[Candidate]", device: str) -> str:
    """That no latency is valid, why, and how to measure again."""
    invalid = [
        (candidate, latency.reason)
        for candidate in candidates
        for latency in candidate.latencies
        if latency.device == device
    ]
    files = [str(candidate.run / candidate.file) for candidate, _ in invalid[:MODELS]]
    again = f"edgecv profile {shlex.join(files or ['MODEL'])} --device {device}"
    reason = next((f": {reason}" for _, reason in invalid if reason), "")
    return (
        f"No latency on {device} is valid{reason}. These are picked by accuracy and size.\n"
        f"Measure again, while it does nothing else: {again}"
    )


def _none(count: int) -> str:
    return f"none of {plural(count, 'model')} is"


def _device(candidates: "list[Candidate]", wanted: str | None, needed: bool) -> str | None:
    """The device whose latencies count; the only one, if none is said. Raises RecipeError."""
    names = sorted({latency.device for candidate in candidates for latency in candidate.latencies})
    if wanted and wanted not in names:
        there = f"there are of: {', '.join(names) or 'none'}"
        raise RecipeError(f"--device {wanted}: no latency of it{nearest(wanted, names)}; {there}")
    if wanted or len(names) == 1:
        return wanted or names[0]
    if needed:
        raise RecipeError(f"--device: which of {', '.join(names) or 'none'} --max-latency is of")
    return None


def _json(choice: "Choice") -> str:
    table: dict[str, Any] = {"chosen": _tables(choice.chosen)}
    if choice.nearest:
        table |= {"nearest": choice.nearest.to_json(), "instead": _tables(choice.instead)}
    return json.dumps(table)


def _tables(options: "Mapping[str, Option]") -> dict[str, Any]:
    return {name: option.to_json() for name, option in options.items()}


def _text(choice: "Choice", count: int) -> str:
    """The answers with their figures; what to look at next."""
    if choice.chosen:
        lines = [
            f"{name.capitalize():<9} {_figures(option)}" for name, option in choice.chosen.items()
        ]
        best = choice.chosen["balanced"].candidate
        return "\n".join(
            [*lines, "", f"Next: edgecv profile {shlex.quote(str(best.run / best.file))}"]
        )
    lines = [f"{_none(count).capitalize()} within all limits."]
    if choice.nearest:
        lines.append(f"Nearest   {_figures(choice.nearest)}")
    for flag, pick in choice.instead.items():
        lines.append(f"Without {flag}: {_figures(pick)}")
    if not choice.instead:
        lines.append("More than one limit would have to give.")
    return "\n".join([*lines, "", "Next: edgecv sweep GRID.toml, of other models"])


def _figures(option: "Option") -> str:
    latency = option.latency
    where = f", {option.ms:.3g} ms on {latency.where}" if latency else ""
    candidate = option.candidate
    return (
        f"{100 * option.top1:.1f} % top-1{where}, {option.bytes / 1e6:.3g} MB:"
        f" {candidate.run / candidate.file}"
    )
