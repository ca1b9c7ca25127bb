"""TFLite's own metadata, as other people's tools write them, read by hand.

They are a FlatBuffer inside the model's metadata; the schema is TensorFlow Lite's public
metadata_schema.fbs. Only the image's normalization and the names of label files are followed.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from edgecv.artifacts import Normalization
from edgecv.errors import UnsupportedModelError
from edgecv.tflite.flatbuffer import DAMAGE, ModelT

ENTRY = b"TFLITE_METADATA"
SUBGRAPHS = 3  # fields of ModelMetadata,
INPUTS, OUTPUTS = 2, 3  # of SubGraphMetadata,
PROCESS_UNITS, FILES = 4, 6  # of TensorMetadata; 5 is Stats,
OPTIONS_TYPE, OPTIONS = 0, 1  # of ProcessUnit,
MEAN, STD = 0, 1  # of NormalizationOptions,
NAME, KIND = 0, 2  # and of AssociatedFile
NORMALIZATION = 1  # in the union of a ProcessUnit's options
LABEL_KINDS = (2, 3)  # TENSOR_AXIS_LABELS, TENSOR_VALUE_LABELS
MOST = 64  # tensors, units and files that are looked at in one list
LONGEST_NAME = 1024


class Standard(NamedTuple):
    """The contents of the metadata."""

    normalization: Normalization | None = None
    label_files: tuple[str, ...] = ()  # in the archive behind the model


def read(model: ModelT, name: str) -> Standard:
    """The TFLite metadata of a model; empty where it has none.

    Raises UnsupportedModelError when they are damaged.
    """
    for entry in model.metadata or []:
        if entry.name == ENTRY:
            try:
                data = model.buffers[entry.buffer].data
                return _parsed(b"" if data is None else bytes(data))
            except DAMAGE as error:
                raise UnsupportedModelError(
                    f"{name}: damaged TFLite metadata ({error}); remove the entry TFLITE_METADATA,"
                    " or have the tool that wrote it write it again"
                ) from error
    return Standard()


def _parsed(data: bytes) -> Standard:
    from flatbuffers import encode, packer, table

    root = table.Table(data, encode.Get(packer.uoffset, data, 0))
    graph = next(_tables(root, SUBGRAPHS), None)
    if graph is None:
        return Standard()
    image = next(_tables(graph, INPUTS), None)
    files = [file for tensor in _tables(graph, OUTPUTS) for file in _tables(tensor, FILES)]
    named = (_text(file, NAME) for file in files if _byte(file, KIND) in LABEL_KINDS)
    return Standard(_normalization(image) if image else None, tuple(name for name in named if name))


def _normalization(image: Any) -> Normalization | None:
    for unit in _tables(image, PROCESS_UNITS):
        place = _offset(unit, OPTIONS)
        if place and _byte(unit, OPTIONS_TYPE) == NORMALIZATION:
            options = type(image)(unit.Bytes, unit.Indirect(unit.Pos + place))
            normalization = Normalization(_three(options, MEAN, 0.0), _three(options, STD, 1.0))
            if not (np.isfinite(normalization).all() and min(normalization.std) > 0):
                raise ValueError("a mean must be finite, and a deviation more than 0")
            return normalization
    return None


def _offset(parent: Any, field: int) -> int:
    """Where a field lies behind its table's start; 0 where it is left out."""
    return int(parent.Offset(4 + 2 * field))


def _byte(parent: Any, field: int) -> int:
    place = _offset(parent, field)
    return int(parent.Bytes[parent.Pos + place]) if place else 0


def _text(parent: Any, field: int) -> str:
    place = _offset(parent, field)
    text = bytes(parent.String(parent.Pos + place)) if place else b""
    if len(text) > LONGEST_NAME:
        raise ValueError(f"a file name of {len(text)} bytes")
    return text.decode()


def _tables(parent: Any, field: int) -> Iterator[Any]:
    """The tables in a field that is a vector of them."""
    place = _offset(parent, field)
    if not place:
        return
    start, count = parent.Vector(place), parent.VectorLen(place)
    for number in range(min(count, MOST)):
        yield type(parent)(parent.Bytes, parent.Indirect(start + 4 * number))


def _three(options: Any, field: int, absent: float) -> tuple[float, float, float]:
    """A vector of one or three numbers, as one for each channel."""
    place = _offset(options, field)
    if not place:
        return absent, absent, absent
    count = options.VectorLen(place)
    if count not in (1, 3):
        raise ValueError(f"{count} numbers for the channels; 1 or 3 are allowed")
    values = np.frombuffer(options.Bytes, "<f4", count, options.Vector(place)).astype(float)
    red, green, blue = np.broadcast_to(values, 3).tolist()
    return red, green, blue
