"""Rates of a board of which few latencies were published: what its cores can do, and those few.

Four rates stand for all kinds of operators: multiply-accumulates of convolutions that mix channels,
those of depthwise ones, elements read and written, and starting an operator. A core's clock and
width say about what they are; the published rows move them, each the less the fewer there are.

The constants were set to one digit with the Pi 5's rows in view: that a row is met when it is left
out of the fit says less than it does of the reference board's fifty. What starting an operator
takes is assumed: the published models are too large to tell.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from edgecv.device.description import Board
from edgecv.estimate.rates import Rates, Sample, milliseconds
from edgecv.tflite.kinds import KINDS

TERMS = {
    "mixing": (("conv", "macs"), ("pointwise", "macs"), ("dense", "macs")),
    "moving": tuple((kind, "activations") for kind in KINDS),
    "depthwise": (("depthwise", "macs"),),
    "starting": tuple((kind, "operators") for kind in KINDS),
}
# Multiply-accumulates that a core of two 128-bit pipes starts in a cycle (Arm's Cortex-A76 Software
# Optimization Guide: FMLA, and SDOT, on both), by scheme; without SDOT, int8 is widened first.
MACS_PER_CYCLE = {"float32": 8, "int8": 16, "int8 with dot products": 32}
EFFICIENCY = 0.7  # of that, in convolutions as large as SqueezeNet's
BYTES_PER_CYCLE = 2  # of activations, by a core; most of them come from the shared cache
DEPTHWISE_CYCLES = 1.3  # a multiply-accumulate and core: the Pi 4's fitted rates, in both schemes
START_NS = 5000  # an operator on all cores: assumed; the Pi 4's rates come to 18,000, with ruy
BYTES = {"float32": 4, "int8": 1}
WEIGHT = 0.3  # a rate 30 % off its prior counts as much as a row that is missed by 9 %


def prior(board: Board, scheme: str) -> Rates:
    """Nanoseconds for each multiply-accumulate and element, by the board's clock and cores."""
    cycles = (board.clock_mhz or 1000) * (board.cores or 1) / 1000  # in a nanosecond, by all cores
    dot = scheme == "int8" and board.dot_product
    macs = MACS_PER_CYCLE[f"{scheme} with dot products" if dot else scheme]
    return _rates(
        {
            "mixing": 1 / (cycles * macs * EFFICIENCY),
            "moving": BYTES[scheme] / (cycles * BYTES_PER_CYCLE),
            "depthwise": DEPTHWISE_CYCLES / cycles,
            "starting": START_NS,
        }
    )


def fit(samples: Sequence[Sample], before: Rates) -> Rates:
    """The prior rates, each moved as the samples ask; the squared relative errors are least."""
    from scipy.optimize import nnls

    parts = {name: _only(before, name) for name in TERMS}
    rows = [
        [milliseconds(part, sample.costs) / sample.ms for part in parts.values()]
        for sample in samples
    ]
    matrix = np.vstack([np.array(rows).reshape(-1, len(TERMS)), WEIGHT * np.eye(len(TERMS))])
    goal = np.concatenate([np.ones(len(samples)), np.full(len(TERMS), WEIGHT)])
    factors: Any = nnls(matrix, goal)[0]
    first = {name: next(iter(_values(part))) for name, part in parts.items()}
    return _rates({name: first[name] * factor for name, factor in zip(TERMS, factors, strict=True)})


def left_out(samples: Sequence[Sample], before: Rates) -> list[float]:
    """The relative error on each sample of rates that saw all but it."""
    errors = []
    for index, sample in enumerate(samples):
        fitted = fit([*samples[:index], *samples[index + 1 :]], before)
        errors.append(milliseconds(fitted, sample.costs) / sample.ms - 1)
    return errors


def _rates(values: dict[str, float]) -> Rates:
    rates: Rates = {}
    for name, nanoseconds in values.items():
        for kind, quantity in TERMS[name]:
            rates.setdefault(kind, {})[quantity] = float(f"{nanoseconds:.6g}")
    return rates


def _only(rates: Rates, name: str) -> Rates:
    """The rates of one term."""
    part: Rates = {}
    for kind, quantity in TERMS[name]:
        part.setdefault(kind, {})[quantity] = rates[kind][quantity]
    return part


def _values(rates: Rates) -> list[float]:
    return [value for quantities in rates.values() for value in quantities.values()]
