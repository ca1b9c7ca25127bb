"""Baselines: figures of models that later ones are held against, in a CSV.

A row is one figure: the `bytes` or the `top1` of a model, or its `p50_ms` on a device. `low` and
`high` are the confidence interval of a latency; `limit` is how much worse the figure may become,
where that differs from `Figure.limit`; `invalid` says why a latency was not valid.
"""

import csv
import io
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, NamedTuple

from edgecv.artifacts import Report
from edgecv.errors import RecipeError, nearest, plural
from edgecv.files import write_text

SAME, BETTER, WORSE, SKIPPED, MISSING = "same", "better", "worse", "skipped", "missing"


class Figure(NamedTuple):
    """How two values of a figure are compared."""

    limit: float  # how much worse it may become: a share, or points of accuracy
    share: bool  # of the baseline's value, or the difference itself
    sign: int  # 1 where more is worse


FIGURES = {
    "bytes": Figure(0.01, True, 1),
    "top1": Figure(0.01, False, -1),
    "p50_ms": Figure(0.0, True, 1),  # between the intervals, not the values
}


@dataclass(frozen=True)
class BaselineRow:
    """A line of the CSV; the fields are its columns."""

    model: str  # as its recipe is named: mobilenet_v1_075_160_int8
    figure: str
    value: float
    device: str = ""
    runtime: str = ""  # with its version, which may change
    delegate: str = ""
    threads: int | None = None
    low: float | None = None
    high: float | None = None
    limit: float | None = None
    machine: str = ""
    invalid: str = ""

    @property
    def key(self) -> tuple[object, ...]:
        """The key that rows of the same model, figure and device share."""
        runtime = self.runtime.partition(" ")[0]
        return self.model, self.figure, self.device, runtime, self.delegate, self.threads

    def __str__(self) -> str:
        """The subject, as in `mobilenet_v2_050_160_int8, p50_ms, rpi4, litert, xnnpack, 4`."""
        words = [str(word) for word in self.key[:5] if word]
        return ", ".join([*words, plural(self.threads, "thread")] if self.threads else words)


class FigureVerdict(NamedTuple):
    """The comparison of one figure with a baseline."""

    row: BaselineRow
    status: str
    words: str


def rows(report: Report, measured: Sequence[Mapping[str, Any]] = ()) -> list[BaselineRow]:
    """Everything of a run that a baseline can hold; `measured` are entries from after the build.

    Entries of other files than the run's are left out.
    """
    width = f"{report.width:.2f}".replace(".", "")
    names = {
        scheme: f"{report.arch}_{width}_{report.resolution}_{scheme}" for scheme in report.files
    }
    schemes = {file["sha256"]: scheme for scheme, file in report.files.items()}
    accuracy = report.accuracy or {}
    rows = [BaselineRow(names[name], "bytes", report.files[name]["bytes"]) for name in names]
    rows += [
        BaselineRow(names[name], "top1", accuracy[name]["top1"])
        for name in names
        if name in accuracy
    ]
    latest = {}
    for entry in (*report.latency, *measured):
        scheme = schemes.get(entry["context"].get("model_sha256"))
        if scheme:
            row = _latency(names[scheme], entry)
            latest[row.key] = row
    return [*rows, *latest.values()]


def _latency(model: str, entry: Mapping[str, Any]) -> BaselineRow:
    return BaselineRow(
        model,
        "p50_ms",
        entry["p50_ms"],
        device=entry["device"],
        runtime=entry["runtime"],
        delegate=entry["delegate"],
        threads=entry["threads"],
        low=entry.get("ci_low_ms", entry["p50_ms"]),
        high=entry.get("ci_high_ms", entry["p50_ms"]),
        machine=entry["context"].get("cpu", ""),
        invalid="" if entry["valid"] else entry.get("reason", "no reason given"),
    )


def check(
    path: Path, rows: Sequence[BaselineRow], limits: Mapping[str, float | None]
) -> list[FigureVerdict]:
    """A verdict for every row of the baseline that is about one of the models found.

    `limits`, by figure, go before those of the rows. Raises RecipeError when no row is.
    """
    baseline = read(path)
    models = {row.model for row in rows}
    current = {row.key: row for row in rows}
    about = [row for row in baseline if row.model in models]
    if not about:
        there = ", ".join(sorted({row.model for row in baseline})) or "no rows"
        raise RecipeError(f"{path}: no row for {' or '.join(sorted(models))}; there are: {there}")
    return [_verdict(row, current.get(row.key), limits.get(row.figure)) for row in about]


