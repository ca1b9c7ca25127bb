"""tradeoff.png: accuracy against latency or size, with the front, for a document or a slide."""

from collections.abc import Sequence
from itertools import cycle
from pathlib import Path
from typing import NamedTuple

from edgecv.errors import EdgecvError
from edgecv.files import write_atomically
from edgecv.tradeoff.datasets import data_set, data_set_names
from edgecv.tradeoff.front import Measured, certain_front
from edgecv.tradeoff.runs import Candidate

LINE_STYLES = (":", "--", "-.", "-")  # of fronts


class Point(NamedTuple):
    """A model where it stands in the chart."""

    family: str
    data: str
    cost: float
    percent: float
    error: float  # standard, of the percent


def busiest_place(candidates: Sequence[Candidate]) -> str | None:
    """Where most models have a valid latency; None where none has."""
    places = [
        latency.where
        for candidate in candidates
        for latency in candidate.latencies
        if latency.valid
    ]
    return max(sorted(set(places)), key=places.count, default=None)


def points(candidates: Sequence[Candidate], place: str | None) -> list[Point]:
    """The models with an accuracy and a valid latency there; their sizes, without a place."""
    marks, names = [], data_set_names(candidates)
    for candidate in candidates:
        there = [
            latency.ms
            for latency in candidate.latencies
            if latency.where == place and latency.valid
        ]
        if candidate.top1 is not None and (there or place is None):
            cost = there[0] if there else candidate.bytes / 1e6
            shares = (100 * candidate.top1, 100 * (candidate.error or 0.0))
            marks.append(Point(candidate.arch, names[data_set(candidate)], cost, *shares))
    return marks


def fronts(marks: Sequence[Point]) -> dict[str, list[Point]]:
    """The front of every data set, by its name, from cheap to costly: gains beyond the errors."""
    lines = {}
    for data in dict.fromkeys(point.data for point in marks):
        own = [point for point in marks if point.data == data]
        measured = [Measured(point.cost, point.percent, point.error) for point in own]
        lines[data] = [own[place] for place in certain_front(measured)]
    return lines


def png(candidates: Sequence[Candidate], path: Path) -> Path:
    """Draw the chart. Raises EdgecvError when matplotlib is not installed."""
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise EdgecvError(
            f"the chart needs more than is installed ({error}); pip install 'edgecv[build]'"
        ) from error
    place = busiest_place(candidates)
    every = points(candidates, place)
    figure = Figure(figsize=(8, 5), layout="constrained")
    axes = figure.add_subplot(
        xlabel=f"latency p50, ms ({place})" if place else "file, MB",
        ylabel="top-1, % (bars: two standard errors)",
    )
    for family in sorted({point.family for point in every}):
        own = [point for point in every if point.family == family]
        across, up = [point.cost for point in own], [point.percent for point in own]
        errors = [2 * point.error for point in own]
        axes.errorbar(across, up, yerr=errors, label=family, fmt="o", ms=5, elinewidth=0.7)
    lines = fronts(every)
    for style, (data, best) in zip(cycle(LINE_STYLES), lines.items(), strict=False):
        across, up = [point.cost for point in best], [point.percent for point in best]
        label = f"front, {data}" if len(lines) > 1 else "front"
        axes.step(across, up, style, color="black", where="post", lw=1, label=label)
    axes.grid(alpha=0.25)
    axes.legend(fontsize="small")
    with write_atomically(path) as partial:
        figure.savefig(partial, dpi=150, format="png")
    return path
