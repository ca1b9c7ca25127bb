"""`edgecv suggest`: which model a board can run, before anything is built."""

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from edgecv.cli.command import Command, add_group, option
from edgecv.cli.limits import LIMITS, limits_of
from edgecv.cli.measurements import measurements, per_op_option
from edgecv.cli.options import device_option, json_option
from edgecv.cli.units import OneOf
from edgecv.errors import CheckFailed, plural
from edgecv.recipe import TARGETS

if TYPE_CHECKING:
    from edgecv.pipeline.suggest import Suggestion, Suggestions

PATH = click.Path(path_type=Path)
LINES = 15
HEAD = f"{'model':<40} {'top-1':>7} {'int8':>6} {'ms':>7} {'MB':>6} {'M MACs':>7}"


@click.command(cls=Command)
@device_option("Where it is to run: rpi4, rpi5 ...", required=True)
@add_group("Limits", *LIMITS)
@option(
    "--target",
    type=OneOf(TARGETS),
    help="The processor, or an Edge TPU.",
    show_default="what the device has",
)
@option(
    "--threads",
    type=click.IntRange(1, 64),
    help="Threads of the processor.",
    show_default="the device's",
)
@per_op_option
@option("-o", "--out", type=PATH, help="Folder for the same as a page: tradeoff.html.")
@json_option
def suggest(
    device: str,
    target: str | None,
    threads: int | None,
    profiles: tuple[Path, ...],
    out: Path | None,
    as_json: bool,
    **limits: float | None,
) -> None:
    """Rank every published model that --device can run within limits, by ImageNet accuracy.

    Latencies and int8 sizes are estimates; how far off they may be is said. When nothing fits, exit
    code 3; what comes nearest is said, and which limit would have to give.

    \b
    edgecv suggest --device rpi5 --max-latency 33ms --max-size 4MB
    edgecv suggest --device rpi4 --target coral --max-latency 10ms -o suggested
    """
    asked = limits_of(limits)
    from edgecv.device import description
    from edgecv.pipeline import suggest as suggesting

    board = description.find(device)
    target = target or ("coral" if board.delegate == "edgetpu" else "cpu")
    own = measurements(board.name, profiles, [suggesting.SCHEME] if target == "cpu" else [])
    suggestions = suggesting.suggest(suggesting.pace(board, target, threads, own), asked)
    if out:
        _write(suggestions, out)
    click.echo(json.dumps(suggestions.to_json()) if as_json else _text(suggestions, out))
    if not suggestions.choice.chosen:
        raise CheckFailed(
            f"none of {plural(len(suggestions.models), 'model')} is within all limits"
        )


def _write(suggestions: "Suggestions", out: Path) -> None:
    """The trade-off page and the same as JSON, in a folder."""
    from edgecv.files import write_text
    from edgecv.tradeoff import page

    write_text(out / "suggested.json", json.dumps(suggestions.to_json(), indent=1) + "\n")
    write_text(out / "tradeoff.html", page.page(suggestions.runs(), out))


def _text(suggestions: "Suggestions", out: Path | None) -> str:
    """The basis of the estimates, the front as a table, the picks; or the nearest models."""
    lines = [f"On {suggestions.device}, int8, estimated: {suggestions.basis}.", ""]
    lines += _picks(suggestions) if suggestions.choice.chosen else _nearest(suggestions)
    if out:
        lines += ["", f"Look at it: {out / 'tradeoff.html'}"]
    return "\n".join(lines)


def _picks(suggestions: "Suggestions") -> list[str]:
    rows, front = _thinned(suggestions), suggestions.front
    shown = f"{len(rows)} of the {len(front)}" if len(rows) < len(front) else "The models"
    lines = [
        HEAD,
        *map(_row, rows),
        f"{shown} that no other of {len(suggestions.models)} beats; top-1 on ImageNet, as published"
        " for float and int8; ~ interpolated.",
        "",
    ]
    for name, pick in suggestions.choice.chosen.items():
        suggestion = suggestions.of(pick)
        lines.append(f"{name.capitalize():<9} {_figures(suggestion)}")
        lines.append(f"          {suggestion.build_line}")
        lines += [f"          weights: {suggestion.imagenet}"] if suggestion.imagenet else []
    return lines


def _nearest(suggestions: "Suggestions") -> list[str]:
    choice = suggestions.choice
    lines = [f"None of {plural(len(suggestions.models), 'model')} is within all limits."]
    if choice.nearest:
        lines.append(f"Nearest   {_figures(suggestions.of(choice.nearest))}")
    for flag, pick in choice.instead.items():
        lines.append(f"Without {flag}: {_figures(suggestions.of(pick))}")
    if not choice.instead:
        lines.append("More than one limit would have to give.")
    return lines


def _thinned(suggestions: "Suggestions") -> "list[Suggestion]":
    """The front in at most LINES rows: the picks, and of the others evenly many."""
    picks = [suggestions.of(option) for option in suggestions.choice.chosen.values()]
    others = [suggestion for suggestion in suggestions.front if suggestion not in picks]
    room = min(LINES - len(picks), len(others))
    kept = [others[round(place * (len(others) - 1) / max(room - 1, 1))] for place in range(room)]
    return [suggestion for suggestion in suggestions.front if suggestion in [*picks, *kept]]


def _row(suggestion: "Suggestion") -> str:
    candidate, int8 = suggestion.candidate, suggestion.int8
    name = f"{candidate.arch} {candidate.width:g}/{candidate.resolution}"
    return (
        f"{name:<40} {_percent(suggestion):>7} {f'{100 * int8.top1:.1f}' if int8 else '':>6}"
        f" {suggestion.option.ms:>7.3g} {candidate.bytes / 1e6:>6.3g} {candidate.macs / 1e6:>7.0f}"
    )


def _percent(suggestion: "Suggestion") -> str:
    top1 = suggestion.top1
    return f"{'~' * top1.interpolated}{100 * top1.top1:.1f}"


def _figures(suggestion: "Suggestion") -> str:
    candidate = suggestion.candidate
    return (
        f"{candidate.arch} {candidate.width:g}/{candidate.resolution}: {_percent(suggestion)} %"
        f" top-1, {suggestion.option.ms:.3g} ms, {candidate.bytes / 1e6:.3g} MB"
    )