def _verdict(before: BaselineRow, now: BaselineRow | None, limit: float | None) -> FigureVerdict:
    if now is None:
        return FigureVerdict(before, MISSING, "not measured in this run")
    for which, row in (("baseline", before), ("run", now)):
        if row.invalid:
            return FigureVerdict(before, SKIPPED, f"the {which}'s is not valid: {row.invalid}")
    figure = FIGURES[before.figure]
    allowed = next(value for value in (limit, before.limit, figure.limit) if value is not None)
    margin = allowed * before.value if figure.share else allowed
    low, high = _ends(before)
    now_low, now_high = _ends(now)
    if figure.sign < 0:  # less is worse: the same, seen in a mirror
        (low, high), (now_low, now_high) = (-high, -low), (-now_high, -now_low)
    status = WORSE if now_low > high + margin else BETTER if now_high < low else SAME
    return FigureVerdict(
        before, status, f"{before.value:,.8g} to {now.value:,.8g} ({_change(before, now)})"
    )


def _ends(row: BaselineRow) -> tuple[float, float]:
    """The confidence interval, or the value where there is none."""
    return (
        row.value if row.low is None else row.low,
        row.value if row.high is None else row.high,
    )


def _change(before: BaselineRow, now: BaselineRow) -> str:
    if not FIGURES[before.figure].share:
        return f"{100 * (now.value - before.value):+.1f} points"
    return f"{now.value / before.value - 1:+.1%}"


def write(path: Path, new: Sequence[BaselineRow]) -> None:
    """Write rows into a baseline, a new one or an old one, whose limits stay."""
    before = {row.key: row for row in (read(path) if path.exists() else [])}
    for row in new:
        kept = before.get(row.key)
        before[row.key] = BaselineRow(**{**asdict(row), "limit": kept.limit if kept else None})
    text = io.StringIO()
    table = csv.DictWriter(text, [field.name for field in fields(BaselineRow)], lineterminator="\n")
    table.writeheader()
    table.writerows(asdict(row) for row in before.values())
    write_text(path, text.getvalue())


def read(path: Path) -> list[BaselineRow]:
    """The rows of a baseline. Raises RecipeError naming file, line and column."""
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise RecipeError(f"{path}: cannot be read: {reason}") from error
    table = csv.DictReader(lines)
    columns = [field.name for field in fields(BaselineRow)]
    for column in table.fieldnames or ():
        if column not in columns:
            hint = nearest(column, columns) or f"; known columns: {', '.join(columns)}"
            raise RecipeError(f"{path}: unknown column '{column}'{hint}")
    missing = {"model", "figure", "value"} - set(table.fieldnames or ())
    if missing:
        raise RecipeError(f"{path}: columns missing: {', '.join(sorted(missing))}")
    return [_row(f"{path}: line {table.line_num}", cells) for cells in table]


def _number(text: str) -> float:
    """A float that is one; NaN compares with nothing."""
    if not math.isfinite(value := float(text)):
        raise ValueError(text)
    return value


NUMBERS: dict[str, Callable[[str], float]] = {
    "value": _number,
    "threads": int,
    "low": _number,
    "high": _number,
    "limit": _number,
}


def _row(where: str, cells: Mapping[str, str | None]) -> BaselineRow:
    """A line of the file; cells left empty are at their default."""
    values: dict[str, Any] = {}
    if None in cells:
        raise RecipeError(f"{where}: more cells than columns")
    for column, text in cells.items():
        try:
            if text:
                values[column] = NUMBERS[column](text) if column in NUMBERS else text
        except ValueError:
            raise RecipeError(f"{where}: {column}: must be a number, got {text!r}") from None
    if values.get("figure") not in FIGURES:
        names = " | ".join(FIGURES)
        raise RecipeError(f"{where}: figure: must be {names}, got {cells['figure']!r}")
    if "model" not in values or "value" not in values:
        raise RecipeError(f"{where}: model and value must not be empty")
    return BaselineRow(**values)
