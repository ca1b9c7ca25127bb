"""Training schedules as tables: one row an epoch, so that resuming is going on at a row."""

import math
from itertools import pairwise
from typing import Literal, NamedTuple

WARMUP = 0.1  # share of a stage in which the learning rate rises; then it falls as a cosine
PROGRESSIVE = ((0.5, 0.45), (0.75, 0.3), (1.0, 0.25))  # share of the side, share of the epochs
SMALLEST = 64  # pixels; below this, shapes in a photograph are gone


class Epoch(NamedTuple):
    """One pass over the training images."""

    resolution: int
    first_rate: float  # learning rate at its first step, falling linearly to
    last_rate: float
    frozen: Literal["", "trunk", "norm"] = ""  # which layers keep their weights


def from_scratch(rate: float, resolution: int, epochs: int) -> list[Epoch]:
    """Small images first, full size last (progressive resizing), one learning-rate cosine.

    A network learns the coarse shapes at half the side for a quarter of the time
    (Tan & Le, EfficientNetV2, section 4).
    """
    sides = [max(round(resolution * side / 16) * 16, SMALLEST) for side, _ in PROGRESSIVE[:-1]]
    ends = [round(epochs * sum(share for _, share in PROGRESSIVE[: n + 1])) for n in range(2)]
    rows = []
    for index, (first, last) in enumerate(_cosine(rate, epochs)):
        stage = sum(index >= end for end in ends)
        side = sides[stage] if stage < len(sides) and index < epochs - 1 else resolution
        rows.append(Epoch(min(side, resolution), first, last))
    return rows


def transfer(rate: float, resolution: int, epochs: int) -> list[Epoch]:
    """The new head first, on a frozen trunk; then all but batch-norm, at a tenth of the rate."""
    head = max(1, round(epochs * 0.2)) if epochs > 1 else 0
    return [Epoch(resolution, *each, "trunk") for each in _cosine(rate, head)] + [
        Epoch(resolution, *each, "norm") for each in _cosine(rate / 10, epochs - head)
    ]


def _cosine(peak: float, epochs: int) -> list[tuple[float, float]]:
    """Learning rates at the ends of each epoch: a linear warm-up, then half a cosine to zero."""

    def rate(progress: float) -> float:
        if progress < WARMUP:
            return peak * (0.05 + 0.95 * progress / WARMUP)
        return peak * 0.5 * (1 + math.cos(math.pi * (progress - WARMUP) / (1 - WARMUP)))

    points = [rate(n / epochs) for n in range(epochs + 1)] if epochs else []
    return list(pairwise(points))
