"""Channels of one activation brought to like ranges, the float function unchanged.

A layer's output channel is multiplied by a factor and the weights that read it are divided by it,
as in cross-layer equalization (Nagel et al., Data-Free Quantization, 2019). Not past a RELU6: a
channel that has grown meets its clip on images that no calibration has shown, with a margin of
three as well, and a MobileNetV2 lost more there than it won. A lowered hard-swish,
x * relu6(x + 3), is passed by computing its gate as a 1x1 depthwise convolution, which undoes the
factor for each channel.
"""

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from edgecv.quantize.layers import Layer, grouped, layers
from edgecv.quantize.statistics import Statistics
from edgecv.tflite.flatbuffer import schema
from edgecv.tflite.graph import Graph, OperatorT

Floats = npt.NDArray[np.float64]
PASSING = {
    "AVERAGE_POOL_2D",
    "MAX_POOL_2D",
    "MEAN",
    "PAD",
    "RELU",
}  # channel by channel, f(kx)=kf(x)
HOMOGENEOUS = {"NONE", "RELU"}
LARGEST = 64.0  # factor
WORTHWHILE = 1.5  # a smaller factor changes nothing
UNREAD = -3.0  # below it, x * relu6(x + 3) is 0 whatever x is
DEAD = 1e-4  # of the largest channel's reach
# Of a range, above zero: of those, the share that leaves the channels the finest steps, by the sum
# of their squares. Half, as of a symmetric range, is too little behind a hard-swish, whose inputs
# are read from -3 on and reach far above: MobileNetV3-Small loses .039 with it, .033 without.
SHARES = np.linspace(0.02, 0.98, 49)


class Pair(NamedTuple):
    """A layer whose output channels may be scaled, and what has to be scaled back."""

    layer: Layer
    readers: list[Layer]
    gates: list[OperatorT]  # the ADD of hard-swishes on the way
    scaled: set[int]  # the activations between


def pairs(graph: Graph) -> list[Pair]:
    """The layers whose outputs are read, channel by channel, by nothing but other layers."""
    tracer = _Tracer(graph)
    free = [
        layer
        for layer in layers(graph)
        if not grouped(graph, layer) and layer.activation in HOMOGENEOUS
    ]
    traces = [(layer, tracer.trace(layer)) for layer in free]
    return [Pair(layer, *traced) for layer, traced in traces if traced and traced[0]]


def factors(pair: Pair, seen: Statistics) -> Floats:
    """The factor of each output channel; 1 for a dead channel."""
    low = np.maximum(seen.usual_low, UNREAD) if pair.gates else seen.usual_low
    below, above = np.maximum(-low, 0), np.maximum(seen.usual_high, 0)
    alive = np.maximum(below, above) > DEAD * np.maximum(below, above).max()
    reach = min(
        (np.maximum(below / (1 - share), above / share) for share in SHARES),
        key=lambda reach: float(np.square(reach[alive]).sum()),
    )
    return np.where(alive, reach[alive].max(initial=0) / np.maximum(reach, 1e-12), 1.0).clip(
        1.0, LARGEST
    )


def equalize(graph: Graph, pair: Pair, factor: Floats) -> None:
    """Scale a layer's output channels by `factor` and its readers' weights back, in place."""
    weights, bias = _constant(graph, pair.layer.weights), pair.layer.bias
    last = pair.layer.depthwise
    _set(graph, pair.layer, 1, weights * (factor if last else _along(factor, 0, weights.ndim)))
    if bias >= 0:
        _set(graph, pair.layer, 2, _constant(graph, bias) * factor)
    for reader in pair.readers:
        weights = _constant(graph, int(reader.operator.inputs[1]))
        times = weights.shape[-1] // len(factor)
        _set(graph, reader, 1, weights / np.repeat(factor, times))
    for gate in pair.gates:
        _gate_by_channel(graph, gate, 1 / factor)


def _along(factor: Floats, axis: int, ndim: int) -> Floats:
    """Factors shaped to scale one axis."""
    shape = [1] * ndim
    shape[axis] = len(factor)
    return factor.reshape(shape)


def _constant(graph: Graph, tensor: int) -> npt.NDArray[np.float32]:
    """The values of a tensor known to be constant."""
    values = graph.constant(tensor)
    assert values is not None  # noqa: S101
    return values


