"""The rates of kernel classes: nanoseconds by multiply-accumulate, by element, by call.

    seconds of a model = sum over its operators of rates[kind] * (operators, macs, weights, ...)

The rates are never negative, and are fitted to relative errors: a model of 2 ms weighs as much as
one of 200.
"""

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np

from edgecv.tflite.operator_kinds import QUANTITIES, Cost

Rates = dict[str, dict[str, float]]  # by kind, by quantity, in nanoseconds
TERMS = (  # what can be told apart: of the first and the last layer, models differ too little
    *((kind, name) for kind in ("pointwise", "depthwise", "elementwise") for name in QUANTITIES),
    ("conv", "macs"),
    ("conv", "activations"),
    ("dense", "weights"),
    ("other", "operators"),
    ("other", "activations"),
)


class Sample(NamedTuple):
    """One latency and the operators that took it."""

    costs: Sequence[Cost]
    ms: float
    group: str = ""  # samples of the same are not independent


def milliseconds(rates: Rates, costs: Iterable[Cost]) -> float:
    """The sum over the operators; a kind without rates costs nothing."""
    nanoseconds: float = sum(
        rate * float(getattr(cost, quantity))
        for cost in costs
        for quantity, rate in rates.get(cost.kind, {}).items()
    )
    return nanoseconds / 1e6


def fit(samples: Sequence[Sample], terms: Sequence[tuple[str, str]] = TERMS) -> Rates:
    """The rates with the least squared relative error, none negative; zeros are left out."""
    rates: Rates = {}
    for (kind, quantity), nanoseconds in zip(terms, _solve(_matrix(samples, terms)), strict=True):
        if nanoseconds > 0:
            rates.setdefault(kind, {})[quantity] = float(f"{nanoseconds:.6g}")
    return rates


def leave_one_out(
    samples: Sequence[Sample],
    terms: Sequence[tuple[str, str]] = TERMS,
    by_group: bool = False,
) -> list[float]:
    """The relative error on each sample of rates that never saw it, or anything of its group."""
    matrix = _matrix(samples, terms)
    errors = []
    for index, sample in enumerate(samples):
        kept = [
            row.group != sample.group if by_group else other != index
            for other, row in enumerate(samples)
        ]
        left = matrix[kept]
        errors.append(float(matrix[index] @ _solve(left) - 1))
    return errors


def _matrix(samples: Sequence[Sample], terms: Sequence[tuple[str, str]]) -> Any:
    """A row a sample: each term's share of its latency, at one nanosecond."""
    rows = [
        [
            sum(getattr(cost, quantity) for cost in sample.costs if cost.kind == kind)
            / (sample.ms * 1e6)
            for kind, quantity in terms
        ]
        for sample in samples
    ]
    return np.array(rows, np.float64).reshape(len(samples), len(terms))


def _solve(matrix: Any) -> Any:
    """Rates >= 0 whose row sums are as near to one as can be."""
    from scipy.optimize import nnls

    scale = matrix.max(axis=0, initial=0)
    scale[scale == 0] = 1
    solution, _ = nnls(matrix / scale, np.ones(len(matrix)))
    return solution / scale
