"""The loss of the model's scores when one activation, and nothing else, is stored in 8 bits.

The float model is cut behind the activation; the part before it has run once, the part behind it
runs for each range that is tried, fed with what that range makes of the values.
"""

import numpy as np
import numpy.typing as npt

from edgecv.artifacts import Range
from edgecv.quantize.activations import Values
from edgecv.quantize.forward import Forward
from edgecv.quantize.judge import Floats as Losses
from edgecv.quantize.judge import losses, scores_tensor
from edgecv.tflite import contract

Floats = npt.NDArray[np.float32]


class Probe:
    """The float model behind one activation, on the images that `forward` has run up to it."""

    def __init__(self, forward: Forward, tensor: int, exact: Floats) -> None:
        self.tensor, self.exact = tensor, exact
        self.scores = scores_tensor(forward.graph)
        self.output = contract.read_model(forward.graph.model).output
        self.kept = forward.behind(tensor)
        self.rest = forward.rest(self.scores)

    def losses(self, stored: Range) -> Losses:
        """The loss of the scores (see `judge.losses`) for each image."""
        rows = []
        for values in self.kept:
            for tensor, value in values.items():
                changed = in_8_bits(value, stored) if tensor == self.tensor else value
                self.rest.set_tensor(tensor, changed)
            self.rest.invoke()
            rows.append(self.rest.get_tensor(self.scores).ravel())
        return losses(self.exact, np.stack(rows), self.output)


def in_8_bits(values: Values, stored: Range) -> Floats:
    """Values as 256 steps over a range that holds zero store them."""
    step = np.float32((stored.high - stored.low) / 255)
    zero = round(-stored.low / float(step))
    grid: Floats = np.rint(values * (1 / step))
    np.clip(grid, -zero, 255 - zero, out=grid)
    grid *= step
    return grid
