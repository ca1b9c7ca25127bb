"""What many runs say together: rows for a CSV, and the comparisons that a page shows."""

import csv
import io
from collections.abc import Sequence
from typing import Any

from edgecv.tradeoff.datasets import DataSet, data_set
from edgecv.tradeoff.runs import Candidate, Runs

Row = dict[str, Any]
NOTHING: Row = {"points": None, "faster": None, "where": ""}
CSV_COLUMNS = (
    *("run", "scheme", "arch", "width", "resolution", "pruning", "sparsity", "data", "images"),
    *("images_sha256", "classes"),
    *("top1", "error", "top5", "agreement", "parameters", "macs", "bytes", "gzip_bytes"),
    *("device", "threads", "runtime", "delegate", "origin", "ms", "low_ms", "high_ms"),
    *("peak_rss_bytes", "energy_mj", "valid", "reason"),
)


def to_csv(runs: Runs) -> str:
    """A line for each latency of each model, one without where there is none, then the rejected."""
    text = io.StringIO()
    table = csv.DictWriter(text, CSV_COLUMNS, extrasaction="ignore", lineterminator="\n")
    table.writeheader()
    for each in runs.candidates:
        known = each.to_json()
        for latency in known.pop("latencies") or [{}]:
            table.writerow({**known, **latency})
    for run, reason in runs.rejected:
        table.writerow({"run": run, "valid": False, "reason": reason})
    return text.getvalue()


def quantization(candidates: Sequence[Candidate]) -> list[Row]:
    """What each smaller model lost and gained against the float model of its run, by family."""
    floats = {each.run: each for each in candidates if each.scheme == "float32"}
    rows = []
    for each in sorted(candidates, key=lambda one: (one.arch, one.width, one.resolution)):
        before = floats.get(each.run)
        if before is None or each is before:
            continue
        rows.append(
            _row(each)
            | {"agreement": each.agreement}
            | _difference(before, each)
            | {"smaller": before.bytes / each.bytes}
        )
    return rows


def pruning(candidates: Sequence[Candidate]) -> list[Row]:
    """Each pruned model beside the best dense one of its shape, scheme and data, if any."""
    whole = [each for each in candidates if each.pruning == "none"]
    dense = {_shape(each): each for each in sorted(whole, key=lambda one: one.top1 or 0.0)}
    rows = []
    for each in sorted(candidates, key=lambda one: (*_shape(one), one.sparsity)):
        if each.pruning != "none":
            before = dense.get(_shape(each))
            known = _row(each) | {"pruning": each.pruning, "sparsity": each.sparsity}
            sizes = {"bytes": each.bytes, "gzip_bytes": each.gzip_bytes}
            rows.append(known | sizes | (_difference(before, each) if before else NOTHING))
    return rows


def devices(candidates: Sequence[Candidate]) -> tuple[list[str], list[Row]]:
    """Where models were validly measured, and each model's p50 there in ms."""
    places = sorted({one.where for each in candidates for one in each.latencies if one.valid})
    rows = [
        _row(each) | {"ms": {one.where: one.ms for one in each.latencies if one.valid}}
        for each in candidates
    ]
    return places, [row for row in rows if row["ms"]]


def _shape(each: Candidate) -> tuple[str, float, int, str, DataSet]:
    return each.arch, each.width, each.resolution, each.scheme, data_set(each)


def _row(each: Candidate) -> Row:
    names = ("scheme", "arch", "width", "resolution", "top1")
    return {"name": each.name, "run": each.run.name} | {name: getattr(each, name) for name in names}


def _difference(before: Candidate, after: Candidate) -> Row:
    """Points of top-1, and how many times faster where both were measured in one place."""
    found = dict(NOTHING)
    if before.top1 is not None and after.top1 is not None:
        found["points"] = 100 * (after.top1 - before.top1)
    slow = {each.where: each.ms for each in before.latencies if each.valid}
    for each in after.latencies:
        if each.valid and each.where in slow:
            return found | {"faster": slow[each.where] / each.ms, "where": each.where}
    return found
