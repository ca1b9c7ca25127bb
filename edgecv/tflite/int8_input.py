"""An int8 model that takes int8 pixels in place of uint8 ones, without the operator between them.

A QUANTIZE from uint8 to int8 of the same scale flips the highest bit of every byte. XNNPACK has no
kernel for it, so it is a pass of its own over the image, on one thread. Whoever fills the input can
flip that bit on the way: `pixel ^ 0x80`, read as int8.
"""

import copy
from pathlib import Path

import numpy as np

from edgecv import files
from edgecv.errors import DeviceError, UnsupportedModelError
from edgecv.tflite import archive, flatbuffer
from edgecv.tflite.contract import tensor_grid
from edgecv.tflite.graph import Graph, OperatorT, TensorT
from edgecv.tflite.pixels import SIGN_BIT, Grid
from edgecv.tflite.schema import ModelT, schema

WORDS = {  # of both types of input
    "uint8": "uint8, pixels as they are, through a QUANTIZE operator; without: --input-type int8",
    "int8": "int8, pixel ^ 0x80, no operator in front; pixels as they are: --input-type uint8",
}
DEQUANTIZE_VERSION = 2  # the first that reads int8


def take_int8(model: ModelT) -> bool:
    """Make a model with a uint8 input take `pixel ^ 0x80` as int8, in place; whether that is done.

    Its outputs stay the same, bit by bit. A model whose input is of another type, or is read by
    more than conversions to int8 or to float, stays as it is.
    """
    graph = Graph(model)
    image = int(graph.subgraph.inputs[0])
    readers = [operator for operator in graph.operators if image in map(int, operator.inputs)]
    flips = [operator for operator in readers if _flips(graph, operator)]
    dequantizes = [operator for operator in readers if graph.code(operator) == "DEQUANTIZE"]
    returned = {int(operator.outputs[0]) for operator in flips} & {
        *map(int, graph.subgraph.outputs)
    }
    if not _is_scaled_uint8(graph) or len(flips + dequantizes) < len(readers) or returned:
        return False
    for operator in dequantizes:
        code = model.operatorCodes[operator.opcodeIndex]
        code.version = max(code.version, DEQUANTIZE_VERSION)
    _retype(graph.tensors[image])
    _remove(graph, flips, image)
    graph.tidy()
    return True


def rewrite(path: Path) -> None:
    """Make the file of an int8 model take int8 pixels; its labels and metadata stay.

    Raises UnsupportedModelError when it cannot.
    """
    model, texts = flatbuffer.read(path), archive.text_files(path)
    if not take_int8(model):
        raise UnsupportedModelError(
            f"{path}: its input cannot become int8: it must be uint8, and only converted to int8 or"
            " float; leave out --input-type int8"
        )
    files.write_bytes(path, archive.append_files(flatbuffer.serialized(model), texts))


def without_copy(data: bytes) -> bytes:
    """A model's bytes with an int8 input in place of a uint8 one, or as they are where that fails.

    Where LiteRT, whose schema reads a model, is not installed, they stay as they are too; and what
    is no model is left to the interpreter to refuse.
    """
    try:
        model = flatbuffer.parse(data)
    except (DeviceError, UnsupportedModelError):
        return data
    return flatbuffer.serialized(model) if take_int8(model) else data


def _is_scaled_uint8(graph: Graph) -> bool:
    """Whether a model takes one tensor, of bytes that stand for real numbers."""
    grids = [tensor_grid(graph, int(tensor)) for tensor in graph.subgraph.inputs]
    return len(grids) == 1 and grids[0].dtype == "uint8" and grids[0].scale > 0


def _flips(graph: Graph, operator: OperatorT) -> bool:
    """Whether an operator does nothing but flip the highest bit of a uint8 tensor's bytes."""
    if graph.code(operator) != "QUANTIZE" or len(operator.outputs) != 1:
        return False
    image, stored = (
        tensor_grid(graph, int(side[0])) for side in (operator.inputs, operator.outputs)
    )
    return stored == Grid("int8", image.scale, image.zero_point - SIGN_BIT) and image.scale > 0


def _retype(tensor: TensorT) -> None:
    """Make a uint8 tensor hold the same real numbers as int8."""
    tensor.type = schema().TensorType.INT8
    if tensor.quantization is not None:
        grid = copy.copy(tensor.quantization)
        zeros = 0 if grid.zeroPoint is None else np.asarray(grid.zeroPoint, np.int64)
        grid.zeroPoint = np.atleast_1d(zeros - SIGN_BIT)
        tensor.quantization = grid


def _remove(graph: Graph, operators: list[OperatorT], source: int) -> None:
    """Take operators out; who read their outputs reads the tensor `source`."""
    gone = {int(operator.outputs[0]) for operator in operators}
    kept = [
        operator for operator in graph.operators if all(operator is not out for out in operators)
    ]
    for operator in kept:
        read = [source if int(tensor) in gone else int(tensor) for tensor in operator.inputs]
        operator.inputs = np.array(read, np.int32)
    graph.subgraph.operators = kept
