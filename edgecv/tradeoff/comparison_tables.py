"""Tables over many runs: rows for a CSV, and the comparisons that a page shows."""

import csv
import io
import math
from collections.abc import Sequence
from typing import Any

from edgecv.tradeoff.datasets import DataSet, data_set
from edgecv.tradeoff.runs import CSV_COLUMNS, Candidate, Runs

Row = dict[str, Any]
NOTHING: Row = {"points": None, "certain": False, "faster": None, "where": ""}


def to_csv(runs: Runs) -> str:
    """A line for each latency of each model, one without where there is none, then the rejected."""
    text = io.StringIO()
    table = csv.DictWriter(text, CSV_COLUMNS, extrasaction="ignore", lineterminator="\n")
    table.writeheader()
    for candidate in runs.candidates:
        row = candidate.to_json()
        for latency in row.pop("latencies") or [{}]:
            table.writerow({**row, **latency})
    for run, reason in runs.rejected:
        table.writerow({"run": run, "valid": False, "reason": reason})
    return text.getvalue()


def quantization(candidates: Sequence[Candidate]) -> list[Row]:
    """The losses and gains of each smaller model against the float model of its run, by family."""
    floats = {candidate.run: candidate for candidate in candidates if candidate.scheme == "float32"}
    rows = []
    for candidate in sorted(
        candidates, key=lambda candidate: (candidate.arch, candidate.width, candidate.resolution)
    ):
        before = floats.get(candidate.run)
        if before is None or candidate is before:
            continue
        rows.append(
            _row(candidate)
            | {"agreement": candidate.agreement}
            | _difference(before, candidate)
            | {"smaller": before.bytes / candidate.bytes}
        )
    return rows


def pruning(candidates: Sequence[Candidate]) -> list[Row]:
    """Each pruned model beside the best dense one of its shape, scheme and data, if any."""
    whole = [candidate for candidate in candidates if candidate.pruning == "none"]
    dense = {
        _shape(candidate): candidate
        for candidate in sorted(whole, key=lambda candidate: candidate.top1 or 0.0)
    }
    rows = []
    for candidate in sorted(
        candidates, key=lambda candidate: (*_shape(candidate), candidate.sparsity)
    ):
        if candidate.pruning != "none":
            before = dense.get(_shape(candidate))
            row = _row(candidate) | {"pruning": candidate.pruning, "sparsity": candidate.sparsity}
            sizes = {key: getattr(candidate, key) for key in ("bytes", "gzip_bytes", "macs")}
            rows.append(row | sizes | (_difference(before, candidate) if before else NOTHING))
    return rows


def devices(candidates: Sequence[Candidate]) -> tuple[list[str], list[Row]]:
    """Where models were validly measured, and each model's p50 there in ms."""
    places = sorted(
        {
            latency.where
            for candidate in candidates
            for latency in candidate.latencies
            if latency.valid
        }
    )
    rows = [
        _row(candidate)
        | {"ms": {latency.where: latency.ms for latency in candidate.latencies if latency.valid}}
        for candidate in candidates
    ]
    return places, [row for row in rows if row["ms"]]


def _shape(candidate: Candidate) -> tuple[str, float, int, str, DataSet]:
    return (
        candidate.arch,
        candidate.width,
        candidate.resolution,
        candidate.scheme,
        data_set(candidate),
    )


def _row(candidate: Candidate) -> Row:
    names = ("scheme", "arch", "width", "resolution", "method", "top1")
    return {"name": candidate.name, "run": candidate.run.name} | {
        name: getattr(candidate, name) for name in names
    }


def _difference(before: Candidate, after: Candidate) -> Row:
    """Points of top-1, and how many times faster where both were measured in one place."""
    difference = dict(NOTHING)
    if before.top1 is not None and after.top1 is not None:
        difference["points"] = 100 * (after.top1 - before.top1)
        difference["certain"] = abs(after.top1 - before.top1) > 2 * _error(before, after)
    slow = {latency.where: latency.ms for latency in before.latencies if latency.valid}
    for latency in after.latencies:
        if latency.valid and latency.where in slow:
            return difference | {"faster": slow[latency.where] / latency.ms, "where": latency.where}
    return difference


def _error(before: Candidate, after: Candidate) -> float:
    """The standard error of a difference of two top-1.

    Of a run's own two models, only the images on which they differ can make one.
    """
    if before.run == after.run and after.agreement is not None:
        return math.sqrt((1 - after.agreement) / after.images)
    return math.hypot(before.error or 0.0, after.error or 0.0)
