"""Whether a .tflite file holds together, before and after it is unpacked into objects.

Python's flatbuffers reads what a file says without a verifier. A read past the end raises; what
does not is a length: with one bit flipped a vector of tables has millions of them, which overlap.
"""

import functools
import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from edgecv.tflite.schema import DTYPES, ModelT, enum_names

TABLES = 100_000  # in one file; a network of a thousand operators has some ten thousand
NO_NUMBERS = ("STRING", "RESOURCE", "VARIANT")  # pointers, where the runtime expects them
OMITTED = -1  # stands for an optional input that is left out
RECURRENT = 4  # inputs from which on it is not only a bias, the third, that may be left out
PAIRED = ("ADD", "MUL", "SUB", "DIV")
WEIGHTED = {  # axes of the weights, and the least of the input and the output
    "CONV_2D": (4, 4, 4),
    "DEPTHWISE_CONV_2D": (4, 4, 4),
    "FULLY_CONNECTED": (2, 1, 1),
}
OPTIONS = {  # without which TensorFlow's quantizer crashes; for other operators they may be absent
    "ADD": "AddOptions",
    "AVERAGE_POOL_2D": "Pool2DOptions",
    "CONCATENATION": "ConcatenationOptions",
    "CONV_2D": "Conv2DOptions",
    "DEPTHWISE_CONV_2D": "DepthwiseConv2DOptions",
    "DIV": "DivOptions",
    "FULLY_CONNECTED": "FullyConnectedOptions",
    "MAX_POOL_2D": "Pool2DOptions",
    "MEAN": "ReducerOptions",
    "MUL": "MulOptions",
    "SOFTMAX": "SoftmaxOptions",
    "SUB": "SubOptions",
}
TENSOR_BYTES = 1 << 30  # of one tensor; 300 x 300 x 192 real numbers are a fifteenth of it


def check_vectors(model: Any) -> None:
    """Raise ValueError when a model, still packed, has more tables than any real one."""
    waiting, count = [model], 0
    while waiting:
        for table in _children(waiting.pop()):
            count += 1
            if count > TABLES:
                raise ValueError(f"more than {TABLES} tables")
            waiting.append(table)


def check_unpacked(model: ModelT, texts: bool = False) -> None:
    """Raise IndexError, TypeError or ValueError where a model, unpacked, cannot be run.

    That is an index that points at nothing, a constant with fewer or more bytes than its shape, a
    tensor that nobody has made when it is read. Runtimes crash on some of these. With `texts`,
    tensors may hold what is no number.
    """
    _check_index(0, len(model.subgraphs))
    for subgraph in model.subgraphs:
        for tensor in subgraph.tensors:
            (tensor.name or b"").decode()
            _check_index(tensor.buffer, len(model.buffers))
            _check_bytes(tensor, model.buffers[tensor.buffer], texts)
        _check_order(model, subgraph)
        for operator in subgraph.operators or []:
            _check_index(operator.opcodeIndex, len(model.operatorCodes))
            _check_operator(model.operatorCodes[operator.opcodeIndex], operator, subgraph.tensors)
    for entry in model.metadata or []:
        _check_index(entry.buffer, len(model.buffers))
        if entry.name is None:
            raise TypeError("metadata without a name")
    for signature in model.signatureDefs or []:
        _check_index(signature.subgraphIndex, len(model.subgraphs))
        tensors = len(model.subgraphs[signature.subgraphIndex].tensors)
        for tensor_map in [*(signature.inputs or []), *(signature.outputs or [])]:
            _check_index(tensor_map.tensorIndex, tensors)


def _children(table: Any) -> Iterator[Any]:
    """The tables in the vectors of a packed table; all other vectors hold numbers.

    Numbers are not copied, and what numpy cannot view for want of bytes it refuses.
    """
    for name in _vectors(table.__class__):
        yield from map(getattr(table, name), range(getattr(table, f"{name}Length")()))


@functools.cache
def _vectors(kind: type) -> list[str]:
    """The fields of a kind of table that are vectors of tables."""
    names = [name.removesuffix("Length") for name in dir(kind) if name.endswith("Length")]
    return [name for name in names if not hasattr(kind, f"{name}AsNumpy")]


def _check_bytes(tensor: Any, buffer: Any, texts: bool) -> None:
    kind = enum_names("TensorType").get(tensor.type)
    if kind in NO_NUMBERS and not texts:
        raise ValueError(kind)
    dtype = DTYPES.get(kind or "")
    shape = [] if tensor.shape is None else list(map(int, tensor.shape))
    wanted = math.prod(map(abs, shape)) * (np.dtype(dtype).itemsize if dtype else 1)
    if wanted > TENSOR_BYTES:
        raise ValueError(f"{wanted} bytes")
    stored = 0 if buffer.data is None else len(buffer.data)
    if stored and dtype and tensor.sparsity is None and stored != wanted:
        raise ValueError(f"{stored} bytes for {wanted}")


def _check_order(model: ModelT, subgraph: Any) -> None:
    """Every tensor is made once, and before it is read."""
    ready = {
        place for place, tensor in enumerate(subgraph.tensors) if _from_the_start(model, tensor)
    }
    ready |= set(map(int, subgraph.inputs))
    for operator in subgraph.operators or []:
        required = 2 if len(operator.inputs) < RECURRENT else 1
        for place, index in enumerate(map(int, operator.inputs)):
            if index != OMITTED or place < required:
                _check_ready(index, ready)
        for index in map(int, operator.outputs):
            _check_index(index, len(subgraph.tensors))
            if index in ready:
                raise ValueError(f"tensor {index} is made twice")
            ready.add(index)
    for index in map(int, [*subgraph.inputs, *subgraph.outputs]):
        _check_index(index, len(subgraph.tensors))
        _check_ready(index, ready)


def _from_the_start(model: ModelT, tensor: Any) -> bool:
    """Whether a tensor has values before anything runs: a constant, a state, or nothing at all."""
    data = model.buffers[tensor.buffer].data
    stored = data is not None and len(data) > 0
    return stored or tensor.isVariable or (tensor.shape is not None and 0 in tensor.shape)


def _check_operator(code: Any, operator: Any, tensors: Any) -> None:
    number = max(code.builtinCode, code.deprecatedBuiltinCode)
    name = enum_names("BuiltinOperator").get(number, "")
    if name == "CUSTOM" and code.customCode is None:
        raise TypeError("a custom operator without a name")
    options = enum_names("BuiltinOptions").get(operator.builtinOptionsType)
    if name in OPTIONS and (operator.builtinOptions is None or options != OPTIONS[name]):
        raise TypeError(f"{name} without {OPTIONS[name]}")
    if name in PAIRED and len(operator.inputs) != 2:
        raise ValueError(f"{name} of {len(operator.inputs)} tensors")
    if name not in WEIGHTED:
        return
    (source, weights, *_), (output,) = operator.inputs, operator.outputs
    axes = tuple(len(tensors[tensor].shape) for tensor in (weights, source, output))
    if any(rank < least for rank, least in zip(axes, WEIGHTED[name], strict=True)):
        raise ValueError(f"{name} of tensors with {axes} axes")


def _check_ready(index: int, ready: set[int]) -> None:
    if index not in ready:
        raise ValueError(f"tensor {index} is read before it is made")


def _check_index(index: int, length: int) -> None:
    if not 0 <= index < length:
        raise IndexError(index)
