"""Figures as people read them, and the few that are derived when a report is written."""

import math
import shlex
from collections.abc import Mapping
from typing import Any, NamedTuple

from edgecv.artifacts import Report
from edgecv.tflite import delegation

WEIGHTS = {
    "trained": "trained in this run",
    "imagenet": "from ImageNet",
    "file": "from a file of yours",
    "random": "random",
}
KINDS = ("top1", "top5")


def size(count: float) -> str:
    """Bytes with a decimal unit and three digits: `612 kB`, `2.82 MB`."""
    return _scaled(count, ("B", "kB", "MB", "GB"))


def amount(count: float) -> str:
    """A count of parameters or operations with three digits: `1.84 M`."""
    return _scaled(count, ("", "k", "M", "G")).rstrip()


def milliseconds(value: float) -> str:
    """Three digits: `0.207`, `3.91`, `222`."""
    return f"{value:.0f}" if value >= 100 else f"{value:#.3g}"


def percent(share: float) -> str:
    """One decimal: `96.8 %`."""
    return f"{100 * share:.1f} %"


def percent_with_error(share: float, images: int) -> str:
    """A share and its standard error: `96.8 ± 0.8 %`."""
    return f"{100 * share:.1f} ± {100 * standard_error(share, images):.1f} %"


def standard_error(share: float, images: int) -> float:
    """Binomial standard error of a share of so many images.

    Counted with one more hit and one more miss, so that 500 out of 500 is not free of doubt.
    """
    likely = (share * images + 1) / (images + 2)
    return math.sqrt(likely * (1 - likely) / images)


def points(difference: float) -> str:
    """A difference of two shares, in words: `0.4 points lower`."""
    if abs(difference) < 0.0005:
        return "equal"
    return f"{100 * abs(difference):.1f} points {'lower' if difference < 0 else 'higher'}"


def schemes(accuracy: Mapping[str, Any]) -> list[str]:
    """The schemes that accuracy was measured of, the reference first."""
    return [
        name for name, value in accuracy.items() if isinstance(value, Mapping) and "top1" in value
    ]


class SchemeChange(NamedTuple):
    """The change in accuracy by a conversion."""

    scheme: str
    reference: str
    drop: str  # of top-1, in words
    agreement: float  # share of the images on which both name the same class


def comparisons(accuracy: Mapping[str, Any]) -> list[SchemeChange]:
    """Every other scheme against the first, the last one, which the run was for, first."""
    reference, *others = schemes(accuracy) or [""]
    return [
        SchemeChange(
            name,
            reference,
            points(accuracy[name]["top1"] - accuracy[reference]["top1"]),
            accuracy[name].get("agreement", accuracy["agreement"]),
        )
        for name in reversed(others)
    ]


def threads(entry: Mapping[str, Any]) -> str:
    """Of a latency entry: `1 thread`, `4 threads`."""
    return f"{entry['threads']} thread{'' if entry['threads'] == 1 else 's'}"


def final_scheme(report: Report) -> str:
    """The scheme that the run was for: the last file made, before it was compiled for a device."""
    return [name for name in report.files if name != "edgetpu"][-1]


def title(report: Report) -> str:
    """`mobilenet_v1 0.75, 160 px, int8`."""
    return f"{report.arch} {report.width:g}, {report.resolution} px, {final_scheme(report)}"


def summary(report: Report) -> str:
    """One sentence: what was built, from which weights."""
    return (
        f"{report.classes} classes, {amount(report.parameters)} parameters, {amount(report.macs)}"
        f" multiply-accumulates, weights {WEIGHTS[report.weights]}"
    )


def no_accuracy(report: Report) -> str:
    """Why a report has no accuracy."""
    if report.weights == "random":
        return "Not measured: with random weights only size and latency mean anything."
    return "Not measured: there were no labeled images; give some with --data."


def hardest(report: Report, most: int) -> list[dict[str, Any]]:
    """The rows of the per-class table: all in order, or the worst when there are more than `most`.

    Classes without an image are left out.
    """
    accuracy = report.accuracy or {}
    rows = [row for row in accuracy.get("per_class", []) if row["images"]]
    if len(rows) <= most:
        return rows
    last = schemes(accuracy)[-1]
    return sorted(rows, key=lambda row: float(row[last]))[:most]


def making(report: Report) -> dict[str, str]:
    """How the model was quantized and pruned, what it consists of, and the seconds that took."""
    quantization, pruning = report.quantization, report.pruning
    operators = quantization.get("operators", {})
    facts = {
        "quantization": quantization.get("method"),
        "input": quantization.get("input"),
        "notes": "; ".join(quantization.get("notes", [])),
        "arithmetic": "all int8" if quantization.get("full_int8") else None,
        "XNNPACK": delegation.text(taken) if (taken := quantization.get("xnnpack")) else None,
        "pruning": f"{pruning['kind']}, {percent(pruning['sparsity'])} of the weights are zero"
        if pruning["kind"] != "none"
        else None,
        "operators": ", ".join(f"{count} {name}" for name, count in operators.items()),
        "seconds": ", ".join(f"{stage} {spent:.0f}" for stage, spent in report.seconds.items()),
    }
    return {name: text for name, text in facts.items() if text}


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
        *(percent(top1[name]) if name in top1 else "" for name in ("float32", "int8")),
        percent(row["sparsity"]),
        amount(row["parameters"]),
        amount(row["macs"]),
        f"{row['bytes']:,}",
        f"{row['gzip_bytes']:,}",
        milliseconds(times["int8"]) if "int8" in times else "",
        milliseconds(times["float32"]) + (f", {milliseconds(sparse)} sparse" if sparse else ""),
    ]


def next_commands(report: Report, run_folder: str) -> list[tuple[str, str]]:
    """Commands worth running next, and what each is for."""
    model = shlex.quote(f"{run_folder}/{report.files[final_scheme(report)]['path']}")
    recipe = shlex.quote(f"{run_folder}/recipe.toml")
    coral = [(f"edgecv coral compile {model}", "for the Edge TPU")] if report.coral else []
    return [
        *coral,
        (f"edgecv profile {model} --threads 2", "latency with two threads"),
        (f"edgecv evaluate {model} --data DIR", "accuracy on images of your own"),
        (f"edgecv build --recipe {recipe} -o DIR", "the same build again"),
    ]


def _scaled(count: float, units: tuple[str, ...]) -> str:
    power = min(int(math.log10(max(count, 1))) // 3, len(units) - 1)
    value = count / 1000**power
    digits = max(0, 2 - int(math.log10(max(value, 1)))) if power else 0
    return f"{value:.{digits}f} {units[power]}"
