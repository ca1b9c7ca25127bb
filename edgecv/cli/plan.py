"""`edgecv plan`: what a model costs, before anything is trained."""

from typing import TYPE_CHECKING, Any

import click

from edgecv.cli.options import json_option, model_options
from edgecv.recipe import Recipe, override

if TYPE_CHECKING:
    from edgecv.plan import Plan


@click.command()
@click.argument("arch")
@model_options
@json_option
def plan(as_json: bool, **shape: Any) -> None:
    """Count what ARCH costs: parameters, multiply-accumulates, sizes, operators. Trains nothing.

    \b
    edgecv plan mobilenet --width 0.75 --res 160
    """
    options = override(Recipe(), {}, {"model": shape}).model
    from edgecv import models
    from edgecv import plan as plans
    from edgecv.cli.progress import Terminal
    from edgecv.cli.tensorflow import import_tensorflow

    options = models.resolve(options)
    import_tensorflow()
    found = plans.plan(options, Terminal())
    click.echo(found.to_json() if as_json else _text(found))


def _text(found: "Plan") -> str:
    """The plan as aligned lines, and the command that builds it."""
    depth = f" depth {found.depth:g}" if found.depth is not None else ""
    rows = {
        "model": f"{found.arch} {found.width:g}/{found.resolution}{depth}, {found.classes} classes",
        "parameters": f"{found.parameters:,}",
        "MACs": f"{found.macs:,}",
        "float32 file": f"{found.float32_bytes:,} bytes",
        "int8 file": f"{found.int8_bytes_estimated:,} bytes (estimated)",
        "activation peak": f"{found.activation_peak_bytes_estimated:,} bytes in int8 (estimated)",
        "operators": ", ".join(f"{count} {name}" for name, count in found.operators.items()),
    }
    lines = [f"{name:<16} {value}" for name, value in rows.items()]
    depth = f" --depth {found.depth:g}" if found.depth is not None else ""
    size = f"--width {found.width:g} --res {found.resolution}{depth}"
    return "\n".join([*lines, "", f"Build it: edgecv build {found.arch} {size} --data DIR"])
