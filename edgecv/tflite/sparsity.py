"""Which weights of a .tflite are zero, layer by layer: what pruning really left in the file."""

from typing import NamedTuple

import numpy as np

from edgecv.tflite.flatbuffer import ModelT
from edgecv.tflite.graph import Graph

WEIGHTED = ("CONV_2D", "FULLY_CONNECTED")  # a depthwise kernel is never pruned
GROUP = 4  # neighboring weights of a 2:4 pattern, along the input channels


class Zeros(NamedTuple):
    """One layer's weights."""

    layer: str  # the tensor it makes
    weights: int
    zeros: int
    two_of_four: bool  # whether at least two of each four neighbors are zero

    @property
    def share(self) -> float:
        """The sparsity."""
        return self.zeros / self.weights


def zeros(model: ModelT) -> list[Zeros]:
    """The convolutions and fully connected layers of a model, in the order they run."""
    graph = Graph(model)
    rows = []
    for operator in graph.operators:
        values = (
            graph.constant(int(operator.inputs[1])) if graph.code(operator) in WEIGHTED else None
        )
        if values is not None:  # int8 weights are symmetric: their zero is 0
            name = graph.name(int(operator.outputs[0]))
            count = int((values == 0).sum())
            rows.append(Zeros(name, values.size, count, _two_of_four(values == 0)))
    return rows


def share(rows: list[Zeros]) -> float:
    """The zeros of some layers among all their weights; 0 without a layer."""
    weights = sum(row.weights for row in rows)
    return sum(row.zeros for row in rows) / weights if weights else 0.0


def _two_of_four(zero: np.ndarray[tuple[int, ...], np.dtype[np.bool_]]) -> bool:
    """Whether two of each four neighbors on the last axis are zero, a rest filled up."""
    rest = -zero.shape[-1] % GROUP
    rows = zero.reshape(-1, zero.shape[-1])
    padded = np.pad(rows, ((0, 0), (0, rest)), constant_values=True)
    return bool((padded.reshape(-1, GROUP).sum(1) >= GROUP // 2).all())
