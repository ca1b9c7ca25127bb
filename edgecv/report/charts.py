"""Where the marks of the page's charts go; the template draws them as SVG.

Across, positions are in percent of the width, so that a chart fills a phone as well as a screen;
down, they are in pixels.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from edgecv.artifacts import Range

DOTS = 400  # more cannot be told apart
LANE = 44.0  # pixels for one measurement's dots
RANGES = 240.0  # pixels, height of the chart of ranges
RELU6 = Range(0.0, 6.0)
MARKS = (0, 1, 6, 30, 150, 750, 3750)  # about evenly spaced on the scale of ranges


class Tick(NamedTuple):
    """A line of the grid and what is written at it."""

    position: float
    text: str


class Dot(NamedTuple):
    """One inference: x is its time, y its turn."""

    x: float
    y: float
    text: str


class Lane(NamedTuple):
    """One measurement's inferences."""

    entry: Mapping[str, Any]  # of the report's `latency`
    dots: list[Dot]
    p50: float
    p90: float
    beyond: int  # inferences slower than the chart is wide


class Lanes(NamedTuple):
    """Measurements one below the other on a common time axis."""

    lanes: list[Lane]
    ticks: list[Tick]
    height: float = LANE


class Bar(NamedTuple):
    """One tensor's range."""

    name: str
    low: float
    high: float
    x: float
    width: float
    y: float
    height: float


class Bars(NamedTuple):
    """Ranges side by side in layer order, but for those that a ReLU6 fixes."""

    bars: list[Bar]
    ticks: list[Tick]
    fixed: int = 0  # at [0, 6]
    height: float = RANGES


def lanes(latency: Sequence[Mapping[str, Any]]) -> Lanes:
    """Dots for every measurement that kept its samples."""
    measured = [entry for entry in latency if entry["context"].get("samples_ms")]
    if not measured:
        return Lanes([], [])
    end = max(min(entry["p99_ms"], 2 * entry["p50_ms"]) for entry in measured) * 1.05
    step = _nice_step(end)
    marks = [index * step for index in range(int(end / step) + 1)]
    ticks = [Tick(100 * mark / end, f"{mark:g}") for mark in marks]
    return Lanes([_lane(entry, end) for entry in measured], ticks)


def _lane(entry: Mapping[str, Any], end: float) -> Lane:
    samples = entry["context"]["samples_ms"]
    turns = np.unique(np.linspace(0, len(samples) - 1, DOTS).astype(int))
    dots = [
        Dot(
            100 * samples[turn] / end,
            4 + (LANE - 8) * turn / len(samples),
            f"run {turn + 1}: {samples[turn]:.3f} ms",
        )
        for turn in turns.tolist()
        if samples[turn] <= end
    ]
    p50, p90 = (min(100.0, 100 * entry[name] / end) for name in ("p50_ms", "p90_ms"))
    return Lane(entry, dots, p50, p90, sum(sample > end for sample in samples))


def _nice_step(end: float, most: int = 6) -> float:
    """The smallest of 1, 2, 5 times a power of ten that divides [0, end] into few enough parts."""
    power = 10.0 ** math.floor(math.log10(end / most))
    return next(power * step for step in (1, 2, 5, 10) if end / (power * step) <= most)


def bars(ranges: Mapping[str, Range]) -> Bars:
    """A bar from lowest to highest value for every tensor, on a scale that is linear near zero.

    The scale is asinh: ranges of one network differ by a factor of a hundred.
    """
    free = {name: limits for name, limits in ranges.items() if limits != RELU6}
    fixed = len(ranges) - len(free)
    if not free:
        return Bars([], [], fixed)
    bottom = math.asinh(min(0.0, *(bounds.low for bounds in free.values()))) - 0.3
    top = math.asinh(max(0.0, *(bounds.high for bounds in free.values()))) + 0.3

    def y(value: float) -> float:
        return RANGES * (top - math.asinh(value)) / (top - bottom)

    marks = sorted({sign * mark for mark in MARKS for sign in (1, -1)})
    ticks = [Tick(y(mark), f"{mark:g}") for mark in marks if 0 <= y(mark) <= RANGES]
    slot = 100 / len(free)
    drawn = [
        Bar(
            name,
            *limits,
            x=slot * (index + 0.15),
            width=slot * 0.7,
            y=y(limits.high),
            height=max(1.0, y(limits.low) - y(limits.high)),
        )
        for index, (name, limits) in enumerate(free.items())
    ]
    return Bars(drawn, ticks, fixed)
