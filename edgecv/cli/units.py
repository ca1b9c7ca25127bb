"""Types of options: quantities with a unit, and one of a few words."""

import math
import re
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

import click

from edgecv.errors import nearest


class Quantity(click.ParamType[float]):
    """A number with a unit, above 0 unless `zero`; `30ms` becomes 30.0, in the first unit."""

    name = "quantity"

    def __init__(
        self, units: Mapping[str, str], most: float = float("inf"), zero: bool = False
    ) -> None:
        self.units = {name.lower(): Decimal(factor) for name, factor in units.items()}
        self.words = " | ".join(name or "a share" for name in units)
        self.most, self.zero = most, zero
        self.number = "a number" if zero else "a number above 0"

    def get_metavar(self, param: click.Parameter, ctx: click.Context) -> str:  # noqa: ARG002
        """How help writes a value."""
        return "NUMBER"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The number, or a click.BadParameter."""
        if isinstance(value, float):
            return value
        match = re.fullmatch(r"(\d+(?:\.\d*)?|\.\d+)\s*([A-Za-z%]*)", value.strip())
        if not match or match[2].lower() not in self.units or not (self.zero or float(match[1])):
            words = f"must be {self.number} with a unit, {self.words}, got {value!r}"
            self.fail(words, param, ctx)
        number = float(Decimal(match[1]) * self.units[match[2].lower()])  # exact: 57 % is 0.57
        if number > self.most:
            self.fail(f"must be 0 to {self.most:g}, or a percentage, got {value!r}", param, ctx)
        return number


class Points(click.ParamType[float]):
    """Points of top-1, 0 to 100."""

    name = "points"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The number, or a click.BadParameter."""
        try:
            number = float(value)
        except ValueError:
            number = math.nan
        if not 0 <= number <= 100:
            self.fail(f"must be 0 to 100, got {value}", param, ctx)
        return number


class OneOf(click.Choice[str]):
    """One of a few words; a wrong one is answered as the recipe answers it."""

    def get_invalid_choice_message(self, value: Any, ctx: click.Context | None) -> str:  # noqa: ARG002
        """The choices, the word that was given, and the nearest choice."""
        words = [str(choice) for choice in self.choices]
        return f"must be {' | '.join(words)}, got {value!r}{nearest(str(value), words)}"


POINTS = Points()
LATENCY = Quantity({"ms": "1", "s": "1000", "us": "0.001"})
SIZE = Quantity({"MB": "1e6", "kB": "1e3", "MiB": "1048576", "KiB": "1024", "B": "1"})
MACS = Quantity({"M": "1e6", "G": "1e9", "k": "1e3"})
GROWTH = Quantity({"%": "0.01", "": "1"}, zero=True)
SHARE = Quantity({"%": "0.01", "": "1"}, most=1)
