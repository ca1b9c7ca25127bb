"""`edgecv coral`: a model on the Edge TPU, before and after it is compiled."""

import json
from pathlib import Path
from typing import Any

import click

from edgecv.cli import coral_lines
from edgecv.cli.command import option
from edgecv.cli.options import json_option

FILE = click.Path(path_type=Path)


@click.group()
def coral() -> None:
    """Plan, compile and look into models for the Coral Edge TPU."""


@coral.command()
@click.argument("model", type=FILE)
@option("--operators", is_flag=True, help="A line for every operator.")
@json_option
@click.pass_context
def plan(ctx: click.Context, model: Path, operators: bool, as_json: bool) -> None:
    """Estimate what the compiler makes of MODEL: mapping, memory, cycles, milliseconds.

    Exit code 0: all of it maps. 3: some operators stay on the processor. 4: it would not compile.

    \b
    edgecv coral plan runs/mobilenet_v2_100_224_int8/model_int8.tflite
    """
    from edgecv.cli.progress import Terminal
    from edgecv.convert.any_model import as_tflite
    from edgecv.coral.planner import plan as planned
    from edgecv.tflite import flatbuffer

    plan = planned(flatbuffer.read(as_tflite(model, Terminal())), str(model))
    text = [
        *(coral_lines.operators(plan) if operators else ()),
        coral_lines.plan_lines(plan, model),
    ]
    click.echo(plan.to_json() if as_json else "\n".join(text))
    ctx.exit(plan.exit_code)


@coral.command()
@click.argument("model", type=FILE)
@option("--against", type=FILE, help="The model before compiling.", show_default="beside MODEL")
@json_option
def inspect(model: Path, against: Path | None, as_json: bool) -> None:
    """Show what the compiler put into MODEL: parameters, instructions, transfers, least runtime.

    Where the model before compiling is at hand, the plan of it is held against that.

    \b
    edgecv coral inspect model_int8_edgetpu.tflite
    """
    from edgecv.coral import comparison, package
    from edgecv.coral.planner import plan as planned
    from edgecv.tflite import compiled, flatbuffer

    table = {"path": str(model), **package.summary(flatbuffer.read(model), str(model))}
    source = against or compiled.source(model)
    if source:
        estimate = planned(flatbuffer.read(source), str(source))
        rows = comparison.differences(estimate, table)
        table |= {"against": str(source), "differences": [row.to_json() for row in rows]}
    click.echo(
        json.dumps(table)
        if as_json
        else "\n".join([*coral_lines.package_lines(table), "", coral_lines.next_run(model)])
    )


@coral.command("compile")
@click.argument("model", type=FILE)
@option("-o", "--out", type=FILE, help="The file to write.", show_default="MODEL_edgetpu.tflite")
@option(
    "--compiler",
    default="",
    help="Path of edgetpu_compiler.",
    show_default="the one on the PATH",
)
@option("--image", default="", help="A container image that has the compiler.")
@option(
    "--timeout",
    type=click.IntRange(1, 86_400),
    default=180,
    show_default=True,
    help="Seconds it may take.",
)
@option("--min-runtime", type=click.IntRange(10, 14), help="Of the driver on the board.")
@option("--search", is_flag=True, help="After a failure, leave out operators from the end.")
@json_option
@click.pass_context
def compile_(
    ctx: click.Context, /, model: Path, out: Path | None, as_json: bool, **how: Any
) -> None:
    """Compile MODEL with edgetpu_compiler, and check what came out.

    Exit code 0: all of it maps. 3: some operators stay on the processor. 1: nothing came out.

    \b
    edgecv coral compile model_int8.tflite
    edgecv coral compile model_int8.tflite --image my/edgetpu-compiler
    """
    from edgecv.coral import compiler
    from edgecv.errors import DeviceError
    from edgecv.files import check_outputs

    options = compiler.CompileOptions(**how)
    out = out or model.with_name(f"{model.stem}_edgetpu.tflite")
    check_outputs([out, out.with_suffix(".log")], [model])
    try:
        compiler.find_compiler(options)
    except DeviceError:
        click.echo("\n".join(compiler.INSTALL), err=True)
        raise
    compiled = compiler.compile_model(model, out, options)
    click.echo(json.dumps(compiled) if as_json else coral_lines.compile_lines(compiled))
    ctx.exit(3 if compiled["compiled"]["cpu_operators"] else 0)


@coral.command()
@option("--markdown", "as_markdown", is_flag=True, help="Print them as a page.")
@json_option
def rules(as_markdown: bool, as_json: bool) -> None:
    """List the operators that map to the Edge TPU, their versions, conditions and sources.

    \b
    edgecv coral rules
    """
    from edgecv.coral import rules as tables

    if as_json:
        click.echo(json.dumps(tables.all_rules()))
    elif as_markdown:
        click.echo(tables.markdown())
    else:
        click.echo(coral_lines.rules(tables.all_rules()))
