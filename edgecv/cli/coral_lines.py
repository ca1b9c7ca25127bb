"""The output of `edgecv coral`: plans, rules and compiled files as aligned lines."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from edgecv.coral.planner import CoralPlan


def operators(plan: "CoralPlan") -> list[str]:
    """A line for every operator: where it runs, with the grade and the reason of that."""
    rows = [
        f"{row['index']:4} {row['operator']:<24} {row['version']:>2}  {row['place']:<8}"
        f" {row['grade']:<11} {row.get('reason', '')}".rstrip()
        for row in plan.operators
    ]
    return [f"{'':4} {'operator':<24} {'v.':>2}  {'runs on':<8} {'grade':<11} why", *rows, ""]


def plan_lines(plan: "CoralPlan", model: Path) -> str:
    """The plan as aligned lines, its findings with their fixes, and what to do next."""
    rows = {
        "verdict": f"{plan.verdict}: {plan.mapped} of {len(plan.operators)} operators on the"
        f" Edge TPU, {plan.cpu_macs_share:.0%} of the multiply-accumulates outside",
        "driver": f"runtime {plan.min_runtime} or later, by what other files ask for",
        "parameters": _parameters(plan),
        "activations": f"{plan.activation_peak_bytes / 2**20:.2f} MiB alive at once, of 3",
        "cycles": _cycles(plan.cycles),
    }
    shown = rows if plan.mapped else {"verdict": rows["verdict"]}
    return "\n".join(
        [
            f"{'estimated':<12} without a compiler, for edgetpu_compiler {plan.compiler}",
            *(f"{name:<12} {text}" for name, text in shown.items()),
            *(f"{'note':<12} {note}" for note in plan.notes),
            *_findings(plan),
            *_latency(plan),
            "",
            _next(plan, model),
        ]
    )


def _parameters(plan: "CoralPlan") -> str:
    """Bytes, whether they stay on the chip, and how sure that is."""
    held = plan.cache
    low, usual, high = (
        size / 2**20 for size in (held.low_bytes, held.usual_bytes, held.high_bytes)
    )
    kept = plan.parameter_bytes - plan.constant_bytes
    fits = "probably stay on the chip" if kept <= held.usual_bytes else "may not all fit"
    names = {"cached": "all stay on the chip", "streamed": "do not all fit", "undecided": fits}
    sent = f"; {plan.constant_bytes:,} bytes of constants are sent with every inference"
    doubts = ", ".join(plan.parameters_unconfirmed[:3])
    more = len(plan.parameters_unconfirmed) - 3
    doubts += f" and {more} more" if more > 0 else ""
    return (
        f"{kept / 2**20:.2f} MiB, {held.verdict}: {names[held.verdict]}"
        f" ({usual:.1f} MiB usually hold some, {low:.1f} to {high:.1f})"
        + (sent if plan.constant_bytes else "")
        + ("" if plan.parameters_exact else f"; no compiled file confirms {doubts}")
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


def _findings(plan: "CoralPlan") -> list[str]:
    """Every reason once, with the operators it is about, its fix, its grade and its source."""
    groups: dict[tuple[str, ...], list[str]] = {}
    for row in [*plan.blockers, *plan.operators]:
        if row.get("reason"):
            key = (row["reason"], row["fix"], row["grade"], row["source"])
            where = f"{row['index']} {row['operator']}" if "index" in row else "the model"
            groups.setdefault(key, []).append(where)
    for row in plan.warnings:
        key = (row["reason"], row["fix"], row["grade"], row["source"])
        where = f"{row['count']} {row['operator']}" if "operator" in row else "the model"
        groups.setdefault(key, []).append(where)
    lines = []
    for (reason, fix, grade, source), places in groups.items():
        several = list(dict.fromkeys(places))
        shown = ", ".join(several[:3]) + f" and {len(several) - 3} more" * (len(several) > 3)
        lines += ["", f"{'finding':<12} {shown}: {reason}", f"{'':<12} {fix} [{grade}: {source}]"]
    return lines


def _latency(plan: "CoralPlan") -> list[str]:
    """Milliseconds for each host, and what they are made of."""
    if not plan.latency:
        return ["", "Latency is estimated only for what maps fully."]
    head = f"{'ms':>6} {'range':>13}  {'fixed':>6} {'compute':>7} {'in/out':>6} {'stream':>6}  host"
    rows = [
        f"{row['ms']:6.1f} {row['low_ms']:6.1f}-{row['high_ms']:6.1f} "
        f" {row['parts']['fixed']:6.1f} {row['parts']['compute']:7.1f}"
        f" {row['parts']['io']:6.1f} {row['parts']['streaming']:6.1f}  {row['title']}"
        for row in plan.latency
    ]
    return ["", head, *rows, "An order of magnitude, estimated: for ranking, not for frame rates."]


def _next(plan: "CoralPlan", model: Path) -> str:
    if plan.exit_code:
        return f"Next: mend what is found, and again: edgecv coral plan {model}"
    return f"Next: edgecv coral compile {model}"


def rules(rules: dict[str, Any]) -> str:
    """Operators, what must hold for them, how sure the rows are, and the builds of the driver."""
    lines = [f"{'operator':<29} {'maps':<4} {'version':>7}  {'grade':<11} if"]
    for name, row in rules["operators"].items():
        conditions = [*row.get("constraints", ()), *(f"({risk})" for risk in row.get("risks", ()))]
        lines.append(
            f"{name:<29} {'yes' if row['maps'] else 'no':<4} {row.get('version', ''):>7}"
            f"  {row['grade']:<11} {', '.join(conditions)}".rstrip()
        )
    lines += ["", *(f"{name:<22} {row['reason']}." for name, row in rules["constraints"].items())]
    lines += ["", *(f"{grade:<22} {meaning}" for grade, meaning in rules["grades"].items())]
    lines += ["", "libedgetpu and the runtimes that go with it:"]
    lines += ["{build}, {runtime}: {status}".format(**row) for row in rules["runtimes"]["builds"]]
    return "\n".join([*lines, "", "With every source: edgecv coral rules --markdown"])


def package_lines(compiled: dict[str, Any]) -> list[str]:
    """A compiled file's contents, and how the plan differs from them."""
    left = compiled["cpu_operators"]
    moved = [f"{size:,} {name}" for name, size in compiled["dma_bytes"].items()]
    cycles = compiled["estimated_cycles"]
    rows = {
        compiled[
            "origin"
        ]: f"for a {compiled['chip']}, runtime {compiled['min_runtime']} and later;"
        f" {compiled['packages']} package(s): {', '.join(compiled['executables'])}",
        "processor": ", ".join(f"{count} {name}" for name, count in left.items()) or "nothing",
        "parameters": f"{compiled['cached_bytes']:,} bytes stay on the chip,"
        f" {compiled['streamed_bytes']:,} are sent with every inference",
        "instructions": f"{compiled['instruction_bytes']:,} bytes, sent with every inference",
        "transfers": f"{', '.join(moved) or 'none'} (bytes)",
        "scratch": f"{compiled['scratch_bytes']:,} bytes of activations that did not fit",
        "cycles": f"{cycles:,} by the compiler's estimate" if cycles else "the compiler wrote none",
    }
    lines = [f"{name:<12} {text}" for name, text in rows.items()]
    if "differences" not in compiled:
        return lines
    head = f"{'estimated':>14} {compiled['origin']:>12} {'off by':>8}"
    return [*lines, "", head, *(_difference(difference) for difference in compiled["differences"])]


