"""A model run piece by piece on many images, each operator once, whatever happens in between."""

import os
from collections.abc import Sequence

import numpy as np

from edgecv.quantize.activations import Image, Values, part
from edgecv.tflite import contract, runtime
from edgecv.tflite.graph import Graph
from edgecv.tflite.packing import PackedTables


class Forward:
    """The activations of a model up to a place that only moves on.

    What lies before that place has been computed for all images; of it, only what is read behind
    it is kept. So layers can be looked at, or rewritten, in the order they run, each with inputs
    from the rewritten ones, without running the beginning of the model again for each.
    """

    def __init__(self, graph: Graph, images: Sequence[Image]) -> None:
        self.graph, self.place, self.packed = graph, 0, PackedTables()
        entry = int(graph.subgraph.inputs[0])
        taken = contract.read_model(graph.model).image
        self.kept: list[dict[int, Values]] = [
            {entry: taken.encode(image[np.newaxis])} for image in images
        ]

    def behind(self, tensor: int) -> list[dict[int, Values]]:
        """For each image, the stored values of all that is read behind a tensor's operator.

        The tensor is among them, and `place` behind its operator, unless it had been before.
        """
        if tensor not in self.kept[0]:
            self.advance(1 + self.graph.place(tensor))
        return self.kept

    def rest(self, output: int) -> runtime.Interpreter:
        """The model from `place` on, as it is by now: from what is kept to a tensor."""
        end = len(self.graph.operators)
        data = part(self.graph, self.place, end, [*self.kept[0]], [output], self.packed)
        return runtime.load(data, num_threads=os.cpu_count() or 1)

    def advance(self, place: int) -> None:
        """Run the operators up to a place, as they are by now."""
        if place == self.place:
            return
        operators = self.graph.operators
        read = _tensors(operators[self.place : place], "inputs")
        made = _tensors(operators[self.place : place], "outputs")
        later = _tensors(operators[place:], "inputs")
        inputs, outputs = sorted(read & set(self.kept[0])), sorted(made & later)
        data = part(self.graph, self.place, place, inputs, outputs, self.packed)
        interpreter = runtime.load(data, num_threads=os.cpu_count() or 1)
        for image, values in enumerate(self.kept):
            for tensor in inputs:
                interpreter.set_tensor(tensor, values[tensor])
            interpreter.invoke()
            old = {tensor: array for tensor, array in values.items() if tensor in later}
            self.kept[image] = old | {tensor: interpreter.get_tensor(tensor) for tensor in outputs}
        self.place = place


def _tensors(operators: Sequence[object], side: str) -> set[int]:
    """All that some operators read, or make."""
    return {int(tensor) for operator in operators for tensor in getattr(operator, side)}
