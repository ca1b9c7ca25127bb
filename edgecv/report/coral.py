"""The Coral part of a report: `estimated`, `compiled` and `measured`, each on its own."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from edgecv.artifacts import Report

NOT_COMPILED = "edgetpu_compiler was not run: edgecv coral compile"
NOT_MEASURED = "on no Edge TPU so far: edgecv profile --device coral_usb_rpi4"
MIB = 2**20


class CoralFigures(NamedTuple):
    """The figures of one origin: estimated, compiled or measured."""

    name: str
    words: str


def states(report: Report) -> list[CoralFigures]:
    """All three states; none where the Edge TPU is not the target."""
    coral = report.coral
    if coral is None:
        return []
    compiled = coral.get("compiled")
    return [
        CoralFigures("estimated", _estimated(coral["estimated"])),
        CoralFigures("compiled", _compiled(compiled) if compiled else NOT_COMPILED),
        CoralFigures("measured", _measured(report)),
    ]


def hosts(report: Report) -> list[list[str]]:
    """A row for every host whose latency is estimated: its name, the range, what it is made of."""
    estimated = report.coral["estimated"] if report.coral else {}
    return [
        [
            entry["title"],
            f"{entry['ms']:.1f}",
            f"{entry['low_ms']:.1f} to {entry['high_ms']:.1f}",
            *(f"{entry['parts'][part]:.1f}" for part in ("fixed", "compute", "io", "streaming")),
        ]
        for entry in estimated.get("latency", ())
    ]


HOSTS = ["host", "ms, estimated", "range", "fixed", "compute", "in/out", "streaming"]


def _estimated(estimated: Mapping[str, Any]) -> str:
    return (
        f"{estimated['verdict']}, {estimated['mapped']} of {estimated['operators']} operators;"
        f" parameters {estimated['parameter_bytes'] / MIB:.2f} MiB, {estimated['cache']};"
        f" {estimated['cycles'] / 1e3:,.0f} thousand cycles,"
        f" {estimated['elementwise_share']:.0%} of them element-wise;"
        f" for edgetpu_compiler {estimated['compiler']}"
    )


def _compiled(compiled: Mapping[str, Any]) -> str:
    held = compiled["compiled"]
    left = ", ".join(f"{count} {name}" for name, count in held["cpu_operators"].items())
    return (
        f"{compiled['path']} by edgetpu_compiler {compiled['compiler']}:"
        f" {held['cached_bytes']:,} bytes of parameters stay on the chip,"
        f" {held['streamed_bytes']:,} are sent with every inference,"
        f" {held['instruction_bytes']:,} bytes of instructions;"
        f" on the processor: {left or 'nothing'}"
    )


def _measured(report: Report) -> str:
    entries = [entry for entry in report.latency if entry.get("delegate") == "edgetpu"]
    words = [f"p50 {entry['p50_ms']:.2f} ms on {entry['device']}" for entry in entries]
    return ", ".join(words) or NOT_MEASURED
