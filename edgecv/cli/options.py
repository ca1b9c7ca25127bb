"""Options that several commands share."""

from collections.abc import Callable
from typing import Any, TypeVar

import click

Command = TypeVar("Command", bound=Callable[..., Any])

MODEL = (
    click.option("--width", type=float, help="Width multiplier, e.g. 0.75."),
    click.option("--res", "resolution", type=int, help="Input side in pixels, e.g. 160."),
    click.option("--depth", type=float, help="Depth multiplier; EfficientNet only."),
    click.option("--classes", type=int, help="Number of classes; the data's own if left out."),
)


def model_options(command: Command) -> Command:
    """Add the options that shape an architecture."""
    for each in reversed(MODEL):
        command = each(command)
    return command


json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON on stdout.")
