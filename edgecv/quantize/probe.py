"""What the model's scores lose when one activation, and nothing else, is stored in 8 bits.

The float model is cut behind the activation; the part before it runs once, the part behind it for
each range that is tried, fed with what that range makes of the values.
"""

import os
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from edgecv.artifacts import Range
from edgecv.quantize.activations import Image, Values, activations
from edgecv.tflite import flatbuffer, runtime
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
    """The float model behind one activation, on some images."""

    def __init__(self, flat: flatbuffer.ModelT, tensor: int, images: Sequence[Image]) -> None:
        graph = Graph(flat)
        self.tensor, self.scores = tensor, scores_tensor(graph)
        place = next(
            index
            for index, each in enumerate(graph.operators)
            if tensor in set(map(int, each.outputs))
        )
        self.needed = _alive(graph, place)
        self.kept = [
            {each: seen(each) for each in self.needed}
            for seen in activations(flat, self.needed, images)
        ]
        self.interpreter = runtime.load(
            _behind(graph, place, self.needed, self.scores), num_threads=os.cpu_count() or 1
        )
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


def _alive(graph: Graph, place: int) -> list[int]:
    """The activations made up to an operator that are read after it."""
    made = {int(tensor) for each in graph.operators[: place + 1] for tensor in each.outputs}
    made |= set(map(int, graph.subgraph.inputs))
    read = {int(tensor) for each in graph.operators[place + 1 :] for tensor in each.inputs}
    return sorted(made & read)


def _behind(graph: Graph, place: int, needed: list[int], scores: int) -> bytes:
    """The bytes of the model that begins behind an operator."""
    flat, subgraph = graph.model, graph.subgraph
    kept = subgraph.inputs, subgraph.outputs, subgraph.operators, flat.signatureDefs
    subgraph.inputs, subgraph.outputs = np.array(needed, np.int32), np.array([scores], np.int32)
    subgraph.operators, flat.signatureDefs = graph.operators[place + 1 :], []
    try:
        return flatbuffer.serialized(flat)
    finally:
        subgraph.inputs, subgraph.outputs, subgraph.operators, flat.signatureDefs = kept
