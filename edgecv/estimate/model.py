"""The latency model of a board: open JSON, and the estimates it gives.

What is said with every estimate is the error on rows that the rates never saw.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from edgecv.errors import RunFolderError
from edgecv.estimate import rates
from edgecv.estimate.rates import Rates
from edgecv.files import write_text
from edgecv.tflite.operator_kinds import Cost

SCHEMA = 1
FILE = "model.json"
SCHEMES = ("float32", "int8")


@dataclass(frozen=True)
class Error:
    """Relative errors on rows left out of the fit: their median and the worst, as shares."""

    rows: int
    median: float
    worst: float
    family_median: float | None = None  # with all rows of the architecture left out
    family_worst: float | None = None
    sources: int | None = None  # that the rows are of; None where they are not told apart
    source_median: float | None = None  # with all rows of the source left out
    source_worst: float | None = None

    def __str__(self) -> str:
        """`median 4 %, worst 16 % over 50 rows left out one by one`, and the same by source."""
        words = f"{_shares(self.median, self.worst)} over {self.rows} rows left out one by one"
        if self.sources == 1:
            words += ", all of one source"
        if self.source_median is None or self.source_worst is None:
            return words
        without = "that" if self.sources == 1 else "a whole source"
        return f"{words}; without {without}, {_shares(self.source_median, self.source_worst)}"


def _shares(median: float, worst: float) -> str:
    return f"median {100 * median:.0f} %, worst {100 * worst:.0f} %"


@dataclass(frozen=True)
class LatencyModel:
    """The costs of operators of one scheme on a board.

    `ratio` is the board's to the one that `rates` are of; `elsewhere`, by other runtimes, the least
    and the greatest of what they were published to take over what is estimated.
    """

    board: str
    scheme: str
    runtime: str
    threads: int
    rates: Rates
    error: Error | None  # None: of a single model, nothing can be left out
    ratio: float = 1.0
    source: str = ""
    kernels: str = "xnnpack"  # the library whose loops were measured: xnnpack or ruy
    elsewhere: Mapping[str, tuple[float, float]] = field(default_factory=dict)


@dataclass(frozen=True)
class Estimate:
    """An estimated latency."""

    device: str
    scheme: str
    ms: float
    runtime: str
    threads: int
    basis: str  # what it was estimated from
    error: dict[str, Any] = field(default_factory=dict)
    origin: str = "estimated"

    def words(self) -> str:
        """`18.2 ms estimated, 4 threads; ...`: the figure, and what to think of it."""
        return f"{self.ms:.3g} ms estimated, {self.threads} threads; {self.basis}"


def estimate(model: LatencyModel, costs: Sequence[Cost]) -> Estimate:
    """The estimated latency of these operators on the board of `model`."""
    ms = model.ratio * rates.milliseconds(model.rates, costs)
    doubt = f"error {model.error}" if model.error else "one model's, so of unknown error"
    others = [
        f"{name} {low:.2g} to {high:.2g} of it" for name, (low, high) in model.elsewhere.items()
    ]
    error = asdict(model.error) if model.error else {}
    return Estimate(
        model.board,
        model.scheme,
        float(f"{ms:.4g}"),
        model.runtime,
        model.threads,
        "; ".join([model.source or model.runtime, doubt, *others]),
        {key: value for key, value in error.items() if value is not None},
    )


def write(models: Sequence[LatencyModel], path: Path) -> Path:
    """Keep models as JSON that people can read."""
    table = {"schema": SCHEMA, "unit": "nanoseconds", "models": [asdict(model) for model in models]}
    return write_text(path, json.dumps(table, indent=1) + "\n")


def read(path: Path) -> list[LatencyModel]:
    """The models of a file. Raises RunFolderError when this edgecv did not write it."""
    try:
        table = json.loads(path.read_text(encoding="utf-8"))
        if table["schema"] != SCHEMA:
            raise ValueError(f"schema {table['schema']!r}; this edgecv reads schema {SCHEMA}")
        return [
            LatencyModel(**{**row, "error": row["error"] and Error(**row["error"])})
            for row in table["models"]
        ]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise RunFolderError(f"{path}: not a readable latency model: {error}") from error