def _set(graph: Graph, layer: Layer, place: int, values: npt.NDArray[np.floating[Any]]) -> None:
    """Give an operator a constant of its own."""
    name = graph.name(int(layer.operator.inputs[place]))
    layer.operator.inputs[place] = graph.add_constant(values.astype(np.float32), name)


def _gate_by_channel(graph: Graph, gate: OperatorT, weights: Floats) -> None:
    """Turn relu6(x + 3) into a 1x1 depthwise convolution that also scales each channel."""
    source, shift = sorted(map(int, gate.inputs), key=graph.is_constant)
    options = schema().DepthwiseConv2DOptionsT()
    options.padding = schema().Padding.VALID
    options.strideW = options.strideH = options.depthMultiplier = 1
    options.dilationWFactor = options.dilationHFactor = 1
    options.fusedActivationFunction = gate.builtinOptions.fusedActivationFunction
    name, count = graph.name(int(gate.outputs[0])), len(weights)
    kernel = graph.add_constant(weights.astype(np.float32).reshape(1, 1, 1, -1), f"{name}/weights")
    shifts = np.full(count, _constant(graph, shift).max(), np.float32)
    bias = graph.add_constant(shifts, f"{name}/bias")
    new = graph.new_operator("DEPTHWISE_CONV_2D", [source, kernel, bias], gate.outputs, options)
    place = next(index for index, operator in enumerate(graph.operators) if operator is gate)
    graph.operators[place] = new


class _Tracer:
    """Follows an activation to the layers that read it."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.layers = {id(layer.operator): layer for layer in layers(graph)}
        self.readers: dict[int, list[OperatorT]] = {}
        for operator in graph.operators:
            for tensor in dict.fromkeys(map(int, operator.inputs)):
                self.readers.setdefault(tensor, []).append(operator)

    def trace(self, layer: Layer) -> tuple[list[Layer], list[OperatorT], set[int]] | None:
        """The layers that read a layer's output and the gates between; None if others read it."""
        graph, readers, gates = self.graph, [], []
        scaled, waiting = {layer.output}, [layer.output]
        while waiting:
            tensor = waiting.pop()
            if tensor in set(map(int, graph.subgraph.outputs)):
                return None
            for operator in self.readers.get(tensor, []):
                output = int(operator.outputs[0])
                if self._reads(operator, tensor):
                    readers.append(self.layers[id(operator)])
                elif self._is_gate(operator, tensor):
                    gates.append(operator)
                elif self._passes(operator, tensor, scaled):
                    if output not in scaled:
                        scaled.add(output)
                        waiting.append(output)
                else:
                    return None
        return readers, gates, scaled

    def _reads(self, operator: OperatorT, tensor: int) -> bool:
        layer = self.layers.get(id(operator))
        if layer is None or layer.input != tensor or grouped(self.graph, layer):
            return False
        return layer.code != "FULLY_CONNECTED" or (
            self.graph.shape(layer.weights)[1] == self.graph.shape(tensor)[-1]
        )

    def _is_gate(self, operator: OperatorT, tensor: int) -> bool:
        """Whether this is relu6(x + constant), read by nothing but a product with x."""
        graph = self.graph
        if graph.code(operator) != "ADD" or graph.fused(operator) not in {"RELU", "RELU6"}:
            return False
        other = next((int(t) for t in operator.inputs if int(t) != tensor), -1)
        shift = graph.constant(other)
        if shift is None or shift.size != 1 or len(graph.shape(tensor)) != 4:
            return False
        output = int(operator.outputs[0])
        return all(
            graph.code(reader) == "MUL" and {tensor, output} == set(map(int, reader.inputs))
            for reader in self.readers.get(output, [])
        )

    def _passes(self, operator: OperatorT, tensor: int, scaled: set[int]) -> bool:
        graph = self.graph
        if graph.fused(operator) not in HOMOGENEOUS:
            return False
        before, after = graph.shape(tensor), graph.shape(int(operator.outputs[0]))
        if before[-1:] != after[-1:]:
            return False
        code = graph.code(operator)
        if code == "MUL":
            other = next((int(t) for t in operator.inputs if int(t) != tensor), tensor)
            return other not in scaled and before == after
        if code == "MEAN":
            return 3 not in np.mod(_constant(graph, int(operator.inputs[1])), len(before))
        if code in {"RESHAPE", "SQUEEZE"}:
            return bool(before[-1] == np.prod(before) == np.prod(after))
        return code in PASSING
