"""The Pareto front: what nothing else beats in everything at once."""

import math
from collections.abc import Sequence
from typing import NamedTuple

Costs = tuple[float, ...]  # of one candidate, in every objective; less is better


def dominates(costs: Costs, other: Costs) -> bool:
    """Whether `one` is nowhere worse and somewhere better."""
    pairs = list(zip(costs, other, strict=True))
    return all(a <= b for a, b in pairs) and any(a < b for a, b in pairs)


def front(costs: Sequence[Costs]) -> list[int]:
    """The places of the candidates that none dominates, in the order given; all of equal ones.

    In lexicographic order, only what came before can dominate, and of that only the front.
    """
    kept: list[int] = []
    for place in sorted(range(len(costs)), key=lambda row: costs[row]):
        if not any(dominates(costs[other], costs[place]) for other in kept):
            kept.append(place)
    return sorted(kept)


class Measured(NamedTuple):
    """What something costs, and how good it is by a measurement with a standard error."""

    cost: float
    value: float
    error: float


def certain_front(points: Sequence[Measured]) -> list[int]:
    """The places of the front's steps, from cheap to costly: each a gain that is no chance.

    A step is better than the one before by more than two standard errors of their difference. The
    errors count as independent; for models that saw the same images that is more than enough.
    """
    kept: list[int] = []
    for place in sorted(range(len(points)), key=lambda row: (points[row].cost, -points[row].value)):
        if not kept or is_better(points[place], points[kept[-1]]):
            kept.append(place)
    return kept


def is_better(point: Measured, other: Measured) -> bool:
    """Whether a value is higher by more than two standard errors of the difference."""
    return point.value - other.value > 2 * math.hypot(point.error, other.error)
