"""`edgecv coral`: a model on the Edge TPU, before and after it is compiled."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from edgecv.cli.options import json_option

if TYPE_CHECKING:
    from edgecv.coral.planner import Plan

FILE = click.Path(path_type=Path)


@click.group()
def coral() -> None:
    """Plan, compile and look into models for the Coral Edge TPU."""


@coral.command()
@click.argument("model", type=FILE)
@json_option
@click.pass_context
def plan(ctx: click.Context, model: Path, as_json: bool) -> None:
    """What the compiler will make of MODEL, estimated: mapping, memory, cycles, milliseconds.

    Exit code 0: all of it maps. 3: some operators stay on the processor. 4: it would not compile.

    \b
    edgecv coral plan runs/mobilenet_v2_100_224_int8/model_int8.tflite
    """
    from edgecv.coral.planner import plan as planned
    from edgecv.tflite import flatbuffer

    found = planned(flatbuffer.read(model), str(model))
    click.echo(found.to_json() if as_json else _planned(found, model))
    ctx.exit(found.exit_code)


@coral.command()
@click.argument("model", type=FILE)
@click.option("--against", type=FILE, help="The model before compiling; beside MODEL if left out.")
@json_option
def inspect(model: Path, against: Path | None, as_json: bool) -> None:
    """What the compiler put into MODEL: parameters, instructions, transfers, the least runtime.

    Where the model before compiling is at hand, the plan of it is held against that.

    \b
    edgecv coral inspect model_int8_edgetpu.tflite
    """
    from edgecv.coral import comparison, package
    from edgecv.coral.planner import plan as planned
    from edgecv.tflite import compiled, flatbuffer

    found = {"path": str(model), **package.summary(flatbuffer.read(model), str(model))}
    source = against or compiled.source(model)
    if source:
        estimate = planned(flatbuffer.read(source), str(source))
        rows = comparison.differences(estimate, found)
        found |= {"against": str(source), "differences": [each.to_json() for each in rows]}
    click.echo(json.dumps(found) if as_json else "\n".join([*_inspected(found), "", _run(model)]))


@coral.command("compile")
@click.argument("model", type=FILE)
@click.option("-o", "--out", type=FILE, help="The file to write; MODEL_edgetpu.tflite if left out.")
@click.option("--compiler", default="", help="edgetpu_compiler, where it is not on the PATH.")
@click.option("--image", default="", help="A container image that has the compiler.")
@click.option("--timeout", type=click.IntRange(1, 86_400), default=180, help="Seconds it may take.")
@click.option("--min-runtime", type=click.IntRange(10, 14), help="Of the driver on the board.")
@click.option("--search", is_flag=True, help="After a failure, leave out operators from the end.")
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

    wishes, out = compiler.Wishes(**how), out or model.with_name(f"{model.stem}_edgetpu.tflite")
    try:
        compiler.find(wishes)
    except DeviceError:
        click.echo("\n".join(compiler.INSTALL), err=True)
        raise
    found = compiler.compile_model(model, out, wishes)
    click.echo(json.dumps(found) if as_json else _compiled(found))
    ctx.exit(3 if found["compiled"]["cpu_operators"] else 0)


@coral.command()
@click.option("--markdown", "as_markdown", is_flag=True, help="Print them as a page.")
@json_option
def rules(as_markdown: bool, as_json: bool) -> None:
    """What maps to the Edge TPU, up to which version and under which conditions, and who says so.

    \b
    edgecv coral rules
    """
    from edgecv.coral import rules as tables

    if as_json:
        click.echo(json.dumps(tables.all_rules()))
    elif as_markdown:
        click.echo(tables.markdown())
    else:
        click.echo(_rules(tables.all_rules()))


def _planned(found: "Plan", model: Path) -> str:
    """The plan as aligned lines, its findings with their fixes, and what to do next."""
    names = {"cached": "all stay on the chip", "streamed": "do not all fit", "undecided": "may fit"}
    low, usual, high = (
        each / 2**20
        for each in (found.cache.low_bytes, found.cache.usual_bytes, found.cache.high_bytes)
    )
    rows = {
        "verdict": f"{found.verdict}: {found.mapped} of {len(found.operators)} operators on the"
        f" Edge TPU, {found.cpu_macs_share:.0%} of the multiply-accumulates outside",
        "parameters": f"{found.parameter_bytes / 2**20:.2f} MiB on the chip,"
        f" {found.cache.verdict}: {names[found.cache.verdict]}"
        f" ({usual:.1f} MiB usually hold some, {low:.1f} to {high:.1f})",
        "activations": f"{found.activation_peak_bytes / 2**20:.2f} MiB alive at once, of 3",
        "cycles": _cycles(found.cycles),
    }
    return "\n".join(
        [
            f"{'estimated':<12} without a compiler, for edgetpu_compiler {found.compiler}",
            *(f"{name:<12} {text}" for name, text in rows.items()),
            *_findings(found),
            *_latency(found),
            "",
            _next(found, model),
        ]
    )


def _cycles(cycles: dict[str, Any]) -> str:
    total = cycles["total"]
    shares = [
        f"{value / total:.0%} {kind.replace('_', ' ')}"
        for kind, value in cycles["by_kind"].items()
        if total and value / total >= 0.005
    ]
    guess = cycles["guessed_share"]
    note = f"; {guess:.0%} of them assumed to cost what ADD costs" if guess >= 0.005 else ""
    return f"{total / 1e3:,.0f} thousand: {', '.join(shares) or 'none'}{note}"


def _findings(found: "Plan") -> list[str]:
    """Every reason once, with the operators it is about, its fix, its grade and its source."""
    groups: dict[tuple[str, ...], list[str]] = {}
    for row in [*found.blockers, *found.operators]:
        if row.get("reason"):
            key = (row["reason"], row["fix"], row["grade"], row["source"])
            where = f"{row['index']} {row['operator']}" if "index" in row else "the model"
            groups.setdefault(key, []).append(where)
    for row in found.warnings:
        key = (row["reason"], row["fix"], row["grade"], row["source"])
        where = f"{row['count']} {row['operator']}" if "operator" in row else "the model"
        groups.setdefault(key, []).append(where)
    lines = []
    for (reason, fix, grade, source), places in groups.items():
        several = list(dict.fromkeys(places))
        shown = ", ".join(several[:3]) + f" and {len(several) - 3} more" * (len(several) > 3)
        lines += ["", f"{'finding':<12} {shown}: {reason}", f"{'':<12} {fix} [{grade}: {source}]"]
    return lines


def _latency(found: "Plan") -> list[str]:
    """Milliseconds for each host, and what they are made of."""
    if not found.latency:
        return ["", "Latency is estimated only for what maps fully."]
    head = f"{'ms':>6} {'range':>13}  {'fixed':>6} {'compute':>7} {'in/out':>6} {'stream':>6}  host"
    rows = [
        f"{each['ms']:6.1f} {each['low_ms']:6.1f}-{each['high_ms']:6.1f} "
        f" {each['parts']['fixed']:6.1f} {each['parts']['compute']:7.1f}"
        f" {each['parts']['io']:6.1f} {each['parts']['streaming']:6.1f}  {each['title']}"
        for each in found.latency
    ]
    return ["", head, *rows, "An order of magnitude, estimated: for ranking, not for frame rates."]


def _next(found: "Plan", model: Path) -> str:
    if found.exit_code:
        return f"Next: mend what is found, and again: edgecv coral plan {model}"
    return f"Next: edgecv coral compile {model}"


def _rules(found: dict[str, Any]) -> str:
    lines = [f"{'operator':<29} {'maps':<4} {'version':>7}  {'grade':<11} if"]
    for name, row in found["operators"].items():
        conditions = [*row.get("constraints", ()), *(f"({each})" for each in row.get("risks", ()))]
        lines.append(
            f"{name:<29} {'yes' if row['maps'] else 'no':<4} {row.get('version', ''):>7}"
            f"  {row['grade']:<11} {', '.join(conditions)}".rstrip()
        )
    lines += ["", *(f"{name:<22} {row['reason']}." for name, row in found["constraints"].items())]
    lines += ["", *(f"{grade:<22} {meaning}" for grade, meaning in found["grades"].items())]
    return "\n".join([*lines, "", "With every source: edgecv coral rules --markdown"])


def _inspected(found: dict[str, Any]) -> list[str]:
    """What a compiled file holds, and how the plan differs from it."""
    left = found["cpu_operators"]
    moved = [f"{size:,} {name}" for name, size in found["dma_bytes"].items()]
    cycles = found["estimated_cycles"]
    rows = {
        found["origin"]: f"for a {found['chip']}, runtime {found['min_runtime']} and later;"
        f" {found['packages']} package(s): {', '.join(found['executables'])}",
        "processor": ", ".join(f"{count} {name}" for name, count in left.items()) or "nothing",
        "parameters": f"{found['cached_bytes']:,} bytes stay on the chip,"
        f" {found['streamed_bytes']:,} are sent with every inference",
        "instructions": f"{found['instruction_bytes']:,} bytes, sent with every inference",
        "transfers": f"{', '.join(moved) or 'none'} (bytes)",
        "scratch": f"{found['scratch_bytes']:,} bytes of activations that did not fit",
        "cycles": f"{cycles:,} by the compiler's estimate" if cycles else "the compiler wrote none",
    }
    lines = [f"{name:<12} {text}" for name, text in rows.items()]
    if "differences" not in found:
        return lines
    head = f"{'estimated':>14} {found['origin']:>12} {'off by':>8}"
    return [*lines, "", head, *(_difference(each) for each in found["differences"])]


def _difference(each: dict[str, Any]) -> str:
    share = each["share"]
    off = f"{share:+.1%}" if share is not None else ""
    return f"{each['estimated']:14,.0f} {each['compiled']:12,.0f} {off:>8}  {each['figure']}"


def _compiled(found: dict[str, Any]) -> str:
    """What came out, what stayed behind and why, and how to run it."""
    path = Path(found["path"])
    behind = [row for row in found["log"]["rows"] if not row["mapped"]]
    doubt = "" if found["origin"] == "compiled" else ": this program names no version of a compiler"
    return "\n".join(
        [
            f"{'written':<12} {path}, {found['bytes']:,} bytes",
            f"{'by':<12} {found['origin']} (edgetpu_compiler {found['compiler']}){doubt}",
            *_inspected({**found["compiled"], "differences": found["differences"]}),
            *(
                f"{'stays':<12} {each['times']} {each['operator']}: {each['status']}"
                for each in behind
            ),
            "",
            _run(path),
        ]
    )


def _run(path: Path) -> str:
    return f"Next: edgecv profile {path} --device coral_usb_rpi4"
