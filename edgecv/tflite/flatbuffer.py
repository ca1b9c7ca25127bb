"""Reading and writing .tflite files as the schema's own object tree."""

import struct
from pathlib import Path
from typing import Any, TypeAlias

from edgecv import files
from edgecv.errors import DeviceError, UnsupportedModelError

ModelT: TypeAlias = Any  # ai_edge_litert.schema_py_generated.ModelT, which is untyped

IDENTIFIER = b"TFL3"
DAMAGE = (struct.error, IndexError, ValueError, TypeError, AttributeError, OverflowError)


def schema() -> Any:
    """The schema's generated Python module, which comes with LiteRT.

    Raises DeviceError when LiteRT is not installed.
    """
    try:
        from ai_edge_litert import schema_py_generated
    except ImportError as error:
        raise DeviceError(
            "reading a .tflite file needs LiteRT: pip install ai-edge-litert"
        ) from error
    return schema_py_generated


def read(path: Path) -> ModelT:
    """The model in a file. Raises UnsupportedModelError when it is not a whole TFLite file."""
    return parse(read_bytes(path), str(path))


def read_bytes(path: Path) -> bytes:
    """The bytes of a file that at least begins as a TFLite file does."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise UnsupportedModelError(f"{path}: cannot be read: {error.strerror}") from error
    _check_identifier(data, str(path))
    return data


def parse(data: bytes, name: str = "the model") -> ModelT:
    """The model in `data`; messages call it `name`."""
    _check_identifier(data, name)
    try:
        model = schema().ModelT.InitFromPackedBuf(data, 0)
        _check_references(model)
    except DAMAGE as error:
        raise UnsupportedModelError(f"{name}: damaged or truncated TFLite file") from error
    return model


def serialized(model: ModelT) -> bytes:
    """The model as the bytes of a .tflite file."""
    import flatbuffers

    builder = flatbuffers.Builder(1 << 20)
    builder.Finish(model.Pack(builder), file_identifier=IDENTIFIER)
    return bytes(builder.Output())


def write(model: ModelT, path: Path) -> Path:
    """Write the model, whole or not at all."""
    return files.write_bytes(path, serialized(model))


def _check_identifier(data: bytes, name: str) -> None:
    if data[4:8] != IDENTIFIER:
        raise UnsupportedModelError(f"{name}: not a TFLite file (no TFL3 identifier)")


def _check_references(model: ModelT) -> None:
    """Raise IndexError or TypeError where an index points at nothing."""
    for subgraph in model.subgraphs:
        tensors = len(subgraph.tensors)
        for tensor in subgraph.tensors:
            _check_index(tensor.buffer, len(model.buffers))
        for operator in subgraph.operators or []:
            _check_index(operator.opcodeIndex, len(model.operatorCodes))
            for index in [*operator.inputs, *operator.outputs]:
                _check_index(index, tensors, lowest=-1)  # -1: an optional input left out
        for index in [*subgraph.inputs, *subgraph.outputs]:
            _check_index(index, tensors)


def _check_index(index: int, length: int, lowest: int = 0) -> None:
    if not lowest <= index < length:
        raise IndexError(index)
