"""Which layers an int8 model loses by, as a chart of bars: a page of its own, or part of another.

Rows are those of a `.sensitivity.json` file: the fields of `quantize.sensitivity.Sensitivity`.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from edgecv.report import figures
from edgecv.report.environment import environment
from edgecv.report.tables import Bar, Cell, Table

SHOWN = 30  # layers that are not folded away
TAIL = 0.01  # of the costliest layer's loss; what costs less is folded away
LEAST = 1e-4  # nats; a loss below it is no figure


class Costs(NamedTuple):
    """The layers that cost most, and the others, which a reader may skip."""

    worst: Table
    rest: Table
    layers: int
    tail: float = TAIL


def costs(rows: Sequence[Mapping[str, Any]]) -> Costs:
    """The chart of rows that come costliest first; empty without rows."""
    most = max((row["loss"] for row in rows), default=0.0)
    labeled = bool(rows) and rows[0]["top1_drop"] is not None
    costly = sum(row["loss"] > TAIL * most for row in rows[:SHOWN]) or min(1, len(rows))
    columns = ["layer", "", "operator", "loss", "same answer"]
    columns += ["top-1 lost"] * labeled + ["SNR, dB"]
    cells = [_cells(row, most, labeled) for row in rows]
    worst, rest = (
        Table(name, columns, part, ["operator"])
        for name, part in (("Costliest layers", cells[:costly]), ("Others", cells[costly:]))
    )
    return Costs(worst, rest, len(rows))


def _cells(row: Mapping[str, Any], most: float, labeled: bool) -> list[Cell]:
    share = max(0.0, row["loss"]) / most if most > 0 else 0.0
    return [
        row["layer"],
        Bar(share, final=True),
        row["operator"],
        f"{row['loss']:.2g}" if row["loss"] >= LEAST else f"< {LEAST:g}",
        figures.percent(row["agreement"]),
        *([f"{row['top1_drop']:.1f}"] if labeled else []),
        f"{row['snr_db']:.1f}",
    ]


def sensitivity_page(name: str, rows: Sequence[Mapping[str, Any]], images: int) -> str:
    """The whole page of one int8 file, measured on so many images; opens without a network."""
    template = environment().get_template("sensitivity.html.jinja")
    return template.render(name=name, chart=costs(rows), images=images)
