"""How `edgecv profile` shows what it measured."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgecv.errors import plural

if TYPE_CHECKING:
    from edgecv.profile.fleet import Fleet

Entry = dict[str, Any]


def as_json(measured: "Fleet", devices: int) -> str:
    """The one entry, or all of them and what failed."""
    single = devices == 1 and len(measured.latency) == 1
    return json.dumps(measured.latency[0] if single else measured._asdict())


def as_text(measured: "Fleet", model: Path) -> str:
    """One measurement in words, several as a table; what to do next."""
    if len(measured.latency) == 1 and not measured.failed:
        lines = _lines(measured.latency[0])
    else:
        lines = _table(measured)
    return "\n".join([*lines, "", f"Next: edgecv evaluate {model} --data LABELED_FOLDER"])


def _lines(entry: Entry) -> list[str]:
    """The percentiles, and what they were measured on."""
    rows = {
        "latency": f"p50 {entry['p50_ms']:.3f} ms, p90 {entry['p90_ms']:.3f}, "
        f"p99 {entry['p99_ms']:.3f}, min {entry['min_ms']:.3f}, first {entry['first_ms']:.3f}",
        "95 % of p50": f"{entry['ci_low_ms']:.3f} to {entry['ci_high_ms']:.3f} ms",
        "measured": f"{plural(entry['runs'], 'run')}, {plural(entry['threads'], 'thread')},"
        f" {entry['runtime']},"
        f" {entry['delegate']}, on {entry['context']['cpu']}",
        "peak memory": f"{entry['peak_rss_bytes'] / 1e6:.1f} MB",
        "energy": f"{entry['energy']['mj_per_inference']:.2f} mJ" if "energy" in entry else "",
        "valid": "yes" if entry["valid"] else f"no: {entry['reason']}",
    }
    return [f"{name:<12} {value}" for name, value in rows.items() if value]


def _table(measured: "Fleet") -> list[str]:
    """A line for each variant, the reasons below."""
    header = ["device", "model", "threads", "p50 ms", "95 % of p50", "p90", "min", "MB", "valid"]
    rows = [header, *map(_cells, measured.latency)]
    rows += [[device, "failed"] for device in measured.failed]
    widths = [
        max(map(len, column)) for column in zip(*filter(lambda r: len(r) > 2, rows), strict=True)
    ]
    lines = ["  ".join(f"{c:<{w}}" for c, w in zip(row, widths, strict=False)) for row in rows]
    reasons = [
        f"{entry['device']}, {entry['model']}, {entry['threads']}: {entry['reason']}"
        for entry in measured.latency
        if not entry["valid"]
    ]
    failures = [f"{device}: {words}" for device, words in measured.failed.items()]
    return [line.rstrip() for line in lines] + [*reasons, *failures]


def _cells(entry: Entry) -> list[str]:
    return [
        entry["device"],
        entry["model"],
        str(entry["threads"]),
        f"{entry['p50_ms']:.3f}",
        f"{entry['ci_low_ms']:.3f}-{entry['ci_high_ms']:.3f}",
        f"{entry['p90_ms']:.3f}",
        f"{entry['min_ms']:.3f}",
        f"{entry['peak_rss_bytes'] / 1e6:.0f}",
        "yes" if entry["valid"] else "no",
    ]
