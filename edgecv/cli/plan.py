"""`edgecv plan`: what a model costs, before anything is trained."""

import shlex
from pathlib import Path
from typing import TYPE_CHECKING

import click

from edgecv.cli import completion
from edgecv.cli.command import Command, add_group
from edgecv.cli.measurements import measurements, per_op_option
from edgecv.cli.options import MODEL, coral_words, device_option, json_option
from edgecv.cli.recipe_flags import recipe_of
from edgecv.errors import RecipeError
from edgecv.recipe import Recipe

if TYPE_CHECKING:
    from edgecv.pipeline.plan import Plan


@click.command(cls=Command)
@click.argument("arch", shell_complete=completion.architectures)
@add_group("Model", *MODEL)
@device_option("Estimate the latency on it: rpi4, rpi5 ...")
@per_op_option
@json_option
def plan(
    arch: str, device: str | None, profiles: tuple[Path, ...], as_json: bool, **_: object
) -> None:
    """Count what ARCH costs: parameters, multiply-accumulates, sizes, operators. Trains nothing.

    A latency is an estimate: from published figures of the board, or, better, from your own
    measurements of operators there. How far off it may be is always said.

    \b
    edgecv plan mobilenet --width 0.75 --res 160
    edgecv plan mobilenet_v2 --width 0.5 --device rpi4
    """
    _refuse_file(arch)
    options = recipe_of(Recipe(), (), arch).model
    from edgecv import models
    from edgecv.device import description
    from edgecv.pipeline import plan as plans

    models.resolve(options)
    board = description.find(device) if device else None
    own = measurements(board.name, profiles) if board else []
    plan = plans.plan(options, board, own)
    click.echo(plan.to_json() if as_json else _text(plan))


def _refuse_file(arch: str) -> None:
    """Raise RecipeError where a file is named in place of an architecture."""
    if arch.endswith(".tflite") or Path(arch).is_file():
        quoted = shlex.quote(arch)
        raise RecipeError(
            f"{arch}: is a file; what it takes, gives and costs: edgecv inspect {quoted}"
        )


def _text(plan: "Plan") -> str:
    """The plan as aligned lines, and the command that builds it."""
    depth = f" depth {plan.depth:g}" if plan.depth is not None else ""
    rows = {
        "model": f"{plan.arch} {plan.width:g}/{plan.resolution}{depth}, {plan.classes} classes",
        "parameters": f"{plan.parameters:,}",
        "MACs": f"{plan.macs:,}",
        "float32 file": f"{plan.float32_bytes_estimated:,} bytes (estimated)",
        "int8 file": f"{plan.int8_bytes_estimated:,} bytes (estimated)",
        "activation peak": f"{plan.activation_peak_bytes_estimated:,} bytes in int8 (estimated)",
        "operators": ", ".join(f"{count} {name}" for name, count in plan.operators.items()),
    }
    if plan.coral:
        rows["on an Edge TPU"] = coral_words(plan.coral)
    rows |= {
        f"on {latency.device}, {latency.scheme}": latency.words() for latency in plan.latency or ()
    }
    sources = plan.imagenet or ["none on ImageNet are published for it"]
    rows["weights"] = f"\n{'':<17}".join(sources)
    lines = [f"{name:<16} {value}" for name, value in rows.items()]
    depth = f" --depth {plan.depth:g}" if plan.depth is not None else ""
    size = f"--width {plan.width:g} --res {plan.resolution}{depth}{' --lanes' * bool(plan.lanes)}"
    return "\n".join([*lines, "", f"Build it: edgecv build {plan.arch} {size} --data DIR"])
