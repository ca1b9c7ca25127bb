"""The orientation tag of a photograph: which way up the camera was held.

OpenCV follows the tag in JPEG only, in PNG since lately, and never where there is alpha, so the
tag is read here for all formats alike.
"""

import struct

import numpy as np

from edgecv.data.dataset import Image

ORIENTATION = 0x0112
TRANSPOSED = {5, 6, 7, 8}  # tag values that exchange rows and columns
MIRRORED_ROWS = {3, 4, 7, 8}  # after that, upside down
MIRRORED_COLUMNS = {2, 3, 6, 7}  # after that, left for right


def upright(image: Image, data: bytes) -> Image:
    """`image`, as stored in the file `data`, turned the way it was seen."""
    tag = orientation(data)
    if tag in TRANSPOSED:
        image = image.transpose(1, 0, 2)
    if tag in MIRRORED_ROWS:
        image = image[::-1]
    if tag in MIRRORED_COLUMNS:
        image = image[:, ::-1]
    return np.ascontiguousarray(image)


def orientation(data: bytes) -> int:
    """The tag's value, 1 to 8; 1 is upright, and what a file without a readable tag gets."""
    try:
        value = _tag(_exif(data))
    except (struct.error, IndexError):
        return 1
    return value if 1 <= value <= 8 else 1


def _exif(data: bytes) -> bytes:
    """The TIFF structure that holds the tags; empty if the file has none."""
    if data.startswith(b"\xff\xd8"):
        return _jpeg_segment(data)
    if data.startswith(b"\x89PNG"):
        return _chunk(data, 8, ">I4s", b"eXIf", after=4)
    if data.startswith(b"RIFF"):
        return _chunk(data, 12, "<4sI", b"EXIF", after=0).removeprefix(b"Exif\0\0")
    return b""


def _jpeg_segment(data: bytes) -> bytes:
    at = 2
    while data[at] == 0xFF and data[at + 1] != 0xDA:  # the pixels begin
        (length,) = struct.unpack_from(">H", data, at + 2)
        content = data[at + 4 : at + 2 + length]
        if data[at + 1] == 0xE1 and content.startswith(b"Exif\0\0"):
            return content[6:]
        at += 2 + length
    return b""


def _chunk(data: bytes, at: int, header: str, name: bytes, after: int) -> bytes:
    """The content of a PNG chunk or a RIFF chunk; `after` bytes of checksum follow each."""
    while at + 8 <= len(data):
        fields = struct.unpack_from(header, data, at)
        length = next(field for field in fields if isinstance(field, int))
        if name in fields:
            return data[at + 8 : at + 8 + length]
        padding = 0 if after else length % 2  # RIFF chunks begin at even places
        at += 8 + length + after + padding
    return b""


def _tag(tiff: bytes) -> int:
    if tiff[:2] not in (b"II", b"MM"):
        return 1
    order = "<" if tiff.startswith(b"II") else ">"
    (start,) = struct.unpack_from(order + "I", tiff, 4)
    (entries,) = struct.unpack_from(order + "H", tiff, start)
    for entry in range(entries):
        tag, _, _, value = struct.unpack_from(order + "HHIH", tiff, start + 2 + 12 * entry)
        if tag == ORIENTATION:
            return int(value)
    return 1
