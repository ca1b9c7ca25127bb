"""The parts of a model that `edgecv profile` shows: its operators, its instructions."""

import json
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from edgecv.errors import RecipeError, plural

if TYPE_CHECKING:
    from edgecv.artifacts import TFLiteModel
    from edgecv.device.description import Device
    from edgecv.recipe import ProfileOptions

SHOWN = 10  # operators; the others are in the files


@dataclass(frozen=True)
class Wanted:
    """The flags of what is not latency."""

    per_op: bool
    count: bool
    board: str | None
    keep: bool

    @property
    def any(self) -> bool:
        """Whether latency is not what is wanted."""
        return self.per_op or self.count


def check(
    wanted: Wanted,
    models: Sequence[Path],
    plans: "Mapping[str, tuple[ProfileOptions, list[int]]]",
    devices: "Sequence[Device]",
    force: bool,
) -> None:
    """Raise RecipeError where the flags do not go together, or time would be an emulator's."""
    flag = "--per-op" if wanted.per_op else "--count"
    if wanted.per_op and wanted.count:
        raise RecipeError("--per-op: measures time, --count instructions; leave one of the two out")
    if wanted.board and not wanted.count:
        raise RecipeError("--board: needs --count, whose core it names")
    if wanted.keep and not wanted.per_op:
        raise RecipeError("--keep: needs --per-op, whose times it keeps for estimates")
    if not wanted.count and not force:
        _refuse_emulated(devices)
    several = len(models), len(devices), max(len(threads) for _, threads in plans.values())
    if wanted.any and max(several) > 1:
        raise RecipeError(
            f"{flag}: takes one model on one device with one number of threads,"
            " got {} models, {} devices, {} numbers".format(*several)
        )


def _refuse_emulated(devices: "Sequence[Device]") -> None:
    for device in devices:
        if device.board.emulated:
            raise RecipeError(
                f"device '{device.name}': is emulated, and its time says nothing of a board's;"
                " count instructions: --count; or take the time for what it is: --force"
            )


def show(
    wanted: Wanted,
    path: Path,
    options: "ProfileOptions",
    device: "Device",
    out: Path | None,
    as_json: bool,
) -> dict[str, Any]:
    """Print what is wanted of a model, and hand it on. Raises as what finds it in the library."""
    from edgecv.artifacts import TFLiteModel
    from edgecv.cli.progress import Terminal
    from edgecv.device import emulate
    from edgecv.profile.instructions import count_instructions

    model = TFLiteModel(path, path.stem)
    if wanted.count:
        board = wanted.board or emulate.last_started()
        counts = count_instructions(model, options, device, board, Terminal())
        click.echo(json.dumps(counts) if as_json else _instructions(counts, path))
    else:
        default = path.with_name(f"{path.stem}.{device.name}.json")
        counts = _profiled(model, options, device, out or default)
        if wanted.keep:
            from edgecv.estimate import store

            counts["kept"] = str(store.keep(counts)) if counts["valid"] else ""
        click.echo(json.dumps(counts) if as_json else _operators(counts, path))
    return counts


def _profiled(
    model: "TFLiteModel", options: "ProfileOptions", device: "Device", out: Path
) -> dict[str, Any]:
    """The profile by operator, written in full as JSON and as a page."""
    from edgecv.cli.progress import Terminal
    from edgecv.files import write_text
    from edgecv.profile.operators import profile_operators
    from edgecv.report import model_explorer
    from edgecv.report.operators_page import operators_page

    profile = profile_operators(model, options, device, Terminal())
    file, page = (out.with_suffix(f".operators.{kind}") for kind in ("json", "html"))
    write_text(file, json.dumps(profile, indent=1) + "\n")
    write_text(page, operators_page(model.path.name, profile))
    nodes = out.with_suffix(f".operators.{model_explorer.SUFFIX}")
    times = [(row["output"], row["ms"]) for row in profile["operators"] if "ms" in row]
    model_explorer.write_node_data(nodes, times)
    return profile | {"file": str(file), "page": str(page), "model_explorer": str(nodes)}


