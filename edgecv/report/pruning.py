"""What pruning did to a run's model: before and after, layer by layer, and beside other kinds."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from edgecv.artifacts import Report
from edgecv.report import figures
from edgecv.report.tables import Bar, Cell, Table


def words(report: Report) -> str:
    """What pruning did, in one sentence's part; "" where nothing was pruned."""
    pruning, kind = report.pruning, figures.kind_of_pruning(report)
    if not kind:
        return ""
    if pruning["kind"] != "channels":
        return f"{kind[0]}: {figures.percent(pruning['sparsity'])} of the weights are zero"
    counts = pruning.get("channels", [])
    left = f"{min(counts)} to {max(counts)} channels are left in {len(counts)} groups"
    return f"{kind[0]}: {left if counts else 'all channels are left'}{figures.share_left(report)}"


def before_and_after(report: Report) -> Table | None:
    """The model before and after pruning, and what is left of every figure."""
    before = report.pruning.get("before")
    if not before:
        return None
    before, after = before | _channels(report, "channels_before"), _after_pruning(report)
    rows = [
        [name, show(before[key]), show(after[key]), change(key, before[key], after[key])]
        for key, (name, show) in FIGURES.items()
        if key in before and key in after
    ]
    return Table("The model before and after pruning", ["", "before", "after", "change"], rows)


FIGURES: Mapping[str, tuple[str, Any]] = {
    "channels": ("channels", "{:,}".format),
    "zeros": ("weights that are zero", figures.percent),
    "macs": ("multiply-accumulates", figures.amount),
    "parameters": ("parameters", figures.amount),
    "bytes_float32": ("float32 file", figures.size),
    "bytes_int8": ("int8 file", figures.size),
    "gzip_bytes_int8": ("int8 file, gzip -9", figures.size),
    "top1_float32": ("top-1, float32", figures.percent),
    "p50_ms_float32": ("p50, float32", "{:#.3g} ms".format),
    "p50_ms_int8": ("p50, int8", "{:#.3g} ms".format),
}


def _after_pruning(report: Report) -> dict[str, float]:
    """The figures of a pruned run that the ones before pruning compare with, by the same keys."""
    scores, pruning = report.accuracy or {}, report.pruning
    after = {"macs": report.macs, "parameters": report.parameters, "zeros": pruning["sparsity"]}
    after |= _channels(report, "channels")
    for scheme, file in report.files.items():
        after |= {f"bytes_{scheme}": file["bytes"], f"gzip_bytes_{scheme}": file["gzip_bytes"]}
    for scheme in figures.schemes(scores):
        after[f"top1_{scheme}"] = scores[scheme]["top1"]
    threads = {entry["model"]: entry["p50_ms"] for entry in reversed(report.latency)}
    return after | {f"p50_ms_{scheme}": value for scheme, value in threads.items()}


def _channels(report: Report, key: str) -> dict[str, float]:
    """The channels of all layers together, where channels were cut."""
    rows = [layer[key] for layer in report.pruning.get("layers", ()) if key in layer]
    return {"channels": sum(rows)} if rows else {}


def layers(report: Report) -> Table | None:
    """What is left of every layer: its channels and their work, or its weights that are not 0."""
    layers = report.pruning.get("layers", [])
    if not layers:
        return None
    if "channels" in layers[0]:
        columns = ["layer", "", "channels", "before", "left", "MACs", "MACs before"]
        return Table("Channels by layer", columns, [_cut_row(layer) for layer in layers])
    rows = [
        [
            layer["layer"],
            Bar(layer["share"], True),
            f"{layer['weights']:,}",
            f"{layer['zeros']:,}",
            figures.percent(layer["share"]),
        ]
        for layer in layers
    ]
    return Table("Zeros by layer", ["layer", "", "weights", "zeros", "share"], rows)


def _cut_row(layer: Mapping[str, Any]) -> list[Cell]:
    left = layer["channels"] / layer["channels_before"]
    return [
        layer["layer"],
        Bar(left, True),
        f"{layer['channels']:,}",
        f"{layer['channels_before']:,}",
        figures.percent(left),
        figures.amount(layer["macs"]),
        figures.amount(layer["macs_before"]),
    ]


def change(key: str, before: float, after: float) -> str:
    """What became of a figure: points of a share, else a ratio to what it was before."""
    if key.startswith("top1"):
        return figures.points(after - before)
    if key == "zeros" or before == after:
        return "" if key == "zeros" else "equal"
    word = "faster" if key.startswith("p50") else "fewer" if key in COUNTS else "smaller"
    if after < before:
        return f"{before / after:.2f}x {word}"
    return f"{after / before:.2f}x {OPPOSITES[word]}"


COUNTS = ("channels", "macs", "parameters")
OPPOSITES = {"faster": "slower", "fewer": "more", "smaller": "larger"}


def compared(report: Report) -> Table | None:
    """The kinds of pruning side by side."""
    rows = [[row.name, *row.cells] for row in comparison_rows(report) if not row.reason]
    return Table("Kinds of pruning", ["kind", *COMPARED], rows) if rows else None


class Compared(NamedTuple):
    """One row of the table of kinds of pruning, formatted."""

    name: str
    cells: list[str]  # one for each of COMPARED, or none where the kind was left out
    reason: str = ""


COMPARED = (
    "top-1 float32",
    "top-1 int8",
    "zeros",
    "parameters",
    "MACs",
    "int8 bytes",
    "gzip -9",
    "p50 int8, ms",
    "p50 float32, ms",
)


def comparison_rows(report: Report) -> list[Compared]:
    """The table of kinds of pruning; empty where nothing was compared."""
    rows = report.pruning.get("comparison", {}).get("rows", [])
    return [
        Compared(row["name"], [], row["reason"])
        if "reason" in row
        else Compared(_named(row), _cells(row))
        for row in rows
    ]


def _named(row: Mapping[str, Any]) -> str:
    return f"width twin, {row['width']:g}" if row["name"] == "twin" else str(row["name"])


def _cells(row: Mapping[str, Any]) -> list[str]:
    top1, times = row["top1"], row["p50_ms"]
    sparse = times.get("float32_sparse")
    return [
        *(figures.percent(top1[name]) if name in top1 else "" for name in ("float32", "int8")),
        figures.percent(row["sparsity"]),
        figures.amount(row["parameters"]),
        figures.amount(row["macs"]),
        f"{row['bytes']:,}",
        f"{row['gzip_bytes']:,}",
        figures.milliseconds(times["int8"]) if "int8" in times else "",
        figures.milliseconds(times["float32"])
        + (f", {figures.milliseconds(sparse)} sparse" if sparse else ""),
    ]
