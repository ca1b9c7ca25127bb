"""Where the time of an inference goes, as a page: a bar for every operator and every type of them.

The profile is the result of `profile.operators`, the content of an `.operators.json` file.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from edgecv.report import figures
from edgecv.report.environment import environment
from edgecv.report.tables import Bar, Cell, Table

Row = Mapping[str, Any]


def operators_page(name: str, profile: Mapping[str, Any]) -> str:
    """The whole page of one model's profile; opens without a network."""
    template = environment().get_template("operators.html.jinja")
    return template.render(
        name=name,
        profile=profile,
        types=by_type(profile["types"]),
        operators=in_order(profile["operators"]),
        checks=checks(profile["prefixes"]),
    )


def by_type(types: Sequence[Row]) -> Table:
    """A row for every type of operator."""
    columns = ["operator", "", "count", "µs", "share", "MACs", "bytes"]
    rows = [[row["operator"], _bar(row, types), str(row["count"]), *_figures(row)] for row in types]
    return Table("Time by type of operator", columns, rows)


def in_order(operators: Sequence[Row]) -> Table:
    """A row for every operator, in the order they run; the bars of a delegate's are strong."""
    columns = ["operator", "", "output", "µs", "share", "MACs", "bytes", "run by"]
    rows = [_operator(row, operators) for row in operators]
    return Table("Time by operator", columns, rows, ["output", "run by"])


def _operator(row: Row, rows: Sequence[Row]) -> list[Cell]:
    shape = "×".join(map(str, row["shape"]))
    if "ms" not in row:
        return [row["operator"], "", shape, "", "", "", "", f"not measured: {row['reason']}"]
    return [row["operator"], _bar(row, rows), shape, *_figures(row), row["delegate"]]


def checks(prefixes: Sequence[Row]) -> Table:
    """The first operators as one model beside the sum of them, each alone."""
    columns = ["first operators", "as one model, µs", "sum, µs", "difference"]
    rows = [
        [
            str(row["operators"]),
            _microseconds(row["ms"]),
            _microseconds(row["sum_ms"]),
            f"{100 * (row['ms'] - row['sum_ms']) / row['ms']:+.1f} %" if row["ms"] else "",
        ]
        for row in prefixes
    ]
    return Table("Sums as a check", columns, rows)


def _bar(row: Row, rows: Sequence[Row]) -> Bar:
    """A bar as long as its share of the longest."""
    longest = max((other["ms"] for other in rows if "ms" in other), default=0.0)
    return Bar(row["ms"] / longest if longest else 0.0, row.get("delegate") != "builtin")


def _figures(row: Row) -> list[str]:
    return [
        _microseconds(row["ms"]),
        figures.percent(row["share"]),
        figures.amount(row["macs"]),
        figures.size(row["bytes"]),
    ]


def _microseconds(ms: float) -> str:
    return figures.milliseconds(1e3 * ms)
