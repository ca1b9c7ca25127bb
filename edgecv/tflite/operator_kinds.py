"""The facts that decide an operator's time: kernel class, multiply-accumulates, bytes moved."""

import math
from collections.abc import Sequence
from typing import NamedTuple

from edgecv.tflite.flatbuffer import ModelT
from edgecv.tflite.graph import Graph
from edgecv.tflite.operators import Operator, operators

KINDS = {  # of kernels that a runtime has one loop for each
    "conv": "convolution larger than 1x1",
    "pointwise": "convolution 1x1",
    "depthwise": "depthwise convolution",
    "dense": "fully connected",
    "elementwise": "as many results as inputs: ADD, MUL, activations",
    "other": "pooling, softmax, copies",
}
ELEMENTWISE = {"ADD", "SUB", "MUL", "DIV", "RELU", "RELU6", "HARD_SWISH", "LOGISTIC", "QUANTIZE"}


QUANTITIES = ("operators", "macs", "weights", "activations")


class Cost(NamedTuple):
    """The work of one operator, or of all of one kind in a model."""

    kind: str
    operators: int
    macs: int
    weights: int  # elements of its constants
    activations: int  # elements read and written


def costs(model: ModelT) -> list[Cost]:
    """The cost of each operator, in the order they run; of the main subgraph."""
    graph = Graph(model)
    elements = [math.prod(graph.shape(tensor)) for tensor in range(len(graph.tensors))]
    constants = {tensor for tensor in range(len(elements)) if graph.is_constant(tensor)}
    rows = []
    for operator in operators(model):
        tensors = {tensor for tensor in (*operator.inputs, *operator.outputs) if tensor >= 0}
        weights = sum(elements[tensor] for tensor in tensors & constants)
        moved = sum(elements[tensor] for tensor in tensors - constants)
        rows.append(Cost(_kind(graph, operator), 1, operator.macs, weights, moved))
    return rows


def scheme(model: ModelT) -> str:
    """How most activations are stored: int8 or float32."""
    graph = Graph(model)
    stored = [graph.dtype(tensor) for tensor in graph.activations()]
    return "int8" if stored.count("int8") > len(stored) / 2 else "float32"


def sum_by_kind(costs: Sequence[Cost]) -> list[Cost]:
    """The sums of each kind that occurs, in the order of KINDS."""
    sums: dict[str, Cost] = {}
    for cost in costs:
        before = sums.get(cost.kind, Cost(cost.kind, 0, 0, 0, 0))
        sums[cost.kind] = Cost(cost.kind, *map(sum, zip(before[1:], cost[1:], strict=True)))
    return [sums[kind] for kind in KINDS if kind in sums]


def _kind(graph: Graph, operator: Operator) -> str:
    if operator.name == "CONV_2D":
        return "pointwise" if graph.shape(operator.inputs[1])[1:3] == (1, 1) else "conv"
    names = {"DEPTHWISE_CONV_2D": "depthwise", "FULLY_CONNECTED": "dense"}
    return names.get(operator.name, "elementwise" if operator.name in ELEMENTWISE else "other")
