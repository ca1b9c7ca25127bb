"""Options that several commands share."""

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import fields
from decimal import Decimal
from typing import Any, TypeVar

import click

from edgecv.artifacts import Normalization
from edgecv.errors import RecipeError
from edgecv.recipe import IMPORTANCES, PruneOptions

Command = TypeVar("Command", bound=Callable[..., Any])

KEYS = fields(PruneOptions)
COMPARE = "A table of all kinds, and of a model trained at the pruned one's size."
MODEL = (
    click.option("--width", type=float, help="Width multiplier, e.g. 0.75."),
    click.option("--res", "resolution", type=int, help="Input side in pixels, e.g. 160."),
    click.option("--depth", type=float, help="Depth multiplier; EfficientNet only."),
    click.option("--classes", type=int, help="Number of classes; the data's own if left out."),
    click.option(
        "--lanes/--no-lanes", default=None, help="Channels that fill the Edge TPU's lanes."
    ),
)


def model_options(command: Command) -> Command:
    """Add the options that shape an architecture."""
    for each in reversed(MODEL):
        command = each(command)
    return command


PRUNE = (
    click.option("--sparsity", type=float, help="Share of zeros: magnitude 0.5, xnnpack 0.75."),
    click.option("--keep", type=float, help="Of channels: the share of them that stays."),
    click.option("--macs", type=float, help="Of channels: the share of multiply-accumulates."),
    click.option("--latency-ms", type=float, help="Of channels: p50 in int8 on --prune-device."),
    click.option("--prune-device", "device", help="Where candidates are measured; here if not."),
    click.option("--importance", help=f"Which channels go, by: {', '.join(IMPORTANCES)}."),
    click.option("--multiple", type=int, help="Channel counts are multiples of it; 8 if not."),
    click.option("--steps", type=int, help="Cuts, with training after each; 2 if left out."),
    click.option("--prune-epochs", type=int, help="Epochs of that training, in all."),
    click.option("--distill/--no-distill", default=None, help="Learn from the unpruned model."),
    click.option("--include", multiple=True, help="Make sparse, too: first, last, se."),
    click.option("--prune-compare/--no-prune-compare", "compare", default=None, help=COMPARE),
)


def prune_options(command: Command) -> Command:
    """Add the options of pruning, but for its kind."""
    for each in reversed(PRUNE):
        command = each(command)
    return command


def prune_flags(flags: Mapping[str, Any]) -> dict[str, object]:
    """The recipe's `[prune]` keys out of a command's flags."""
    names = {each.name: "prune_epochs" if each.name == "epochs" else each.name for each in KEYS}
    found = {key: flags.get(name) for key, name in names.items()}
    return found | {"include": list(flags["include"]) or None}


def pixel_options(command: Command) -> Command:
    """Add --mean and --std, for a model that does not say what its input takes."""
    words = "one number, or one each for red, green and blue: 123.7,116.3,103.5"
    for name, what in (("std", "Divides"), ("mean", "Subtracted from")):
        shown = f"{what} each pixel (0..255) before a float input; {words}."
        command = click.option(f"--{name}", help=shown)(command)
    return command


def normalization(mean: str | None, std: str | None) -> Normalization | None:
    """What --mean and --std say; None when neither is given. Raises RecipeError."""
    if mean is None and std is None:
        return None
    found = Normalization(_three("mean", mean or "0"), _three("std", std or "1"))
    if min(found.std) <= 0:
        raise RecipeError(f"--std: must be more than 0, got {std}")
    return found


def _three(flag: str, text: str) -> tuple[float, float, float]:
    """One number for each channel."""
    try:
        numbers = [float(each) for each in text.split(",")]
    except ValueError:
        numbers = []
    if len(numbers) not in (1, 3) or not all(map(math.isfinite, numbers)):
        raise RecipeError(f"--{flag}: must be one number or three with commas between, got {text}")
    red, green, blue = numbers * (3 // len(numbers))
    return red, green, blue


json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON on stdout.")


def coral_words(found: Mapping[str, Any]) -> str:
    """What an Edge TPU is estimated to make of a model, in one line."""
    words = f"{found['verdict']}, {found['mapped']} of {found['operators']} operators"
    words += f", {found['parameter_bytes'] / 2**20:.2f} MiB {found['cache']}"
    for each in found["latency"][:1]:
        words += f", {each['low_ms']:.1f} to {each['high_ms']:.1f} ms by USB 3"
    return f"{words} (estimated)"


UNITS = {
    "--max-latency": {"ms": "1", "s": "1000", "us": "0.001"},
    "--max-size": {"MB": "1e6", "kB": "1e3", "MiB": "1048576", "KiB": "1024", "B": "1"},
    "--max-macs": {"M": "1e6", "G": "1e9", "k": "1e3"},
    "--min-top1": {"%": "0.01", "": "1"},
}


def quantity(flag: str, text: str | None) -> float | None:
    """`30ms` as 30.0, in the flag's first unit's terms. Raises RecipeError."""
    if text is None:
        return None
    units = UNITS[flag]
    match = re.fullmatch(r"(\d+(?:\.\d*)?|\.\d+)\s*([A-Za-z%]*)", text.strip())
    by_name = {name.lower(): Decimal(factor) for name, factor in units.items()}
    if not match or match[2].lower() not in by_name or float(match[1]) == 0:
        words = " | ".join(f"{name or 'a share'}" for name in units)
        raise RecipeError(f"{flag}: must be a number above 0 with a unit, {words}, got {text!r}")
    value = float(Decimal(match[1]) * by_name[match[2].lower()])  # 57 % is 0.57, to the last bit
    if flag == "--min-top1" and value > 1:
        raise RecipeError(f"{flag}: must be 0 to 1, or a percentage, got {text!r}")
    return value
