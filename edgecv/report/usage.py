"""What goes into the model of a run and what comes out, in words and as code that runs it."""

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from edgecv.tflite import contract, feeding, pixels
from edgecv.tflite.contract import ImageInput
from edgecv.tflite.pixels import Grid
from edgecv.tflite.scores import KINDS, Output

SHOWN_LABELS = 12


class Usage(NamedTuple):
    """Both ends of a model, by their names, and the code that feeds it."""

    ends: Mapping[str, str]
    code: Mapping[str, str]  # by language


def usage(model: Path) -> Usage:
    """The input and output of a model's file. Raises UnsupportedModelError as `contract.read`."""
    interface = contract.read(model)
    code = {"Python": feeding.render_python(model), "C++": feeding.render_cpp(model)}
    ends = _input(interface.image) | _output(interface.output)
    return Usage(ends, code)


def _input(image: ImageInput) -> dict[str, str]:
    shape = f"{image.grid.dtype} [1, {image.height}, {image.width}, {image.channels}]"
    colors = "red, green, blue" if image.channels == 3 else "gray"
    crop = "all of it" if image.crop == 1 else f"its central {100 * image.crop:g} %"
    return {
        "input": f"{shape}, {colors}{_grid(image.grid)}",
        "pixels": _pixels(image),
        "crop": f"of a photograph, {crop}: a square, scaled to {image.width} x {image.height}",
    }


def _pixels(image: ImageInput) -> str:
    """How a pixel of 0 to 255 is stored."""
    if not pixels.takes_bytes(image.grid, image.normalization):
        return f"0 to 255 go in as {pixels.words(image.normalization)}"
    if image.grid.dtype == "int8":
        return "0 to 255 go in less 128"
    return "0 to 255 go in as they are"


def _output(output: Output) -> dict[str, str]:
    shape = ", ".join(str(size) for size in (1, *output.shape))
    names = ", ".join(output.labels[:SHOWN_LABELS])
    more = len(output.labels) - SHOWN_LABELS
    labels = {"labels": names + (f" and {more} more, in labels.txt" if more > 0 else "")}
    return {
        "output": f"{output.grid.dtype} [{shape}]{_grid(output.grid)}: {KINDS[output.kind]}",
        **(labels if output.labels else {}),
    }


def _grid(grid: Grid) -> str:
    """The real number that a stored one stands for."""
    if not (grid.is_integer and grid.scale):
        return ""
    return f"; real number = {grid.scale:.6g} x (stored - {grid.zero_point})".replace("- -", "+ ")
