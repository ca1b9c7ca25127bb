"""The Coral part of a report: `estimated`, `compiled` and `measured`, each on its own."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from edgecv.artifacts import Report

NOT_COMPILED = "edgetpu_compiler was not run: edgecv coral compile"
NOT_MEASURED = "on no Edge TPU so far: edgecv profile --device coral_usb_rpi4"
MIB = 2**20


class State(NamedTuple):
    """One of the three states, and what is known in it."""

    name: str
    words: str


def states(report: Report) -> list[State]:
    """All three states; none where the Edge TPU is not the target."""
    known = report.coral
    if known is None:
        return []
    compiled = known.get("compiled")
    return [
        State("estimated", _estimated(known["estimated"])),
        State("compiled", _compiled(compiled) if compiled else NOT_COMPILED),
        State("measured", _measured(report)),
    ]


def hosts(report: Report) -> list[list[str]]:
    """A row for every host whose latency is estimated: its name, the range, what it is made of."""
    estimated = report.coral["estimated"] if report.coral else {}
    return [
        [
            each["title"],
            f"{each['ms']:.1f}",
            f"{each['low_ms']:.1f} to {each['high_ms']:.1f}",
            *(f"{each['parts'][part]:.1f}" for part in ("fixed", "compute", "io", "streaming")),
        ]
        for each in estimated.get("latency", ())
    ]


HOSTS = ["host", "ms, estimated", "range", "fixed", "compute", "in/out", "streaming"]


def _estimated(found: Mapping[str, Any]) -> str:
    return (
        f"{found['verdict']}, {found['mapped']} of {found['operators']} operators;"
        f" parameters {found['parameter_bytes'] / MIB:.2f} MiB, {found['cache']};"
        f" {found['cycles'] / 1e3:,.0f} thousand cycles, {found['elementwise_share']:.0%} of them"
        f" element-wise; for edgetpu_compiler {found['compiler']}"
    )


def _compiled(found: Mapping[str, Any]) -> str:
    held = found["compiled"]
    left = ", ".join(f"{count} {name}" for name, count in held["cpu_operators"].items())
    return (
        f"{found['path']} by edgetpu_compiler {found['compiler']}: {held['cached_bytes']:,} bytes"
        f" of parameters stay on the chip, {held['streamed_bytes']:,} are sent with every"
        f" inference, {held['instruction_bytes']:,} bytes of instructions;"
        f" on the processor: {left or 'nothing'}"
    )


def _measured(report: Report) -> str:
    entries = [each for each in report.latency if each.get("delegate") == "edgetpu"]
    words = [f"p50 {each['p50_ms']:.2f} ms on {each['device']}" for each in entries]
    return ", ".join(words) or NOT_MEASURED
