"""tradeoff.png: accuracy against latency or size, with the front, for a document or a slide."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from edgecv.errors import EdgecvError
from edgecv.files import written_whole
from edgecv.tradeoff.front import front
from edgecv.tradeoff.runs import Candidate


class Point(NamedTuple):
    """A model where it stands in the chart."""

    family: str
    cost: float
    percent: float


def busiest_place(candidates: Sequence[Candidate]) -> str | None:
    """Where most models have a valid latency; None where none has."""
    places = [one.where for each in candidates for one in each.latencies if one.valid]
    return max(sorted(set(places)), key=places.count, default=None)


def points(candidates: Sequence[Candidate], place: str | None) -> list[Point]:
    """The models with an accuracy and a valid latency there; their sizes, without a place."""
    found = []
    for each in candidates:
        there = [one.ms for one in each.latencies if one.where == place and one.valid]
        if each.top1 is not None and (there or place is None):
            found.append(Point(each.arch, there[0] if there else each.bytes / 1e6, 100 * each.top1))
    return found


def png(candidates: Sequence[Candidate], path: Path) -> Path:
    """Draw the chart. Raises EdgecvError when matplotlib is not installed."""
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise EdgecvError(
            f"the chart needs more than is installed ({error}); pip install 'edgecv[build]'"
        ) from error
    place = busiest_place(candidates)
    known = points(candidates, place)
    figure = Figure(figsize=(8, 5), layout="constrained")
    axes = figure.add_subplot(
        xlabel=f"latency p50, ms ({place})" if place else "file, MB", ylabel="top-1, %"
    )
    for family in sorted({each.family for each in known}):
        own = [each for each in known if each.family == family]
        axes.scatter([e.cost for e in own], [e.percent for e in own], label=family, s=28)
    best = sorted(known[each] for each in front([(e.cost, -e.percent) for e in known]))
    best.sort(key=lambda each: each.cost)
    axes.step(
        [e.cost for e in best], [e.percent for e in best], "k:", where="post", lw=1, label="front"
    )
    axes.grid(alpha=0.25)
    axes.legend(fontsize="small")
    with written_whole(path) as partial:
        figure.savefig(partial, dpi=150, format="png")
    return path
