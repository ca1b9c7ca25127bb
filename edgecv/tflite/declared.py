"""What other people's .tflite files say of their input: TFLite's own metadata, read by hand.

It is a FlatBuffer inside the model's metadata; the schema is TensorFlow Lite's public
metadata_schema.fbs. Only the way to the first input's normalisation is followed.
"""

from typing import Any

import numpy as np

from edgecv.artifacts import Normalization
from edgecv.errors import UnsupportedModelError
from edgecv.tflite.flatbuffer import DAMAGE, ModelT

ENTRY = b"TFLITE_METADATA"
SUBGRAPHS, INPUTS, PROCESS_UNITS = 3, 2, 5  # fields of ModelMetadata, SubGraph-, TensorMetadata
OPTIONS_TYPE, OPTIONS, NORMALIZATION = 0, 1, 1  # of ProcessUnit; a member of its union
MEAN, STD = 0, 1  # of NormalizationOptions


def normalization(model: ModelT) -> Normalization | None:
    """What the TFLite metadata of a model asks of pixels; None when it does not say.

    Raises UnsupportedModelError when the metadata is damaged.
    """
    for entry in model.metadata or []:
        if entry.name == ENTRY:
            try:
                return _parsed(bytes(model.buffers[entry.buffer].data))
            except DAMAGE as error:
                raise UnsupportedModelError("the model: damaged TFLite metadata") from error
    return None


def _parsed(data: bytes) -> Normalization | None:
    from flatbuffers import encode, packer, table

    root = table.Table(data, encode.Get(packer.uoffset, data, 0))
    inputs = [each for graph in _tables(root, SUBGRAPHS)[:1] for each in _tables(graph, INPUTS)]
    for unit in _tables(inputs[0], PROCESS_UNITS) if inputs else []:
        kind, place = _offset(unit, OPTIONS_TYPE), _offset(unit, OPTIONS)
        if kind and place and unit.Bytes[unit.Pos + kind] == NORMALIZATION:
            options = table.Table(data, unit.Indirect(unit.Pos + place))
            found = Normalization(_three(options, MEAN), _three(options, STD))
            if not (np.isfinite(found).all() and min(found.std) > 0):
                raise ValueError("a mean must be finite, and a deviation more than 0")
            return found
    return None


def _offset(parent: Any, field: int) -> int:
    """Where a field lies behind its table's start; 0 where it is left out."""
    return int(parent.Offset(4 + 2 * field))


def _tables(parent: Any, field: int) -> list[Any]:
    """The tables in a field that is a vector of them."""
    place = _offset(parent, field)
    if not place:
        return []
    start = parent.Vector(place)
    offsets = (start + 4 * number for number in range(parent.VectorLen(place)))
    return [type(parent)(parent.Bytes, parent.Indirect(each)) for each in offsets]


def _three(options: Any, field: int) -> tuple[float, float, float]:
    """A vector of one or three numbers, as one for each channel."""
    place = _offset(options, field)
    count = options.VectorLen(place) if place else 0
    if count not in (1, 3):
        raise ValueError(f"{count} numbers; 1 or 3 are allowed")
    values = np.frombuffer(options.Bytes, "<f4", count, options.Vector(place)).astype(float)
    red, green, blue = np.broadcast_to(values, 3).tolist()
    return red, green, blue
