"""Convolutions and fully connected layers as matrix products on patches of their inputs."""

from typing import Any, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from edgecv.tflite.flatbuffer import schema
from edgecv.tflite.graph import Graph, OperatorT

Floats: TypeAlias = npt.NDArray[np.float32]
Indices: TypeAlias = npt.NDArray[np.intp]

WEIGHTED = ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED")


class Layer(NamedTuple):
    """An operator with weights: output channel `groups * m` reads patches of one channel group."""

    operator: OperatorT
    code: str
    input: int
    output: int
    weights: int
    bias: int  # -1 when there is none
    activation: str

    @property
    def depthwise(self) -> bool:
        """Whether each output channel reads one input channel."""
        return self.code == "DEPTHWISE_CONV_2D"


def layers(graph: Graph) -> list[Layer]:
    """The layers of a graph whose weights are in the file, in the order they run."""
    return [
        _layer(graph, operator)
        for operator in graph.operators
        if graph.code(operator) in WEIGHTED and graph.is_constant(int(operator.inputs[1]))
    ]


def _layer(graph: Graph, operator: OperatorT) -> Layer:
    source, weights, *bias = map(int, operator.inputs)
    return Layer(
        operator,
        graph.code(operator),
        source,
        int(operator.outputs[0]),
        weights,
        bias[0] if bias else -1,
        graph.fused(operator),
    )


def grouped(graph: Graph, layer: Layer) -> bool:
    """Whether this is a convolution of several groups, which is not one matrix product."""
    if layer.code != "CONV_2D":
        return False
    return graph.shape(layer.weights)[3] != graph.shape(layer.input)[3]


def as_matrix(layer: Layer, weights: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Weights of the file's layout as [groups, outputs of a group, taps]."""
    if not layer.depthwise:
        return weights.reshape(1, len(weights), -1)
    return weights.reshape(-1, weights.shape[-1]).T[:, np.newaxis]


def from_matrix(layer: Layer, matrix: npt.NDArray[Any], shape: tuple[int, ...]) -> npt.NDArray[Any]:
    """The inverse of `as_matrix`."""
    return (matrix[:, 0].T if layer.depthwise else matrix[0]).reshape(shape)


def positions(graph: Graph, layer: Layer) -> int:
    """How many patches of one image a layer looks at."""
    shape = graph.shape(layer.output)
    return int(np.prod(shape[:-1]))


def patches(graph: Graph, layer: Layer, values: npt.NDArray[Any], where: Indices) -> Floats:
    """The inputs of the outputs `where` (flat indices): [groups, positions, taps].

    Padding is zero: `values` are real, not on a grid.
    """
    seen: Floats
    if layer.code == "FULLY_CONNECTED":
        seen = values.reshape(1, -1, graph.shape(layer.weights)[1])[:, where].astype(np.float32)
        return seen
    _, height, width, channels = values.shape
    rows, columns = _taps(graph, layer, where)
    inside = (rows >= 0) & (rows < height) & (columns >= 0) & (columns < width)
    seen = values[0, rows.clip(0, height - 1), columns.clip(0, width - 1)].astype(np.float32)
    seen *= inside[..., np.newaxis]
    if not layer.depthwise:
        return seen.reshape(1, len(where), -1)
    outputs = graph.shape(layer.output)[-1]
    return np.repeat(seen.transpose(2, 0, 1), outputs // channels, axis=0)


def _taps(graph: Graph, layer: Layer, where: Indices) -> tuple[Indices, Indices]:
    """Row and column in the input of each tap [positions, taps], outside of it for padding."""
    options = layer.operator.builtinOptions
    kernel = graph.shape(layer.weights)[1:3]
    sizes = graph.shape(layer.input)[1:3], graph.shape(layer.output)[1:3]
    strides = options.strideH, options.strideW
    dilations = max(options.dilationHFactor, 1), max(options.dilationWFactor, 1)
    at = np.unravel_index(where % (sizes[1][0] * sizes[1][1]), sizes[1])
    places = []
    for axis in range(2):
        reach = (kernel[axis] - 1) * dilations[axis] + 1
        padding = 0
        if options.padding == schema().Padding.SAME:
            padding = max((sizes[1][axis] - 1) * strides[axis] + reach - sizes[0][axis], 0) // 2
        start = at[axis] * strides[axis] - padding
        places.append(start[:, np.newaxis] + np.arange(kernel[axis]) * dilations[axis])
    rows = np.repeat(places[0], kernel[1], axis=1)
    return rows, np.tile(places[1], kernel[0])