def _difference(difference: dict[str, Any]) -> str:
    share = difference["share"]
    off = f"{share:+.1%}" if share is not None else ""
    estimated, compiled = difference["estimated"], difference["compiled"]
    return f"{estimated:14,.0f} {compiled:12,.0f} {off:>8}  {difference['figure']}"


def compile_lines(compiled: dict[str, Any]) -> str:
    """The compiled file, the operators left on the processor with reasons, and the next command."""
    path = Path(compiled["path"])
    behind = [row for row in compiled["log"]["rows"] if not row["mapped"]]
    doubt = (
        "" if compiled["origin"] == "compiled" else ": this program names no version of a compiler"
    )
    return "\n".join(
        [
            f"{'written':<12} {path}, {compiled['bytes']:,} bytes",
            f"{'by':<12} {compiled['origin']} (edgetpu_compiler {compiled['compiler']}){doubt}",
            *(f"{'note':<12} {note}" for note in compiled["notes"]),
            *package_lines({**compiled["compiled"], "differences": compiled["differences"]}),
            *(f"{'stays':<12} {row['times']} {row['operator']}: {row['status']}" for row in behind),
            "",
            next_run(path),
        ]
    )


def next_run(path: Path) -> str:
    """The command that runs a compiled model."""
    return f"Next: edgecv profile {path} --device coral_usb_rpi4"
