"""The work and the needs of a .tflite model: operators, multiply-accumulates, memory."""

import math
from collections import Counter
from collections.abc import Callable, Collection
from typing import NamedTuple

from edgecv.tflite.flatbuffer import ModelT
from edgecv.tflite.graph import Graph, OperatorT, indices


class Operator(NamedTuple):
    """One operator of a model, in the order they run."""

    name: str  # as the schema spells it, or a custom operator's own
    output: str  # name of the first tensor it makes
    macs: int
    inputs: tuple[int, ...]  # tensor indices; constants among them, -1 for one left out
    outputs: tuple[int, ...]


def operators(model: ModelT, subgraph: int = 0) -> list[Operator]:
    """The operators of a subgraph."""
    graph = Graph(model, subgraph)
    return [_described(graph, operator) for operator in graph.operators]


def counts(model: ModelT) -> dict[str, int]:
    """How often each operator occurs in the whole model, the most frequent first."""
    graphs = [Graph(model, index) for index in range(len(model.subgraphs))]
    codes = (graph.code(operator) for graph in graphs for operator in graph.operators)
    return dict(Counter(codes).most_common())


def macs(model: ModelT) -> int:
    """Multiply-accumulates of one inference in convolutions and fully connected layers."""
    return sum(operator.macs for operator in operators(model))


def weight_bytes(model: ModelT) -> int:
    """Bytes of everything constant, each shared buffer once."""
    used = {tensor.buffer for subgraph in model.subgraphs for tensor in subgraph.tensors}
    sizes = (model.buffers[buffer].data for buffer in used)
    return sum(len(data) for data in sizes if data is not None)


def activation_peak(model: ModelT, places: Collection[int] | None = None) -> int:
    """The most bytes of activations alive at once, whatever operator that is at.

    With `places`, of the operators at those places alone: as if the others ran somewhere else.
    """
    graph = Graph(model)
    wanted = range(len(graph.operators)) if places is None else sorted(places)
    operators = [graph.operators[place] for place in wanted]
    steps = [(indices(operator.inputs), indices(operator.outputs)) for operator in operators]
    sizes = {tensor: graph.size_bytes(tensor) for tensor in graph.activations()}
    made = {tensor for _, outputs in steps for tensor in outputs}
    inputs = {*map(int, graph.subgraph.inputs)} if places is None else set()
    last_use = dict.fromkeys(inputs, 0)
    for step, (read, written) in enumerate(steps):
        last_use |= dict.fromkeys(read, step) | dict.fromkeys(written, step)
    outputs = {*map(int, graph.subgraph.outputs)}
    alive = sum(sizes.get(tensor, 0) for tensor in last_use.keys() - made - (outputs - inputs))
    freed = Counter[int]()  # bytes that are of no use after each step
    for tensor, step in (last_use | dict.fromkeys(outputs, len(steps))).items():
        freed[step] += sizes.get(tensor, 0)
    peak = 0
    for step, (_, written) in enumerate(steps):
        alive += sum(sizes[tensor] for tensor in set(written))
        peak = max(peak, alive)
        alive -= freed[step]
    return peak


def file_bytes(model: ModelT) -> int:
    """About how large the file of a model becomes, without writing it: within 0.3 %.

    Fitted on ten converted models: 108 bytes of description a tensor, 30 an operator, and 4 of
    alignment or less, which are among them.
    """
    graph = Graph(model)
    return weight_bytes(model) + 108 * len(graph.tensors) + 30 * len(graph.operators)


def int8_bytes(model: ModelT) -> int:
    """About how large the int8 file of a float model becomes.

    A weight takes one byte; a bias four; each output channel twelve more for its scale and zero
    point; tensors and operators some 190 bytes of description each.
    """
    graph = Graph(model)
    size = 190 * (len(graph.activations()) + len(graph.operators))
    for operator in graph.operators:
        if graph.code(operator) in MACS:
            weights, *bias = (int(tensor) for tensor in operator.inputs[1:])
            channels = graph.shape(int(operator.outputs[0]))[-1]
            size += math.prod(graph.shape(weights)) + 12 * channels
            size += sum(4 * channels + 12 * channels for tensor in bias if tensor >= 0)
    return size


def _described(graph: Graph, operator: OperatorT) -> Operator:
    name = graph.code(operator)
    inputs, outputs = tuple(indices(operator.inputs)), tuple(indices(operator.outputs))
    count = MACS[name](graph, inputs, outputs[0]) if name in MACS else 0
    return Operator(name, graph.name(outputs[0]) if outputs else "", count, inputs, outputs)


def _conv(graph: Graph, inputs: tuple[int, ...], output: int) -> int:
    """Each output element takes one whole filter: [out, height, width, in]."""
    return math.prod(graph.shape(output)) * math.prod(graph.shape(inputs[1])[1:])


def _depthwise(graph: Graph, inputs: tuple[int, ...], output: int) -> int:
    """Each output element takes one channel of the filter: [1, height, width, out]."""
    return math.prod(graph.shape(output)) * math.prod(graph.shape(inputs[1])[1:3])


MACS: dict[str, Callable[[Graph, tuple[int, ...], int], int]] = {
    "CONV_2D": _conv,
    "DEPTHWISE_CONV_2D": _depthwise,
    "FULLY_CONNECTED": _conv,  # its filter is [out, in]
}