def _operators(profile: dict[str, Any], model: Path) -> str:
    """The costliest operators, the types, and how far the sum is from the whole."""
    measured = [row for row in profile["operators"] if "ms" in row]
    costliest = sorted(measured, key=lambda row: -row["ms"])[:SHOWN]
    failed = [row for row in profile["operators"] if "reason" in row]
    delegates = ", ".join(f"{count} {name}" for name, count in profile["delegates"].items())
    calls = ", ".join(f"{1e3 * ms:.2g} us {name}" for name, ms in profile["call_ms"].items())
    facts = {
        "whole": f"p50 {profile['whole_ms']:.3f} ms, {plural(profile['threads'], 'thread')},"
        f" {profile['runtime']}, on {profile['cpu']}",
        "operators": f"{profile['sum_ms']:.3f} ms in {len(measured)}: {delegates};"
        f" the overhead of a call subtracted, {calls}",
        "unattributed": f"{profile['residue_ms']:+.3f} ms,"
        f" {profile['residue_share']:+.1%} of the whole",
        "valid": "yes" if profile["valid"] else f"no: {profile['reason']}",
    }
    return "\n".join(
        [
            f"{'us':>8} {'share':>6} {'MMACs':>7} {'kB':>7}  type",
            *(_row(row, f"{row['count']} {row['operator']}") for row in profile["types"]),
            "",
            f"{'us':>8} {'share':>6} {'MMACs':>7} {'kB':>7}  operator",
            *(_row(row, _named(row)) for row in costliest),
            "",
            *(f"{name:<12} {value}" for name, value in facts.items()),
            *(
                f"{'check':<12} first {prefix['operators']} operators as one model"
                f" {prefix['ms']:.3f} ms, the sum of them {prefix['sum_ms']:.3f}"
                for prefix in profile["prefixes"]
            ),
            *(f"{'not measured':<12} {_named(row)}: {row['reason']}" for row in failed),
            f"{'all of them':<12} {profile['file']}",
            f"{'explorer':<12} {profile['model_explorer']}: node data for Model Explorer",
            f"{'kept':<12} {_kept(profile)}",
            "",
            f"Look at it: {profile['page']}",
            f"Next: {_next(profile, model)}",
        ]
    )


def _kept(profile: dict[str, Any]) -> str:
    """Whether estimates go by the measurement from now on, and how to change that."""
    commands = f"edgecv suggest, plan, inspect and search --device {profile['device']}"
    if profile.get("kept"):
        kept = profile["kept"]
        return f"{kept}: {commands} go by it; to forget it: rm {shlex.quote(kept)}"
    if "kept" in profile:
        return "no: it is not valid"
    return f"no; with --keep, {commands} would go by it"


def _next(profile: dict[str, Any], model: Path) -> str:
    """The next command: suggest from these operators, or measure again where they are not valid."""
    device = profile["device"]
    if profile.get("kept"):
        return f"edgecv suggest --device {device}"
    if profile["valid"]:
        return f"edgecv suggest --device {device} --per-op {shlex.quote(profile['file'])}"
    again = f"edgecv profile {shlex.quote(str(model))} --device {device} --per-op"
    again += " --keep" * ("kept" in profile)
    return f"{again}, when the machine does nothing else"


def _row(row: dict[str, Any], name: str) -> str:
    return (
        f"{1e3 * row['ms']:8.1f} {row['share']:6.1%} {row['macs'] / 1e6:7.2f}"
        f" {row['bytes'] / 1e3:7.1f}  {name}"
    )


def _named(row: dict[str, Any]) -> str:
    """An operator by what it makes; its delegate, where it has none."""
    shape = "x".join(map(str, row["shape"]))
    alone = ", builtin kernel" if row.get("delegate") == "builtin" else ""
    return f"{row['index']} {row['operator']} -> {shape}{alone}"


def _instructions(counts: dict[str, Any], model: Path) -> str:
    """The counts in millions."""
    kinds = ("dot", "multiply", "load", "store", "other", "total")
    return "\n".join(
        [
            *(f"{kind:<12} {counts[kind] / 1e6:10.3f} M" for kind in kinds),
            f"{'counted':<12} instructions of one inference, {counts['runtime']},"
            f" {counts['core']} ({counts['board']}): not a time",
            "",
            f"Next: edgecv evaluate {model} --data LABELED_FOLDER --device {counts['device']}",
        ]
    )
