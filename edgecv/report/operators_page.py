"""Where the time of an inference goes, as a page: a bar for every operator and every type of them.

The profile is the result of `profile.operators`, the content of an `.operators.json` file.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from edgecv.report.environment import environment


class Share(NamedTuple):
    """A row and its bar, as long as its share of the longest."""

    row: Mapping[str, Any]
    share: float


def shares(rows: Sequence[Mapping[str, Any]]) -> list[Share]:
    """The bars of a profile's rows, in their order; a row that was not measured has none."""
    longest = max((row["ms"] for row in rows if "ms" in row), default=0.0)
    return [Share(row, row.get("ms", 0.0) / longest if longest else 0.0) for row in rows]


def operators_page(name: str, profile: Mapping[str, Any]) -> str:
    """The whole page of one model's profile; opens without a network."""
    template = environment().get_template("operators.html.jinja")
    types, operators = shares(profile["types"]), shares(profile["operators"])
    return template.render(name=name, profile=profile, types=types, operators=operators)
