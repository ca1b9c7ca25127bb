"""Constants that lie behind the flatbuffer in a file, as ai-edge-quantizer and LiteRT write them.

The schema has their place and length in `Buffer.offset` and `size`, counted from the start of the
file, and those of a custom operator's options in `large_custom_options_offset` and `_size`.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from edgecv.tflite.schema import ModelT

FIRST = 2  # the least offset; 0 and 1 say that nothing lies outside
SHARED = 4  # times that a file's bytes may be used: tools let equal constants share a place


class Stretch(NamedTuple):
    """Bytes of a file that belong to a buffer or an operator."""

    start: int
    stop: int


def outside_ranges(model: ModelT) -> list[Stretch]:
    """The byte ranges of a model that lie outside its flatbuffer, before `copy_inside`."""
    return [stretch for _, _, stretch in _holders(model)]


def copy_inside(model: ModelT, data: bytes) -> None:
    """Give a model what lies outside its flatbuffer in `data`, so that it is whole without it.

    Raises IndexError for a place that is not in the file, ValueError where a short file stands for
    far more bytes than it has.
    """
    content = np.frombuffer(data, np.uint8)
    total = sum(stop - start for start, stop in outside_ranges(model))
    if total > SHARED * len(data):
        raise ValueError(f"{total} bytes outside the flatbuffer, in a file of {len(data)}")
    for holder, (field, start, size), stretch in _holders(model):
        if stretch.stop > len(data):
            raise IndexError(f"bytes up to {stretch.stop} of {len(data)}")
        setattr(holder, field, content[slice(*stretch)])
        setattr(holder, start, 0)
        setattr(holder, size, 0)


def _holders(model: ModelT) -> Iterator[tuple[Any, tuple[str, str, str], Stretch]]:
    """Every object whose bytes lie outside, its three fields for them, and where they are."""
    buffer = ("data", "offset", "size")
    custom = ("customOptions", "largeCustomOptionsOffset", "largeCustomOptionsSize")
    operators = [operator for subgraph in model.subgraphs for operator in subgraph.operators or []]
    for fields, holders in ((buffer, model.buffers or []), (custom, operators)):
        for holder in holders:
            field, start, size = fields
            place, length = getattr(holder, start), getattr(holder, size)
            values = getattr(holder, field)
            if place >= FIRST and (values is None or not len(values)):
                yield holder, fields, Stretch(place, place + length)
