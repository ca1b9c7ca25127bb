"""Rates of a board with few known latencies: from its cores, and from those latencies.

Four rates stand for all kinds of operators: multiply-accumulates of convolutions that mix channels,
those of depthwise ones, elements read and written, and starting an operator. A core's clock and
vector units say how they compare; measured models say how fast all of it is, and move each rate
from there, the less the fewer they are.

The constants but the cores' were set to one digit with the Pi 5's rows in view. What starting an
operator takes is assumed: the published models are too large to tell.
"""

import itertools
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from edgecv.device.description import Board
from edgecv.estimate.rates import Rates, Sample, milliseconds
from edgecv.tflite.operator_kinds import KINDS

TERMS = {
    "mixing": (("conv", "macs"), ("pointwise", "macs"), ("dense", "macs")),
    "moving": tuple((kind, "activations") for kind in KINDS),
    "depthwise": (("depthwise", "macs"),),
    "starting": tuple((kind, "operators") for kind in KINDS),
}
# FMLA of four float32 that a core starts in a cycle: Arm's Cortex-A76 Software Optimization Guide;
# for the A72, 15.9 GFLOPS measured of a core at 2 GHz (wlog.flatlib.jp/2015/10/30/n1787); for the
# A53, Tencent/ncnn, docs/developer-guide/arm-a53-a55-dual-issue.md. Of others: as of the A76.
VECTORS_PER_CYCLE = {"Cortex-A76": 2, "Cortex-A72": 1, "Cortex-A53": 1}
# Multiply-accumulates of one: SDOT has sixteen of int8; without it, int8 is widened first.
MACS_PER_VECTOR = {"float32": 4, "int8": 8, "int8 with dot products": 16}
EFFICIENCY = 0.7  # of that, in convolutions as large as SqueezeNet's
BYTES_PER_CYCLE = 2  # of activations, by a core; most of them come from the shared cache
DEPTHWISE_CYCLES = 1.3  # a multiply-accumulate and core: the Pi 4's fitted rates, in both schemes
START_NS = 5000  # an operator on all cores: assumed; the Pi 4's rates come to 18,000, with ruy
BYTES = {"float32": 4, "int8": 1}
WEIGHT = 0.3  # a rate 30 % off what the cores say counts as much as a row that is missed by 9 %


def prior(board: Board, scheme: str) -> Rates:
    """Nanoseconds for each multiply-accumulate and element, by the board's clock and cores."""
    cycles = (board.clock_mhz or 1000) * (board.cores or 1) / 1000  # in a nanosecond, by all cores
    dot = scheme == "int8" and board.dot_product is not False  # desktops have them, too
    macs = MACS_PER_VECTOR[f"{scheme} with dot products" if dot else scheme]
    macs *= VECTORS_PER_CYCLE.get(board.core, 2)
    return _rates(
        {
            "mixing": 1 / (cycles * macs * EFFICIENCY),
            "moving": BYTES[scheme] / (cycles * BYTES_PER_CYCLE),
            "depthwise": DEPTHWISE_CYCLES / cycles,
            "starting": START_NS,
        }
    )


def fit(samples: Sequence[Sample], before: Rates) -> Rates:
    """The prior rates at the samples' pace, each moved from there as the samples ask.

    The squared relative errors are least; without samples, the rates are as before.
    """
    pace = _pace(samples, before)
    parts = {name: _only(before, name, pace) for name in TERMS}
    rows = [
        [milliseconds(part, sample.costs) / sample.ms for part in parts.values()]
        for sample in samples
    ]
    matrix = np.vstack([np.array(rows).reshape(-1, len(TERMS)), WEIGHT * np.eye(len(TERMS))])
    goal = np.concatenate([np.ones(len(samples)), np.full(len(TERMS), WEIGHT)])
    factors = nonnegative(matrix, goal)
    first = {name: next(iter(_values(part))) for name, part in parts.items()}
    return _rates({name: first[name] * factor for name, factor in zip(TERMS, factors, strict=True)})


def leave_one_out(samples: Sequence[Sample], before: Rates, by_group: bool = False) -> list[float]:
    """The relative error on each sample of rates that never saw it, or anything of its group."""
    errors = []
    for index, sample in enumerate(samples):
        others = [
            other
            for place, other in enumerate(samples)
            if (other.group != sample.group if by_group else place != index)
        ]
        errors.append(milliseconds(fit(others, before), sample.costs) / sample.ms - 1)
    return errors


def nonnegative(matrix: Any, goal: Any) -> Any:
    """The least-squares solution without a negative factor: the best of those with some at zero.

    Of four factors that is sixteen solutions, and needs no scipy, which comes with [build] only.
    """
    columns, best = range(matrix.shape[1]), (math.inf, np.zeros(matrix.shape[1]))
    for count in range(1, len(columns) + 1):
        for free in itertools.combinations(columns, count):
            factors = np.zeros(len(columns))
            factors[[*free]] = np.linalg.lstsq(matrix[:, free], goal, rcond=None)[0]
            miss = float(np.sum((matrix @ factors - goal) ** 2))
            if factors.min() >= 0 and miss < best[0]:
                best = miss, factors
    return best[1]


def _pace(samples: Sequence[Sample], before: Rates) -> float:
    """How many times longer the samples take than the rates say: their geometric mean."""
    shares = [sample.ms / milliseconds(before, sample.costs) for sample in samples]
    return math.exp(sum(map(math.log, shares)) / len(shares)) if shares else 1.0


def _rates(values: dict[str, float]) -> Rates:
    rates: Rates = {}
    for name, nanoseconds in values.items():
        for kind, quantity in TERMS[name]:
            rates.setdefault(kind, {})[quantity] = float(f"{nanoseconds:.6g}")
    return rates


def _only(rates: Rates, name: str, pace: float) -> Rates:
    """The rates of one term, times the pace."""
    part: Rates = {}
    for kind, quantity in TERMS[name]:
        part.setdefault(kind, {})[quantity] = rates[kind][quantity] * pace
    return part


def _values(rates: Rates) -> list[float]:
    return [value for quantities in rates.values() for value in quantities.values()]
