"""Options that several commands share."""

import math
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import click

from edgecv.artifacts import Normalization
from edgecv.cli import completion
from edgecv.cli.recipe_flags import flag
from edgecv.cli.units import LATENCY
from edgecv.errors import RecipeError
from edgecv.recipe import PruneOptions, Recipe

Command = TypeVar("Command", bound=Callable[..., Any])

MODEL = (
    flag("model.width", "Width multiplier, e.g. 0.75.", "as published"),
    flag("model.resolution", "Input side in pixels, e.g. 160.", "as published"),
    flag("model.depth", "Depth multiplier; EfficientNet only.", "as published"),
    flag("model.classes", "Number of classes.", "the data's"),
    flag("model.padding", "Zeros around an image: same, symmetric, valid.", "the weights'"),
    flag("model.lanes", "Round channels up to what fills an Edge TPU."),
)
PRUNE = (
    flag("prune.sparsity", "Share of zeros.", "magnitude 0.5, xnnpack 0.75"),
    flag("prune.keep", "For channels: the share of them that stays."),
    flag("prune.macs", "For channels: the share of multiply-accumulates that stays.", "0.5"),
    flag(
        "prune.latency_ms",
        "For channels: largest p50 in int8 on --device, e.g. 30ms.",
        type=LATENCY,
    ),
    flag(
        "prune.device",
        "Where --max-latency is measured: a device's name or file.",
        shell_complete=completion.devices,
    ),
    flag("prune.compare", "Compare all kinds, and a dense model trained at the pruned size."),
)
QUANTIZE = (
    flag("quantize.calibration", "A folder of images that set the int8 ranges.", "training images"),
    flag("quantize.images", "How many of them set the ranges."),
    flag("quantize.method", "How the int8 ranges are chosen."),
    flag("quantize.input", "Type of an int8 model's pixels; int8: pixel ^ 0x80, a bit faster."),
    flag("quantize.output", "Type of an int8 model's scores."),
    flag("quantize.target", "What the model is to run on; coral adds the plan for the Edge TPU."),
)


def check_device(recipe: Recipe) -> None:
    """Raise RecipeError where --device names a board that nothing would be measured on."""
    prune = recipe.prune
    if prune.device != PruneOptions.device and prune.latency_ms is None:
        raise RecipeError(
            f"--device {prune.device}: is where pruning measures for --max-latency; to measure the"
            f" model that is built: edgecv profile MODEL --device {prune.device}"
        )


def device_option(words: str, **attributes: Any) -> Callable[[Command], Command]:
    """The option --device, whose names the shell completes."""
    attributes = {"help": words, "metavar": "DEVICE", **attributes}
    return click.option("--device", shell_complete=completion.devices, **attributes)


def pixel_options(command: Command) -> Command:
    """Add --mean and --std, for a model that does not say what its input takes."""
    words = "one number, or one each for red, green and blue: 123.7,116.3,103.5"
    for name, what in (("std", "Divides"), ("mean", "Subtracted from")):
        shown = f"{what} each pixel (0..255) before a float input; {words}."
        command = click.option(f"--{name}", help=shown)(command)
    return command


def normalization(mean: str | None, std: str | None) -> Normalization | None:
    """The normalization of --mean and --std; None when neither is given. Raises RecipeError."""
    if mean is None and std is None:
        return None
    normalization = Normalization(_three("mean", mean or "0"), _three("std", std or "1"))
    if min(normalization.std) <= 0:
        raise RecipeError(f"--std: must be more than 0, got {std}")
    return normalization


def _three(flag: str, text: str) -> tuple[float, float, float]:
    """One number for each channel."""
    try:
        numbers = [float(number) for number in text.split(",")]
    except ValueError:
        numbers = []
    if len(numbers) not in (1, 3) or not all(map(math.isfinite, numbers)):
        raise RecipeError(f"--{flag}: must be one number or three with commas between, got {text}")
    red, green, blue = numbers * (3 // len(numbers))
    return red, green, blue


json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON on stdout.")


def coral_words(estimated: Mapping[str, Any]) -> str:
    """A model's estimate on an Edge TPU, in one line."""
    words = f"{estimated['verdict']}, {estimated['mapped']} of {estimated['operators']} operators"
    words += f", {estimated['parameter_bytes'] / 2**20:.2f} MiB {estimated['cache']}"
    for latency in estimated["latency"][:1]:
        words += f", {latency['low_ms']:.1f} to {latency['high_ms']:.1f} ms by USB 3"
    return f"{words} (estimated)"
