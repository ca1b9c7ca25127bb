"""Reading and writing .tflite files as the schema's own object tree."""

import shlex
import struct
from pathlib import Path

from edgecv import files
from edgecv.errors import UnsupportedModelError
from edgecv.tflite import outside
from edgecv.tflite.schema import ModelT, schema
from edgecv.tflite.verify import check_unpacked, check_vectors

__all__ = ["DAMAGE", "ModelT", "parse", "read", "read_bytes", "schema", "serialized", "write"]

IDENTIFIER = b"TFL3"
KERAS_MARKS = (b"PK\x03\x04", b"\x89HDF\r\n\x1a\n")  # how a .keras and a .h5 file begin
SAVED_MODEL = "saved_model.pb"  # in the folder of one
DAMAGE = (struct.error, IndexError, ValueError, TypeError, AttributeError, OverflowError)


def read(path: Path) -> ModelT:
    """The model in a file. Raises UnsupportedModelError when it is not a whole TFLite file."""
    return parse(_bytes(path), str(path))


def read_to_look_at(path: Path) -> ModelT:
    """The model in a file that need not run here: as `read`, but tensors may hold text."""
    return _unpacked(_bytes(path), str(path), texts=True)[0]


def read_bytes(path: Path) -> bytes:
    """The bytes of a model, all of it in its flatbuffer, and what follows it in the file.

    Raises UnsupportedModelError as `read` does.
    """
    data = _bytes(path)
    packed, end = _unpacked(data, str(path))
    return serialized(packed) + data[end:] if end else data


def parse(data: bytes, name: str = "the model") -> ModelT:
    """The model in `data`, whole, wherever its constants lie; messages call it `name`."""
    return _unpacked(data, name)[0]


def serialized(model: ModelT) -> bytes:
    """The model as the bytes of a .tflite file."""
    import flatbuffers

    builder = flatbuffers.Builder(1 << 20)
    builder.Finish(model.Pack(builder), file_identifier=IDENTIFIER)
    return bytes(builder.Output())


def convert_command(path: str) -> str:
    """How a .tflite is made of the Keras file or the SavedModel at `path`, in words."""
    return f"make one of it: edgecv convert {shlex.quote(path)} -o float.tflite"


def write(model: ModelT, path: Path) -> Path:
    """Write the model, whole or not at all."""
    return files.write_bytes(path, serialized(model))


def _unpacked(data: bytes, name: str, texts: bool = False) -> tuple[ModelT, int]:
    """The model, and where the last constant behind its flatbuffer ends; 0 where there is none."""
    _check_identifier(data, name)
    try:
        packed = schema().Model.GetRootAs(data)
        check_vectors(packed)
        model = schema().ModelT.InitFromObj(packed)
        end = max((stop for _, stop in outside.outside_ranges(model)), default=0)
        outside.copy_inside(model, data)
        check_unpacked(model, texts)
    except DAMAGE as error:
        raise UnsupportedModelError(f"{name}: damaged or truncated TFLite file") from error
    return model, end


def _bytes(path: Path) -> bytes:
    if (path / SAVED_MODEL).is_file():
        raise UnsupportedModelError(
            f"{path}: a SavedModel, not a .tflite; {convert_command(str(path))}"
        )
    try:
        return path.read_bytes()
    except OSError as error:
        raise UnsupportedModelError(f"{path}: cannot be read: {error.strerror}") from error


def _check_identifier(data: bytes, name: str) -> None:
    if data.startswith(KERAS_MARKS):
        raise UnsupportedModelError(f"{name}: a Keras file, not a .tflite; {convert_command(name)}")
    if data[4:8] != IDENTIFIER:
        raise UnsupportedModelError(f"{name}: not a TFLite file (no TFL3 identifier)")
