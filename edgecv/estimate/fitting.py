"""The latency models that come with edgecv, fitted on what others have published.

`python -m tests.bench.latency_model` writes them. Where a runtime was measured of many models, the
rates are by kernel class; where of few, they begin with what the board's cores can do; and where of
none, another board's are scaled by what a runtime took on both.
"""

import math
from collections.abc import Sequence
from statistics import median

from edgecv.device import description
from edgecv.estimate import prior, published, rates
from edgecv.estimate.model import SCHEMES, Error, LatencyModel
from edgecv.estimate.rates import Rates, Sample


def fit_models() -> list[LatencyModel]:
    """A model of every board and scheme that was published, by the kernels that were measured."""
    models = []
    for scheme in SCHEMES:
        ruy = _of_many(scheme)
        xnnpack = {board: _of_few(board, scheme) for board in published.XNNPACK}
        models += [*xnnpack.values(), ruy]
        models += [_by_ratio(ruy, "rpi3b_plus"), _by_ratio(xnnpack["rpi3b_plus"], "rpi_zero2w")]
    return models


def _of_many(scheme: str) -> LatencyModel:
    board, runtime = published.RUY
    samples = published.samples(scheme, published.RUY)
    alone = _errors(rates.leave_one_out(samples))
    families = _errors(rates.leave_one_out(samples, by_group=True))
    error = Error(len(samples), *alone, *families, sources=len(_sources([scheme], published.RUY)))
    rows = rates.fit(samples)
    threads = published.threads(published.RUY)
    others = _elsewhere(rows, scheme, published.RUY)
    return LatencyModel(
        board, scheme, runtime, threads, rows, error, kernels="ruy", elsewhere=others
    )


def _of_few(board: str, scheme: str) -> LatencyModel:
    """Rates of the board's own, from few rows and its cores; the error is over both schemes' rows.

    Of one scheme alone there are too few to say anything by.
    """
    where = board, published.XNNPACK[board]
    facts = description.find(board).board
    before = {name: prior.prior(facts, name) for name in SCHEMES}
    samples = {name: published.samples(name, where, by_source=True) for name in SCHEMES}
    alone, sources = (
        [
            error
            for name in SCHEMES
            for error in prior.leave_one_out(samples[name], before[name], by_group)
        ]
        for by_group in (False, True)
    )
    own = prior.fit(samples[scheme], before[scheme])
    return LatencyModel(
        board,
        scheme,
        where[1],
        published.threads(where),
        own,
        Error(
            len(alone),
            *_errors(alone),
            sources=len(_sources(SCHEMES, where)),
            **dict(zip(("source_median", "source_worst"), _errors(sources), strict=True)),
        ),
        source=f"{where[1]}, whose kernels LiteRT has; by clock, cores and {len(alone)} rows",
        elsewhere=_elsewhere(own, scheme, where),
    )


def _by_ratio(reference: LatencyModel, board: str) -> LatencyModel:
    """The reference times the geometric mean of the ratios, by runtimes that were measured on both.

    The error is all of theirs together: of the reference, of a ratio that is left out, and of
    taking another runtime's.
    """
    if reference.error is None:
        raise ValueError("the reference board's error is always stated")
    pairs = published.ratios(board, reference.board, reference.scheme)
    logs = [math.log(ratio) for _, ratio in pairs]
    left = [math.exp(_mean(logs, without) - log) - 1 for without, log in enumerate(logs)]
    ratio = float(f"{math.exp(_mean(logs)):.4g}")
    between = _between_runtimes(reference.scheme)
    typical, worst = _errors(left)
    runtimes = ", ".join(dict.fromkeys(runtime for runtime, _ in pairs))
    return LatencyModel(
        board,
        reference.scheme,
        reference.runtime,
        reference.threads,
        reference.rates,
        Error(
            len(logs),
            round(math.hypot(typical, between, reference.error.median), 4),
            round(math.hypot(worst, between, reference.error.worst), 4),
        ),
        reference.ratio * ratio,
        f"{reference.board}'s, {reference.runtime}, times {ratio:.3g}, by {runtimes} on both",
        reference.kernels,
    )


def _between_runtimes(scheme: str) -> float:
    """How far apart runtimes are in what they say of two boards: of the Pi 3B+ against the Pi 4."""
    logs: dict[str, list[float]] = {}
    for runtime, ratio in published.ratios("rpi3b_plus", "rpi4", scheme):
        logs.setdefault(runtime, []).append(math.log(ratio))
    means = [_mean(values) for values in logs.values()]
    return math.exp(max(means) - min(means)) - 1


def _elsewhere(own: Rates, scheme: str, where: tuple[str, str]) -> dict[str, tuple[float, float]]:
    """The least and greatest ratio of other runtimes' latencies on the board to the estimates."""
    operators, shares = published.operators(), dict[str, list[float]]()
    for row in published.rows():
        if (row.board, row.scheme) == (where[0], scheme) and row.runtime != where[1]:
            share = row.ms / rates.milliseconds(own, operators[row.model])
            shares.setdefault(row.runtime, []).append(round(share, 3))
    return {runtime: (min(spread), max(spread)) for runtime, spread in shares.items()}


def _sources(schemes: Sequence[str], where: tuple[str, str]) -> set[str]:
    samples: list[Sample] = []
    for scheme in schemes:
        samples += published.samples(scheme, where, by_source=True)
    return {sample.group for sample in samples}


def _errors(relative: Sequence[float]) -> tuple[float, float]:
    """The median and the worst of relative errors."""
    sizes = [abs(error) for error in relative]
    return round(median(sizes), 4), round(max(sizes), 4)


def _mean(values: Sequence[float], without: int | None = None) -> float:
    others = [value for place, value in enumerate(values) if place != without]
    return sum(others) / len(others)
