"""Which models can be quantized: float ones with one image for an input and constant shapes."""

import copy

import numpy as np

from edgecv.errors import UnsupportedModelError
from edgecv.tflite import flatbuffer, smoke_load
from edgecv.tflite.graph import Graph
from edgecv.tflite.schema import DTYPES, ModelT, enum_names

LARGEST_WEIGHT = 1e9  # its square, summed over a layer, still is a float32


def check_quantizable(model: ModelT, name: str) -> None:
    """Raise UnsupportedModelError, which names the file and the first thing that is in the way."""
    check_described(model, name)
    try:
        problem = _run_time_shapes(Graph(model))
    except UnsupportedModelError as error:
        reason = str(error).removeprefix("the model: ")
        raise UnsupportedModelError(f"{name}: cannot be run: {reason}") from error
    if problem:
        raise UnsupportedModelError(f"{name}: {problem}")


def check_described(model: ModelT, name: str) -> None:
    """As check_quantizable, but by what the file says alone: nothing runs."""
    if len(model.subgraphs) != 1:
        raise UnsupportedModelError(f"{name}: has {len(model.subgraphs)} subgraphs; 1 is allowed")
    graph = Graph(model)
    for check in (_operators, _input, _types, _shapes, _weights):
        if problem := check(graph):
            raise UnsupportedModelError(f"{name}: {problem}")


def _operators(graph: Graph) -> str:
    if not graph.operators:
        return "has no operators"
    builtin = set(enum_names("BuiltinOperator").values())
    custom = [code for code in map(graph.code, graph.operators) if code not in builtin]
    return f"has the custom operator {custom[0]}; only built-in ones can be used" if custom else ""


def _input(graph: Graph) -> str:
    inputs = list(map(int, graph.subgraph.inputs))
    if len(inputs) != 1:
        return f"has {len(inputs)} inputs; 1, an image, is allowed"
    if len(graph.subgraph.outputs) != 1:
        return f"has {len(graph.subgraph.outputs)} outputs; 1 is allowed"
    if not any(graph.subgraph.outputs[0] in operator.outputs for operator in graph.operators):
        return "has an output that no operator makes"
    shape = graph.shape(inputs[0])
    if len(shape) != 4 or shape[0] != 1 or shape[3] not in (1, 3):
        size = "x".join(map(str, shape))
        return f"input '{graph.name(inputs[0])}' is {size}; 1 x height x width x 3 or 1 is allowed"
    return ""


def _types(graph: Graph) -> str:
    kinds = {graph.dtype(tensor) for tensor in graph.activations()}
    if kinds & {"int8", "uint8", "int16"}:
        return "is quantized already; give the float model"
    if strange := kinds - set(DTYPES.values()):
        return f"computes in {min(strange)}; float32 is allowed"
    entry = graph.dtype(int(graph.subgraph.inputs[0]))
    if entry != "float32":
        return f"input is {entry}; float32 is allowed"
    stored = {graph.dtype(int(t)) for op in graph.operators for t in op.inputs if t >= 0}
    if "int8" in stored or "float16" in stored:
        return "has int8 or float16 weights; give the model with float32 weights"
    return ""


def _shapes(graph: Graph) -> str:
    for tensor in graph.activations():
        signature = graph.tensors[tensor].shapeSignature
        unknown = signature is not None and np.any(np.asarray(signature) < 0)
        if unknown or any(size < 1 for size in graph.shape(tensor)):
            return f"tensor '{graph.name(tensor)}' has a dynamic shape; convert at a fixed one"
    return ""


def _weights(graph: Graph) -> str:
    for operator in graph.operators:
        for tensor in map(int, operator.inputs):
            values = graph.constant(tensor)
            if values is None or values.dtype != np.float32 or not values.size:
                continue
            if not np.isfinite(values).all():
                return f"weights '{graph.name(tensor)}' hold values that are not finite"
            if np.abs(values).max() > LARGEST_WEIGHT:
                return f"weights '{graph.name(tensor)}' hold values beyond {LARGEST_WEIGHT:.0e}"
    return ""


def _run_time_shapes(graph: Graph) -> str:
    """The runtime works out all shapes from the input's; quantizing trusts those of the file.

    It is asked in another process, and about all activations at once: that is how they are observed
    later, in this one.
    """
    made = [int(tensor) for operator in graph.operators for tensor in operator.outputs]
    shown, subgraph = copy.copy(graph.model), copy.copy(graph.subgraph)
    subgraph.outputs, shown.subgraphs, shown.signatureDefs = (
        np.array(made, np.int32),
        [subgraph],
        [],
    )
    for tensor, shape in zip(
        made, smoke_load.load_in_child(flatbuffer.serialized(shown)), strict=True
    ):
        if shape != graph.shape(tensor):
            said = "x".join(map(str, graph.shape(tensor)))
            return f"tensor '{graph.name(tensor)}' is {said} in the file, but not when it runs"
    return ""
