"""Models that were converted with an open batch, as most converters leave it, at a batch of 1.

The size is then -1 in the tensors' signatures. Where a layer flattens or reshapes, the converter
also writes SHAPE, STRIDED_SLICE and PACK, which work out at run time what is a constant at batch 1.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from edgecv.tflite.flatbuffer import ModelT, schema
from edgecv.tflite.graph import Array, Graph, OperatorT

NOTE = "the model leaves its batch open; it was set to 1"
RUN_AT_ONE = "the model leaves its batch open; it runs with a batch of 1"
SAME_SHAPE = ("RELU", "RELU6", "SOFTMAX", "LOGISTIC", "TANH", "QUANTIZE", "DEQUANTIZE")


def is_open(model: ModelT) -> bool:
    """Whether the batch of an input is open, and nothing else of its shape is."""
    graph = Graph(model)
    return any(_opens(graph, int(tensor)) for tensor in graph.subgraph.inputs)


def set_batch(model: ModelT) -> list[str]:
    """Set an open batch to 1 throughout a model, in place; that this was done, in words.

    What follows from the batch alone is worked out. A size that is still open afterwards is one
    that other things decide: it stays as the file has it.
    """
    if len(model.subgraphs) != 1 or not is_open(model):
        return []
    graph = Graph(model)
    for tensor in range(len(graph.tensors)):
        if _opens(graph, tensor):
            _close(graph, tensor, (1, *graph.shape(tensor)[1:]))
    folded: set[int] = set()
    kept = []
    for operator in graph.operators:
        values = _worked_out(graph, operator, folded)
        if values is None:
            _propagate(graph, operator)
            kept.append(operator)
        else:
            _make_constant(graph, int(operator.outputs[0]), values)
            folded.add(int(operator.outputs[0]))
    graph.subgraph.operators = kept
    if folded:
        graph.tidy()
    return [NOTE]


def _signature(graph: Graph, tensor: int) -> list[int]:
    """A tensor's sizes as the file declares them, -1 where they are open."""
    declared = graph.tensors[tensor].shapeSignature
    shape = graph.shape(tensor)
    if declared is None or len(declared) != len(shape):
        return [*shape]
    return [int(size) for size in declared]


def _opens(graph: Graph, tensor: int) -> bool:
    """Whether only the first size of a tensor is open, and the file has it at 1 or below."""
    first, *others = _signature(graph, tensor) or [1]
    stored = (graph.shape(tensor) or (1,))[0]
    return min(first, stored) < 1 and stored <= 1 and all(size > 0 for size in others)


def _close(graph: Graph, tensor: int, shape: Sequence[int]) -> None:
    graph.tensors[tensor].shape = np.array(shape, np.int32)
    graph.tensors[tensor].shapeSignature = None


def _is_settled(graph: Graph, tensor: int) -> bool:
    return min([*_signature(graph, tensor), *graph.shape(tensor)], default=1) > 0


def _propagate(graph: Graph, operator: OperatorT) -> None:
    """Set the shape of what an operator makes, where the file leaves it open and it follows."""
    code, output = graph.code(operator), int(operator.outputs[0]) if len(operator.outputs) else -1
    if output < 0 or not len(operator.inputs):
        return
    source = int(operator.inputs[0])
    if code == "RESHAPE" and len(operator.inputs) > 1 and _is_settled(graph, source):
        target = graph.constant(int(operator.inputs[1]))
        shape = None if target is None else _reshaped(target, graph.shape(source))
        if shape is not None:
            _close(graph, output, shape)
            if operator.builtinOptions is not None:
                operator.builtinOptions.newShape = np.array(shape, np.int32)
    elif code in SAME_SHAPE and _is_settled(graph, source) and not _is_settled(graph, output):
        _close(graph, output, graph.shape(source))


def _reshaped(target: Array, shape: Sequence[int]) -> list[int] | None:
    """The sizes that `target` stands for, with its -1 worked out; None where they do not fit."""
    if target.ndim != 1 or target.dtype.kind != "i":
        return None
    sizes, total = [int(size) for size in target], math.prod(shape)
    others = math.prod(size for size in sizes if size != -1)
    if sizes.count(-1) == 1 and others > 0:
        sizes[sizes.index(-1)] = total // others
    return sizes if min(sizes, default=1) > 0 and math.prod(sizes) == total else None


def _worked_out(graph: Graph, operator: OperatorT, folded: set[int]) -> Array | None:
    """The output of an operator on shapes, where that is known; None for all others."""
    code, inputs = graph.code(operator), [*map(int, operator.inputs)]
    dtype = graph.dtype(int(operator.outputs[0])) if len(operator.outputs) == 1 else ""
    if dtype not in ("int32", "int64") or min(inputs, default=-1) < 0:
        return None
    if code == "SHAPE":
        source = inputs[0]
        return np.array(graph.shape(source), dtype) if _is_settled(graph, source) else None
    if code not in ON_SHAPES or not folded.intersection(inputs):
        return None
    made = _applied(code, operator.builtinOptions, [graph.constant(tensor) for tensor in inputs])
    return None if made is None else np.asarray(made, dtype)


def _applied(code: str, options: Any, values: Sequence[Array | None]) -> Any:
    """The output of an operator for these values; None in a form that no converter writes."""
    constants = [value for value in values if value is not None]
    try:
        return ON_SHAPES[code](options, *constants) if len(constants) == len(values) else None
    except (ValueError, IndexError, TypeError, AttributeError):
        return None


def _make_constant(graph: Graph, tensor: int, values: Array) -> None:
    buffer = schema().BufferT()
    buffer.data = np.frombuffer(np.ascontiguousarray(values).tobytes(), np.uint8)
    graph.model.buffers.append(buffer)
    graph.tensors[tensor].buffer = len(graph.model.buffers) - 1
    _close(graph, tensor, values.shape)


def _strided(options: Any, values: Array, begin: Array, end: Array, step: Array) -> Array | None:
    """A slice of a vector, or one of its numbers."""
    if values.ndim != 1 or len(begin) != 1 or options.ellipsisMask or options.newAxisMask:
        return None
    if options.shrinkAxisMask:
        return np.asarray(values[int(begin[0])])
    start = None if options.beginMask else int(begin[0])
    return values[start : None if options.endMask else int(end[0]) : int(step[0])]


ON_SHAPES: dict[str, Callable[..., Any]] = {  # what converters make of a shape
    "STRIDED_SLICE": _strided,
    "PACK": lambda options, *values: np.stack(values, options.axis),
    "CONCATENATION": lambda options, *values: np.concatenate(values, options.axis),
    "GATHER": lambda options, values, places: np.take(values, places, options.axis),
    "REDUCE_PROD": lambda options, values, axes: np.prod(
        values, tuple(np.atleast_1d(axes).tolist()), keepdims=bool(options.keepDims)
    ),
    "MUL": lambda _, first, second: first * second,
    "CAST": lambda _, values: values,
}
