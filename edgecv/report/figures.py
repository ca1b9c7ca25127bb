"""Figures as people read them, and the few that are derived when a report is written."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from edgecv.artifacts import Report

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


def ratio(times: float, word: str) -> str:
    """`3.7x smaller`; "" where it is no more than a hundredth."""
    return f"{times:.{2 if times < 10 else 0}f}x {word}" if times > 1.01 else ""


def speedup(latency: Sequence[Mapping[str, Any]], entry: Mapping[str, Any]) -> str:
    """How much faster a measurement is than the first model's that was measured alike."""
    alike = ("device", "threads", "runtime", "origin")
    first = next(row for row in latency if all(row[key] == entry[key] for key in alike))
    if first is entry or not (first["valid"] and entry["valid"]):
        return ""
    times = first["p50_ms"] / entry["p50_ms"]
    return f"{times:.2f}x faster" if times >= 1 else f"{1 / times:.2f}x slower"


def machine(entry: Mapping[str, Any]) -> str:
    """Where something was measured: the board's name, the processor by name, its cores."""
    context = entry.get("context", {})
    cores = f"{context['cores']} cores" if context.get("cores", 1) > 1 else ""
    device = "" if entry["device"] == "host" and context.get("cpu") else entry["device"]
    return ", ".join(part for part in (device, context.get("cpu", ""), cores) if part)


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
    doubt: str  # what so many images leave open; "" where they leave nothing
    agreement: float  # share of the images on which both name the same class


def comparisons(accuracy: Mapping[str, Any]) -> list[SchemeChange]:
    """Every other scheme against the first, the last one, which the run was for, first."""
    reference, *others = schemes(accuracy) or [""]
    return [_comparison(accuracy, name, reference) for name in reversed(others)]


def _comparison(accuracy: Mapping[str, Any], name: str, reference: str) -> SchemeChange:
    """One scheme against the first.

    Both saw the same images, and only those that they name differently can make a difference: its
    standard error is at the most the root of their share over the number of images.
    """
    agreement = accuracy[name].get("agreement", accuracy["agreement"])
    drop = accuracy[name]["top1"] - accuracy[reference]["top1"]
    error = math.sqrt(max(0.0, 1 - agreement) / accuracy["images"])
    doubt = f"{accuracy['images']} images do not tell this from no change"
    open_ = 0 < abs(drop) <= 2 * error
    return SchemeChange(name, reference, points(drop), doubt * open_, agreement)


def threads(entry: Mapping[str, Any]) -> str:
    """Of a latency entry: `1 thread`, `4 threads`."""
    return f"{entry['threads']} thread{'' if entry['threads'] == 1 else 's'}"


def final_scheme(report: Report) -> str:
    """The scheme that the run was for: the last file made, before it was compiled for a device."""
    return [name for name in report.files if name != "edgetpu"][-1]


def title(report: Report) -> str:
    """`mobilenet_v1 0.75, 160 px, int8, pruned by channels`."""
    shape = f"{report.arch} {report.width:g}, {report.resolution} px"
    return ", ".join([shape, final_scheme(report), *kind_of_pruning(report)])


def kind_of_pruning(report: Report) -> list[str]:
    """`pruned by channels`, and so on; nothing for a dense model."""
    kind = report.pruning["kind"]
    return [] if kind == "none" else [f"pruned {PRUNED.get(kind, kind)}"]


PRUNED = {"channels": "by channels", "magnitude": "by magnitude", "xnnpack": "for XNNPACK"}


def summary(report: Report) -> str:
    """One sentence: what was built, from which weights."""
    return (
        f"{report.classes} classes, {amount(report.parameters)} parameters, {amount(report.macs)}"
        f" multiply-accumulates{share_left(report)}, weights {WEIGHTS[report.weights]}"
    )


def share_left(report: Report) -> str:
    """The share of the multiply-accumulates that cutting channels left."""
    before = report.pruning.get("before", {}).get("macs", 0)
    return f" ({report.macs / before:.0%} of the dense model's)" if before > report.macs else ""


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


def _scaled(count: float, units: tuple[str, ...]) -> str:
    power = min(int(math.log10(max(count, 1))) // 3, len(units) - 1)
    value = count / 1000**power
    digits = max(0, 2 - int(math.log10(max(value, 1)))) if power else 0
    return f"{value:.{digits}f} {units[power]}"
