"""A float model as quantization would leave it, but for its numbers: types, scales and versions.

What only looks at shapes and types, such as the plan for an Edge TPU, needs no ranges and no
TensorFlow. `tests/test_shapes.py` holds this to files that were really quantized.
"""

import copy
import functools
from typing import Any

import numpy as np

from edgecv.tflite.flatbuffer import ModelT, schema
from edgecv.tflite.graph import SCHEMA_NAMES, Graph, OperatorT
from edgecv.tflite.slice import drop_metadata

VERSIONS = {  # of the operators' int8 kernels, as TensorFlow's quantizer writes them
    "ADD": 2,
    "AVERAGE_POOL_2D": 2,
    "CONCATENATION": 2,
    "CONV_2D": 3,
    "DEPTHWISE_CONV_2D": 3,
    "FULLY_CONNECTED": 4,
    "LOGISTIC": 2,
    "MAX_POOL_2D": 2,
    "MEAN": 2,
    "MUL": 2,
    "SOFTMAX": 2,
    "PAD": 2,
}
WEIGHTED = {"CONV_2D": 0, "DEPTHWISE_CONV_2D": 3, "FULLY_CONNECTED": 0}  # axis of the channels
ONE_SCALE = "FULLY_CONNECTED"  # the Edge TPU takes no more of it


def int8_shapes(model: ModelT) -> ModelT:
    """The int8 twin of a float model for the Edge TPU: uint8 in and out, dense weights one scale.

    Its constants are zeros and its scales are one; the float model stays as it is.
    """
    graph = Graph(drop_metadata(model))
    versions = [copy.copy(code) for code in graph.model.operatorCodes]
    graph.model.operatorCodes = versions
    for operator in graph.operators:
        code = graph.code(operator)
        versions[operator.opcodeIndex].version = VERSIONS.get(code, 1)
        if code in WEIGHTED:
            _quantize_weights(graph, operator, code)
    floats = [place for place in range(len(graph.tensors)) if graph.dtype(place) == "float32"]
    for tensor in floats:
        _retype(graph, tensor, "int8", scales=1)
    graph.drop_unused_buffers()
    _add_ends(graph)
    return graph.model


def _quantize_weights(graph: Graph, operator: OperatorT, code: str) -> None:
    weights, bias = (int(tensor) for tensor in operator.inputs[1:3])
    axis = WEIGHTED[code]
    scales = 1 if code == ONE_SCALE else graph.shape(weights)[axis]
    _retype(graph, weights, "int8", scales, axis)
    _retype(graph, bias, "int32", scales)


def _retype(graph: Graph, tensor: int, dtype: str, scales: int, axis: int = 0) -> None:
    """Give a tensor another element type, so many scales, and zeros where it is constant."""
    table = graph.tensors[tensor]
    table.type = getattr(schema().TensorType, SCHEMA_NAMES[dtype])
    table.quantization = _quantization(scales, axis)
    if table.buffer:
        table.buffer = graph.add_buffer(graph.size_bytes(tensor))


@functools.cache
def _quantization(scales: int, axis: int) -> Any:
    """So many scales of one, along an axis; shared by all tensors that have the same."""
    return schema().QuantizationParametersT(
        scale=np.ones(scales, np.float32),
        zeroPoint=np.zeros(scales, np.int64),
        quantizedDimension=axis,
    )


def _add_ends(graph: Graph) -> None:
    """A QUANTIZE from the uint8 image, and one to uint8 scores."""
    image, scores = int(graph.subgraph.inputs[0]), int(graph.subgraph.outputs[0])
    ends = [graph.add_activation(inside, graph.name(inside)) for inside in (image, scores)]
    for end in ends:
        _retype(graph, end, "uint8", scales=1)
    options = schema().QuantizeOptionsT
    first = graph.new_operator("QUANTIZE", [ends[0]], [image], options())
    last = graph.new_operator("QUANTIZE", [scores], [ends[1]], options())
    graph.subgraph.operators = [first, *graph.operators, last]
    graph.subgraph.inputs, graph.subgraph.outputs = np.array([[ends[0]], [ends[1]]], np.int32)
