"""Figures from samples of latency, and whether the samples can be trusted."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

# Single inferences of one model on a quiet machine vary by 1-5 %, with a rare outlier when the
# system takes the core away. Twice as much says that something else ran or the clock moved.
VARIATION_LIMIT = 0.10
TRIMMED = 0.05  # the share of samples left out at either end before variation is judged
OTHER_LOAD_LIMIT = 0.25  # of all cores; above it, caches and memory are shared with a stranger


class Summary(NamedTuple):
    """Latency in seconds."""

    p50: float
    p90: float
    p99: float
    lowest: float
    variation: float  # coefficient of variation, rare outliers left out


def summary(seconds: Sequence[float]) -> Summary:
    """Percentiles (linear between samples), minimum and variation of at least one sample."""
    ordered = np.sort(np.asarray(seconds, np.float64))
    p50, p90, p99 = np.percentile(ordered, (50, 90, 99))
    cut = int(len(ordered) * TRIMMED)
    middle = ordered[cut : len(ordered) - cut]
    variation = middle.std() / middle.mean()
    return Summary(float(p50), float(p90), float(p99), float(ordered[0]), float(variation))


def objection(
    found: Summary, threads: int, cores: int, other_load: float | None = None
) -> str | None:
    """Why a measurement is not valid, or None when nothing speaks against it.

    `other_load` is the number of cores that other processes kept busy, where it is known.
    """
    if threads > cores:
        return f"{threads} threads on {cores} cores"
    if other_load is not None and other_load > OTHER_LOAD_LIMIT * cores:
        return (
            f"other processes kept {other_load:.1f} of {cores} cores busy"
            f" (limit {OTHER_LOAD_LIMIT * cores:.1f})"
        )
    if found.variation > VARIATION_LIMIT:
        return f"samples vary by {found.variation:.0%} (limit {VARIATION_LIMIT:.0%})"
    return None
