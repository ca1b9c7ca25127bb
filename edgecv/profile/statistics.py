"""Figures from samples of latency."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

TRIMMED = 0.05  # the share of samples left out at either end before variation is judged
RESAMPLES = 1000
CONFIDENCE = 0.95


class Interval(NamedTuple):
    """Where the true value lies, with 95 % confidence."""

    low: float
    high: float


class Summary(NamedTuple):
    """Latency in seconds."""

    p50: float
    p90: float
    p99: float
    lowest: float
    mean: float
    variation: float  # coefficient of variation, rare outliers left out


def summary(seconds: Sequence[float]) -> Summary:
    """Percentiles (linear between samples), minimum, mean, variation of at least one sample."""
    ordered = np.sort(np.asarray(seconds, np.float64))
    p50, p90, p99 = np.percentile(ordered, (50, 90, 99))
    cut = int(len(ordered) * TRIMMED)
    middle = ordered[cut : len(ordered) - cut]
    variation = middle.std() / middle.mean()
    figures = (p50, p90, p99, ordered[0], ordered.mean(), variation)
    return Summary(*map(float, figures))


def median_interval(blocks: Sequence[Sequence[float]], seed: int = 0) -> Interval:
    """The confidence interval of the median, by the bootstrap: of blocks, and of samples in each.

    Samples of one block are more alike than those of two, which were taken at other moments by
    other processes: resampling samples alone would promise too much (Field and Welsh 2007).
    """
    random = np.random.default_rng(seed)
    arrays = [np.asarray(block, np.float64) for block in blocks]
    medians = []
    for _ in range(RESAMPLES):
        chosen = [arrays[index] for index in random.integers(len(arrays), size=len(arrays))]
        drawn = [block[random.integers(len(block), size=len(block))] for block in chosen]
        medians.append(np.median(np.concatenate(drawn)))
    outside = (1 - CONFIDENCE) / 2
    low, high = np.quantile(medians, (outside, 1 - outside))
    return Interval(float(low), float(high))
