"""What the model's scores lose when one activation, and nothing else, is stored in 8 bits.

The float model is cut behind the activation; the part before it has run once, the part behind it
runs for each range that is tried, fed with what that range makes of the values.
"""

import numpy as np
import numpy.typing as npt

from edgecv.artifacts import Range
from edgecv.quantize.activations import Values
from edgecv.quantize.forward import Forward
from edgecv.tflite.graph import Graph

Floats = npt.NDArray[np.float32]


def scores_tensor(graph: Graph) -> int:
    """The tensor that holds the model's scores, before a SOFTMAX or copy that ends the model."""
    tensor = int(graph.subgraph.outputs[0])
    makers = {int(output): each for each in graph.operators for output in each.outputs}
    while tensor in makers and graph.code(makers[tensor]) in {"SOFTMAX", "RESHAPE", "SQUEEZE"}:
        tensor = int(makers[tensor].inputs[0])
    return tensor


class Probe:
    """The float model behind one activation, on the images that `forward` has run up to it."""

    def __init__(self, forward: Forward, tensor: int) -> None:
        graph = forward.graph
        self.tensor, self.scores = tensor, scores_tensor(graph)
        self.kept = forward.behind(tensor)
        self.interpreter = forward.rest(self.scores)
        self.exact = self._run(None)

    def loss(self, stored: Range) -> float:
        """The squared error of the scores as a share of their variance, over all images."""
        found = self._run(stored)
        return float(np.square(found - self.exact).mean() / (self.exact.var() + 1e-20))

    def _run(self, stored: Range | None) -> Floats:
        """The scores of each image [images, classes]."""
        rows = []
        for values in self.kept:
            for tensor, value in values.items():
                changed = stored is not None and tensor == self.tensor
                given = in_8_bits(value, stored) if changed and stored else value
                self.interpreter.set_tensor(tensor, given)
            self.interpreter.invoke()
            rows.append(self.interpreter.get_tensor(self.scores).ravel())
        found: Floats = np.stack(rows)
        return found


def in_8_bits(values: Values, stored: Range) -> Floats:
    """What is left of values that are stored in 256 steps over a range that holds zero."""
    step = np.float32((stored.high - stored.low) / 255)
    zero = round(-stored.low / float(step))
    grid: Floats = np.rint(values * (1 / step))
    np.clip(grid, -zero, 255 - zero, out=grid)
    grid *= step
    return grid
