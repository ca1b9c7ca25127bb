"""The scale of pixels as a model's first operators have it: `x / 127.5 - 1` takes 0 to 255."""

import numpy as np
import numpy.typing as npt

from edgecv.artifacts import CENTERED, Normalization
from edgecv.tflite.graph import Graph
from edgecv.tflite.pixels import BYTES, IMAGENET, UNIT

Floats = npt.NDArray[np.float64]
CHAIN = {"MUL", "ADD", "SUB", "DIV"}
WIDTHS = (0.5, 20.0)  # of what networks take for 0..255: [0, 1] has 1, a standard deviation of 30 8
CLOSE = 0.02  # of a factor: 1/127, 1/127.5 and 1/128 are one scale


def normalization_inside(graph: Graph) -> Normalization | None:
    """The normalization that the model's own first operators imply; None where they imply none.

    Only multiplications and sums with constants are followed, up to the first other operator.
    """
    factor, offset = np.ones(3), np.zeros(3)
    tensor, steps = int(graph.subgraph.inputs[0]), 0
    while constant := _step(graph, tensor):
        code, values, tensor = constant
        factor, offset, steps = *_applied(code, factor, offset, values), steps + 1
    if not steps:
        return None
    widths = 255 * factor
    if WIDTHS[0] <= widths.min() and widths.max() <= WIDTHS[1]:
        return BYTES
    for inner in (CENTERED, IMAGENET):  # of what [0, 1] becomes
        mean, std = np.array(inner) / 255
        if np.allclose(factor, 1 / std, rtol=CLOSE) and np.allclose(offset, -mean / std, atol=0.05):
            return UNIT
    return None


def _step(graph: Graph, tensor: int) -> tuple[str, Floats, int] | None:
    """The one operator that reads a tensor, its constant for each channel, and what it makes."""
    readers = [operator for operator in graph.operators if tensor in map(int, operator.inputs)]
    if len(readers) != 1 or graph.code(readers[0]) not in CHAIN:
        return None
    first, second = map(int, readers[0].inputs[:2])
    code = graph.code(readers[0])
    swapped = second == tensor
    if swapped and code in ("SUB", "DIV"):
        return None
    values = graph.constant(first if swapped else second)
    if values is None or values.size not in (1, 3) or graph.fused(readers[0]) != "NONE":
        return None
    whole = np.broadcast_to(values.astype(np.float64).ravel(), 3)
    return code, whole, int(readers[0].outputs[0])


def _applied(code: str, factor: Floats, offset: Floats, values: Floats) -> tuple[Floats, Floats]:
    """`factor * x + offset` after one more operator."""
    if code in ("ADD", "SUB"):
        return factor, offset + (values if code == "ADD" else -values)
    by = values if code == "MUL" else 1 / np.where(values, values, np.nan)
    return factor * by, offset * by
