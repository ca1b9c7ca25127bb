"""Which layers an int8 model loses by, as a chart of bars: a page of its own, or part of another.

Rows are those of a `.sensitivity.json` file: the fields of `quantize.sensitivity.Sensitivity`.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from edgecv.report.environment import environment

SHOWN = 30  # layers; the others are in the file


class LayerCost(NamedTuple):
    """One layer's bar, as long as its share of the costliest layer's loss."""

    row: Mapping[str, Any]
    share: float


class Costs(NamedTuple):
    """The costliest layers, and how many there are in all."""

    bars: list[LayerCost]
    layers: int
    labeled: bool  # whether the drop of top-1 is known


def costs(rows: Sequence[Mapping[str, Any]]) -> Costs:
    """The chart of rows that come costliest first; empty without rows."""
    most = max((row["loss"] for row in rows), default=0.0)
    bars = [
        LayerCost(row, max(0.0, row["loss"]) / most if most > 0 else 0.0) for row in rows[:SHOWN]
    ]
    return Costs(bars, len(rows), bool(rows) and rows[0]["top1_drop"] is not None)


def sensitivity_page(name: str, rows: Sequence[Mapping[str, Any]], images: int) -> str:
    """The whole page of one int8 file, measured on so many images; opens without a network."""
    template = environment().get_template("sensitivity.html.jinja")
    return template.render(name=name, chart=costs(rows), images=images)
