"""Parts of a .tflite model as models of their own: single operators, and the first k of them.

A part takes and gives the tensors it has in the whole model, with their types and quantization, so
that a runtime chooses the kernels for it that it chooses there.
"""

import copy
from collections.abc import Collection, Iterable
from typing import NamedTuple

import numpy as np

from edgecv.errors import UnsupportedModelError
from edgecv.tflite.flatbuffer import ModelT, schema
from edgecv.tflite.graph import Graph, new_graph


class Step(NamedTuple):
    """An operator that runs in every inference, and what it needs that is computed only once."""

    operator: int  # its place in the model
    constants: tuple[int, ...]  # operators before it on constants alone: unpacking of float16


def steps(model: ModelT) -> list[Step]:
    """The operators of a model in the order they run, but for those on constants alone.

    Raises UnsupportedModelError when the model has parts that only some of its operators enter.
    """
    if len(model.subgraphs) > 1:
        raise UnsupportedModelError(
            f"the model: has {len(model.subgraphs)} subgraphs; 1 can be cut"
        )
    graph = Graph(model)
    varying = {int(tensor) for tensor in graph.subgraph.inputs}
    makers: dict[int, tuple[int, ...]] = {}  # of a tensor that does not vary: the operators
    steps = []
    for place, operator in enumerate(graph.operators):
        inputs, outputs = ([*map(int, tensors)] for tensors in (operator.inputs, operator.outputs))
        constants = {place for tensor in inputs for place in makers.get(tensor, ())}
        if varying.intersection(inputs):
            steps.append(Step(place, tuple(sorted(constants))))
            varying.update(outputs)
        else:
            makers.update(dict.fromkeys(outputs, (*sorted(constants), place)))
    return steps


def part(model: ModelT, chosen: Iterable[Step]) -> ModelT:
    """A model of these steps alone, which shares its constants with the whole.

    Its inputs are what the steps need of others, its outputs what others, or the caller, need.
    """
    places = sorted({place for step in chosen for place in (*step.constants, step.operator)})
    cut = drop_metadata(model)
    graph = Graph(cut)
    inside = [graph.operators[place] for place in places]
    outside = [
        operator for place, operator in enumerate(graph.operators) if place not in set(places)
    ]
    made = _tensors(operator.outputs for operator in inside)
    needed = _tensors([*(operator.inputs for operator in outside), graph.subgraph.outputs])
    taken = [
        tensor
        for tensor in _tensors(operator.inputs for operator in inside)
        if tensor not in set(made) and tensor >= 0 and not graph.is_constant(tensor)
    ]
    graph.subgraph.operators = inside
    graph.subgraph.inputs = np.array(taken, np.int32)
    outputs = [tensor for tensor in made if tensor in set(needed)] or made[-1:]
    graph.subgraph.outputs = np.array(outputs, np.int32)
    graph.tidy()
    return cut


def single_sum(dtype: str) -> ModelT:
    """A model that adds two numbers: what it takes is what a call takes.

    XNNPACK has a kernel for it in float32, none in int32.
    """
    graph = new_graph()
    addend = graph.add_constant(np.ones(1, dtype), "one")
    number, total = (graph.add_activation(addend, name) for name in ("number", "sum"))
    graph.subgraph.inputs, graph.subgraph.outputs = np.array([[number], [total]], np.int32)
    options = schema().AddOptionsT()
    graph.subgraph.operators.append(graph.new_operator("ADD", [number, addend], [total], options))
    return graph.model


def _tensors(groups: Iterable[Collection[int]]) -> list[int]:
    """The tensors in these groups, each once, in order."""
    return list(dict.fromkeys(int(tensor) for group in groups for tensor in group))


def drop_metadata(model: ModelT) -> ModelT:
    """The model without its metadata, of which everything but the constants can be changed."""
    copied = copy.copy(model)
    subgraph = copy.copy(model.subgraphs[0])
    subgraph.tensors = [copy.copy(tensor) for tensor in subgraph.tensors]
    subgraph.operators = [copy.copy(operator) for operator in subgraph.operators or []]
    copied.subgraphs = [subgraph]
    copied.buffers, copied.operatorCodes = list(model.buffers), list(model.operatorCodes)
    copied.metadata, copied.signatureDefs = [], None
    return copied
