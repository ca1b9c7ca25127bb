"""The latency model of a board: open JSON, and the estimates it gives.

It is fitted on published latencies by `python -m tests.bench.latency_model`. The board with the
most rows has rates by kernel class; another, one ratio to that board. What is said with every
estimate is the error on rows that the rates never saw.
"""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

from edgecv.device import description
from edgecv.errors import RunFolderError
from edgecv.estimate import prior, published, rates
from edgecv.estimate.rates import Rates
from edgecv.files import write_text
from edgecv.tflite.kinds import Cost

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

    def __str__(self) -> str:
        """`median 4 %, worst 16 % over 50 rows left out one by one`."""
        words = f"median {100 * self.median:.0f} %, worst {100 * self.worst:.0f} %"
        return f"{words} over {self.rows} rows left out one by one"


@dataclass(frozen=True)
class LatencyModel:
    """What operators cost on a board, of one scheme.

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
    elsewhere: Mapping[str, tuple[float, float]] = field(default_factory=dict)


@dataclass(frozen=True)
class Estimate:
    """A latency that nobody measured."""

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
    """What a model of these operators takes on the board of `model`."""
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


def fitted() -> list[LatencyModel]:
    """A model of every board and scheme that was published, by the published rows alone."""
    found = []
    for scheme in SCHEMES:
        reference = _reference(scheme)
        found.append(reference)
        for board in published.boards()[1:]:
            few = board in published.FEW
            found.append(_by_prior(board, scheme) if few else _by_ratio(reference, board))
    return found


def _reference(scheme: str) -> LatencyModel:
    board, runtime = published.REFERENCE
    samples = published.samples(scheme)
    alone = [abs(each) for each in rates.left_out(samples)]
    family = [abs(each) for each in rates.left_out(samples, by_group=True)]
    error = Error(
        len(samples),
        *(round(each, 4) for each in (median(alone), max(alone), median(family), max(family))),
    )
    threads = next(each.threads for each in published.rows() if each.runtime == runtime)
    found = rates.fit(samples)
    return LatencyModel(
        board, scheme, runtime, threads, found, error, elsewhere=_elsewhere(found, scheme, board)
    )


def _by_prior(board: str, scheme: str) -> LatencyModel:
    """Rates of the board's own, from few rows and its cores; the error is over both schemes' rows.

    Of one scheme alone there are too few to say anything by.
    """
    runtime, facts = published.FEW[board], description.find(board).board
    samples = {name: published.samples(name, (board, runtime)) for name in SCHEMES}
    before = {name: prior.prior(facts, name) for name in SCHEMES}
    errors = [
        abs(error) for name in SCHEMES for error in prior.left_out(samples[name], before[name])
    ]
    fitted = prior.fit(samples[scheme], before[scheme])
    return LatencyModel(
        board,
        scheme,
        runtime,
        next(row.threads for row in published.rows() if row.runtime == runtime),
        fitted,
        Error(len(errors), round(median(errors), 4), round(max(errors), 4)),
        source=f"{runtime}, whose kernels LiteRT has; by clock, cores and {len(errors)} rows",
        elsewhere=_elsewhere(fitted, scheme, board),
    )


def _elsewhere(found: Rates, scheme: str, board: str) -> dict[str, tuple[float, float]]:
    """What other runtimes took on a board, over what its rates say."""
    known, shares = published.operators(), dict[str, list[float]]()
    own = {published.REFERENCE[1], *published.FEW.values()}
    for row in published.rows():
        alike = (row.board, row.scheme) == (board, scheme)
        if alike and row.runtime not in own and row.model in known:
            share = row.ms / rates.milliseconds(found, known[row.model])
            shares.setdefault(row.runtime, []).append(round(share, 3))
    return {runtime: (min(each), max(each)) for runtime, each in shares.items()}


def _by_ratio(reference: LatencyModel, board: str) -> LatencyModel:
    """The reference times the geometric mean of the ratios, and both their errors together."""
    if reference.error is None:
        raise ValueError("the reference board's error is always known")
    logs = [math.log(each) for each in published.ratios(board, reference.scheme)]
    left = [abs(math.exp(_mean(logs, without) - logs[without]) - 1) for without in range(len(logs))]
    error = Error(
        len(logs),
        round(math.hypot(median(left), reference.error.median), 4),
        round(math.hypot(max(left), reference.error.worst), 4),
    )
    row = next(each for each in published.rows() if each.board == board)
    source = f"{reference.board}'s rates times {math.exp(_mean(logs)):.3g}, by {row.runtime}"
    return LatencyModel(
        board,
        reference.scheme,
        reference.runtime,
        reference.threads,
        reference.rates,
        error,
        float(f"{math.exp(_mean(logs)):.4g}"),
        source,
    )


def _mean(values: Sequence[float], without: int | None = None) -> float:
    kept = [each for index, each in enumerate(values) if index != without]
    return sum(kept) / len(kept)


def write(models: Sequence[LatencyModel], path: Path) -> Path:
    """Keep models as JSON that people can read."""
    table = {"schema": SCHEMA, "unit": "nanoseconds", "models": [asdict(each) for each in models]}
    return write_text(path, json.dumps(table, indent=1) + "\n")


def read(path: Path) -> list[LatencyModel]:
    """The models of a file. Raises RunFolderError when it is none of this edgecv's."""
    try:
        table = json.loads(path.read_text(encoding="utf-8"))
        if table["schema"] != SCHEMA:
            raise ValueError(f"schema {table['schema']!r}; this edgecv reads schema {SCHEMA}")
        return [
            LatencyModel(**{**each, "error": each["error"] and Error(**each["error"])})
            for each in table["models"]
        ]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise RunFolderError(f"{path}: not a readable latency model: {error}") from error
