"""What `edgecv coral` shows: plans, rules and compiled files as aligned lines."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from edgecv.coral.planner import Plan


def operators(found: "Plan") -> list[str]:
    """A line for every operator: where it runs, how sure that is, and why it stays behind."""
    rows = [
        f"{row['index']:4} {row['operator']:<24} {row['version']:>2}  {row['place']:<8}"
        f" {row['grade']:<11} {row.get('reason', '')}".rstrip()
        for row in found.operators
    ]
    return [f"{'':4} {'operator':<24} {'v.':>2}  {'runs on':<8} {'grade':<11} why", *rows, ""]


def planned(found: "Plan", model: Path) -> str:
    """The plan as aligned lines, its findings with their fixes, and what to do next."""
    rows = {
        "verdict": f"{found.verdict}: {found.mapped} of {len(found.operators)} operators on the"
        f" Edge TPU, {found.cpu_macs_share:.0%} of the multiply-accumulates outside",
        "driver": f"runtime {found.min_runtime} or later, by what other files ask for",
        "parameters": _parameters(found),
        "activations": f"{found.activation_peak_bytes / 2**20:.2f} MiB alive at once, of 3",
        "cycles": _cycles(found.cycles),
    }
    shown = rows if found.mapped else {"verdict": rows["verdict"]}
    return "\n".join(
        [
            f"{'estimated':<12} without a compiler, for edgetpu_compiler {found.compiler}",
            *(f"{name:<12} {text}" for name, text in shown.items()),
            *(f"{'note':<12} {note}" for note in found.notes),
            *_findings(found),
            *_latency(found),
            "",
            _next(found, model),
        ]
    )


def _parameters(found: "Plan") -> str:
    """Bytes, whether they stay on the chip, and how sure that is."""
    held = found.cache
    low, usual, high = (
        each / 2**20 for each in (held.low_bytes, held.usual_bytes, held.high_bytes)
    )
    kept = found.parameter_bytes - found.constant_bytes
    fits = "probably stay on the chip" if kept <= held.usual_bytes else "may not all fit"
    names = {"cached": "all stay on the chip", "streamed": "do not all fit", "undecided": fits}
    sent = f"; {found.constant_bytes:,} bytes of constants are sent with every inference"
    doubts = ", ".join(found.parameters_unconfirmed[:3])
    more = len(found.parameters_unconfirmed) - 3
    doubts += f" and {more} more" if more > 0 else ""
    return (
        f"{kept / 2**20:.2f} MiB, {held.verdict}: {names[held.verdict]}"
        f" ({usual:.1f} MiB usually hold some, {low:.1f} to {high:.1f})"
        + (sent if found.constant_bytes else "")
        + ("" if found.parameters_exact else f"; no compiled file confirms {doubts}")
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


def rules(found: dict[str, Any]) -> str:
    """Operators, what must hold for them, how sure the rows are, and the builds of the driver."""
    lines = [f"{'operator':<29} {'maps':<4} {'version':>7}  {'grade':<11} if"]
    for name, row in found["operators"].items():
        conditions = [*row.get("constraints", ()), *(f"({each})" for each in row.get("risks", ()))]
        lines.append(
            f"{name:<29} {'yes' if row['maps'] else 'no':<4} {row.get('version', ''):>7}"
            f"  {row['grade']:<11} {', '.join(conditions)}".rstrip()
        )
    lines += ["", *(f"{name:<22} {row['reason']}." for name, row in found["constraints"].items())]
    lines += ["", *(f"{grade:<22} {meaning}" for grade, meaning in found["grades"].items())]
    lines += ["", "libedgetpu and the runtimes that go with it:"]
    lines += ["{build}, {runtime}: {status}".format(**row) for row in found["runtimes"]["builds"]]
    return "\n".join([*lines, "", "With every source: edgecv coral rules --markdown"])


def inspected(found: dict[str, Any]) -> list[str]:
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


def compiled(found: dict[str, Any]) -> str:
    """What came out, what stayed behind and why, and how to run it."""
    path = Path(found["path"])
    behind = [row for row in found["log"]["rows"] if not row["mapped"]]
    doubt = "" if found["origin"] == "compiled" else ": this program names no version of a compiler"
    return "\n".join(
        [
            f"{'written':<12} {path}, {found['bytes']:,} bytes",
            f"{'by':<12} {found['origin']} (edgetpu_compiler {found['compiler']}){doubt}",
            *(f"{'note':<12} {note}" for note in found["notes"]),
            *inspected({**found["compiled"], "differences": found["differences"]}),
            *(
                f"{'stays':<12} {each['times']} {each['operator']}: {each['status']}"
                for each in behind
            ),
            "",
            next_run(path),
        ]
    )


def next_run(path: Path) -> str:
    """The command that runs a compiled model."""
    return f"Next: edgecv profile {path} --device coral_usb_rpi4"
