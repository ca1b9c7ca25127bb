"""The Pareto front: what nothing else beats in everything at once."""

from collections.abc import Sequence

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
