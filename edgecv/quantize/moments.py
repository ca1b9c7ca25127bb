"""Activations without images: distributions carried through a float graph from its batch norms.

Behind a batch norm a channel is taken to be normal (Nagel et al., Data-Free Quantization, 2019).
Here every activation is a function of such a normal variable, tabulated over its deviations: a
ReLU6 clips the table, a hard-swish multiplies two tables of one variable. So clipped moments and
the ends of ranges come from one table. Where variables meet (ADD, layers without a batch norm)
they are taken to be independent, and the result to be normal again.
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from edgecv.artifacts import Range
from edgecv.errors import UnsupportedModelError
from edgecv.quantize.layers import Layer, as_matrix, layers
from edgecv.quantize.ranges import BOUNDS, image_range
from edgecv.tflite.batchnorm import Normal
from edgecv.tflite.graph import Graph, OperatorT

Floats = npt.NDArray[np.floating[Any]]
NODES = np.linspace(-6, 6, 241)  # deviations
DENSITY = np.exp(-np.square(NODES) / 2) / np.exp(-np.square(NODES) / 2).sum()
# How much wider a weighted sum of features is than if they were independent: they come together.
# At 1 the scores of road signs are cut to half of what they reach; 1.5 to 3 are alike.
TOGETHER = 2.0
IMAGE_STD = 0.25  # of a photograph's pixels, as a share of their range


class Table(NamedTuple):
    """An activation's values [channels, NODES] as its normal variable moves, and which that is."""

    values: Floats
    variable: int  # the tensor where it first appeared

    @property
    def mean(self) -> Floats:
        """The expected value of each channel."""
        return np.asarray(self.values @ DENSITY)

    @property
    def variance(self) -> Floats:
        """The variance of each channel."""
        return np.asarray(np.square(self.values) @ DENSITY - np.square(self.mean))

    def ends(self) -> tuple[Floats, Floats]:
        """The lowest and highest value of each channel [channels, 1]."""
        return self.values.min(1, keepdims=True), self.values.max(1, keepdims=True)

    def clipped(self, low: Floats | float, high: Floats | float) -> "Table":
        """The same variable, its values cut off at both ends."""
        return self._replace(values=self.values.clip(low, high))

    def range(self, deviations: float) -> Range:
        """The lowest and highest value of any channel, so many deviations around its mean."""
        usual = self.values[:, np.abs(NODES) <= deviations + 1e-9]
        return Range(float(usual.min()), float(usual.max()))


def tables(graph: Graph, recorded: Mapping[str, Normal], name: str) -> dict[int, Table]:
    """Every activation of a float graph, by its tensor, from the batch norms recorded for it.

    Raises UnsupportedModelError, which calls the model `name`, at an operator without a rule.
    """
    walk = _Propagation(graph, recorded)
    for operator in graph.operators:
        rule = RULES.get(graph.code(operator))
        if rule is None:
            raise UnsupportedModelError(
                f"{name}: {graph.code(operator)} has no rule for ranges without images;"
                " calibrate with a folder of images"
            )
        rule(walk, operator)
    return walk.tables


def normal(mean: Floats, variance: Floats, tensor: int) -> Table:
    """A new normal variable for each channel."""
    deviation = np.sqrt(np.maximum(variance, 0))
    return Table(mean[:, np.newaxis] + deviation[:, np.newaxis] * NODES, tensor)


class _Propagation:
    """One pass over a graph's operators that fills in their outputs' tables."""

    def __init__(self, graph: Graph, recorded: Mapping[str, Normal]) -> None:
        self.graph, self.recorded = graph, recorded
        self.layers: dict[int, Layer] = {layer.output: layer for layer in layers(graph)}
        entry = int(graph.subgraph.inputs[0])
        low, high = image_range(graph.model)
        mean, deviation = (low + high) / 2, IMAGE_STD * (high - low)
        pixels = normal(np.full(3, mean), np.full(3, deviation**2), entry)
        self.tables = {entry: pixels.clipped(low, high)}

    def keep(self, operator: OperatorT, table: Table) -> None:
        """An operator's output, behind the activation fused into it."""
        code = self.graph.code(operator)
        bounds = BOUNDS.get(code) or BOUNDS.get(self.graph.fused(operator))
        if bounds:
            table = table.clipped(*bounds)
        self.tables[int(operator.outputs[0])] = table

    def operands(self, operator: OperatorT) -> tuple[list[Table], list[Floats]]:
        """The inputs that are activations, the widest first, and those that are constants."""
        inputs = list(map(int, operator.inputs))
        made = sorted((t for t in inputs if t in self.tables), key=self._size)
        constants = [self.graph.constant(t) for t in inputs if t not in self.tables]
        return [self.tables[t] for t in made], [c for c in constants if c is not None]

    def _size(self, tensor: int) -> int:
        return -int(np.prod(self.graph.shape(tensor)))

    def weighted(self, operator: OperatorT) -> None:
        """A layer: as its batch norm says, else from its weights and its inputs' moments."""
        output = int(operator.outputs[0])
        recorded = self.recorded.get(self.graph.name(output))
        if recorded:
            table = normal(recorded.mean, np.square(recorded.std), output)
        else:
            table = self._computed(self.layers[output])
        self.keep(operator, table)

    def _computed(self, layer: Layer) -> Table:
        """The output of a layer without a batch norm; of a 1x1 depthwise one, exact."""
        graph, given = self.graph, self.tables[layer.input]
        matrix = as_matrix(layer, np.asarray(graph.constant(layer.weights), float))
        bias = graph.constant(layer.bias) if layer.bias >= 0 else None
        shift = np.zeros(matrix.shape[0] * matrix.shape[1]) if bias is None else bias.astype(float)
        if layer.depthwise and matrix.shape[2] == 1 and len(matrix) == len(given.values):
            return given._replace(values=given.values * matrix[:, 0] + shift[:, np.newaxis])
        mean = (matrix * expected(layer, matrix, given.mean)).sum(2).reshape(-1)
        variance = (np.square(matrix) * expected(layer, matrix, given.variance)).sum(2)
        return normal(mean + shift, TOGETHER**2 * variance.reshape(-1), layer.output)

    def add(self, operator: OperatorT) -> None:
        """A sum: with a constant exact, of independent variables by their moments."""
        (first, *others), constants = self.operands(operator)
        for constant in constants:
            shift = constant.reshape(-1, 1).astype(float)
            first = first._replace(values=first.values + shift)
        for other in others:
            if other.variable == first.variable:
                first = first._replace(values=first.values + other.values)
                continue
            mean, variance = first.mean + other.mean, first.variance + other.variance
            low, high = (a + b for a, b in zip(first.ends(), other.ends(), strict=True))
            first = normal(mean, variance, int(operator.outputs[0])).clipped(low, high)
        self.keep(operator, first)

    def multiply(self, operator: OperatorT) -> None:
        """A product: exact of one variable, and by a gate of another at the gate's usual size."""
        (first, *others), constants = self.operands(operator)
        for constant in constants:
            first = first._replace(values=first.values * constant.reshape(-1, 1).astype(float))
        for other in others:
            same = other.variable == first.variable
            usual = np.sqrt(np.square(other.values) @ DENSITY)[:, np.newaxis]
            first = first._replace(values=first.values * (other.values if same else usual))
        self.keep(operator, first)

    def logistic(self, operator: OperatorT) -> None:
        """The sigmoid of each value."""
        table = self.tables[int(operator.inputs[0])]
        self.keep(operator, table._replace(values=1 / (1 + np.exp(-table.values))))

    def unchanged(self, operator: OperatorT) -> None:
        """The output of an operator that copies its input, picks from it or clips it.

        Flattened pixels become channels.
        """
        table = self.tables[int(operator.inputs[0])]
        channels = self.graph.shape(int(operator.outputs[0]))[-1]
        times = max(1, channels // len(table.values))
        self.keep(operator, table._replace(values=np.tile(table.values, (times, 1))))

    def mean(self, operator: OperatorT) -> None:
        """A mean over pixels, taken to vary as much from image to image as one pixel does."""
        table = self.tables[int(operator.inputs[0])]
        means = normal(table.mean, table.variance, int(operator.outputs[0]))
        self.keep(operator, means.clipped(*table.ends()))

    def concatenate(self, operator: OperatorT) -> None:
        """The channels of all inputs, in their order."""
        values = [self.tables[int(t)].values for t in operator.inputs]
        self.keep(operator, Table(np.concatenate(values), int(operator.outputs[0])))


def expected(layer: Layer, matrix: Floats, by_channel: Floats) -> Floats:
    """A figure of each input channel, laid out as the layer's weights [groups, outputs, taps]."""
    if layer.depthwise:
        return np.repeat(by_channel, len(matrix) // len(by_channel))[:, np.newaxis, np.newaxis]
    return np.tile(by_channel, matrix.shape[2] // len(by_channel))[np.newaxis, np.newaxis]


RULES: dict[str, Callable[[_Propagation, OperatorT], None]] = {
    **dict.fromkeys(("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED"), _Propagation.weighted),
    **dict.fromkeys(("RELU", "RELU6", "PAD", "MAX_POOL_2D"), _Propagation.unchanged),
    **dict.fromkeys(("RESHAPE", "SQUEEZE", "SOFTMAX"), _Propagation.unchanged),
    **dict.fromkeys(("MEAN", "AVERAGE_POOL_2D"), _Propagation.mean),
    "ADD": _Propagation.add,
    "MUL": _Propagation.multiply,
    "LOGISTIC": _Propagation.logistic,
    "CONCATENATION": _Propagation.concatenate,
}
