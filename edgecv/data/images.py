"""Image files: which are read, what comes out of them, and what a network is shown of them."""

import struct
import zlib
from pathlib import Path
from typing import NamedTuple, Protocol

import cv2
import numpy as np

from edgecv.data.dataset import Image
from edgecv.data.exif import upright
from edgecv.errors import DataError

SUFFIXES = (  # what every build of OpenCV decodes to 8 or 16 bits; GIF, AVIF and HEIC are not
    *(".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".bmp", ".dib", ".webp", ".tif", ".tiff"),
    *(".jp2", ".pgm", ".ppm", ".pbm", ".pnm"),
)
FORMATS = "JPEG, PNG, BMP, WebP, TIFF, JPEG 2000 or PNM"
JPEG = b"\xff\xd8"
JPEG_SCAN, JPEG_END = 0xDA, b"\xff\xd9"  # the marker before pixels, and the one after all of them
Size = tuple[int, int]  # height and width, in pixels
PNG = b"\x89PNG\r\n\x1a\n"
TIFF = (b"II*\0", b"MM\0*")
UNCOMPRESSED_BMP = (0, 3)
PIXEL_CHUNKS = (b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND")
REDUCED = {
    1: cv2.IMREAD_COLOR,
    2: cv2.IMREAD_REDUCED_COLOR_2,
    4: cv2.IMREAD_REDUCED_COLOR_4,
    8: cv2.IMREAD_REDUCED_COLOR_8,
}  # OpenCV decodes a JPEG at these fractions of its size, in a fraction of the time


def read(path: Path, fraction: int = 1) -> Image:
    """An image file as upright RGB; transparency shows white.

    A JPEG is decoded at 1/`fraction` of its size (1, 2, 4 or 8). Raises DataError, with a reason,
    for what cannot be read or is not whole.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise DataError(f"{path}: {error.strerror}") from error
    try:
        return decode(data, fraction)
    except DataError as error:
        raise DataError(f"{path}: {error}") from error


def decode(data: bytes, fraction: int = 1) -> Image:
    """The bytes of an image file as upright RGB; see `read`."""
    if not data:
        raise DataError("empty file")
    pixels = _png_pixels(data) if data.startswith(PNG) else data
    _refuse_truncated_bmp(data)
    _refuse_truncated_jpeg(data)
    try:
        image = cv2.imdecode(np.frombuffer(pixels, np.uint8), _flags(data, fraction))
    except cv2.error as error:
        raise DataError(f"cannot be decoded: {error.err}") from error
    if image is None:
        raise DataError(f"truncated, damaged, or not a {FORMATS} file")
    return upright(_rgb(image), data)


class View(Protocol):
    """The part of a photograph that a model sees, and its size."""

    @property
    def size(self) -> Size:
        """Height and width in pixels."""

    @property
    def crop(self) -> float:
        """The central share of the photograph."""

    @property
    def channels(self) -> int:
        """3 is RGB, 1 is gray."""


class Square(NamedTuple):
    """The view of a model that takes a square RGB image."""

    side: int
    crop: float = 1.0
    channels: int = 3

    @property
    def size(self) -> Size:
        """Height and width in pixels."""
        return self.side, self.side


def fit_view(image: Image, view: View) -> Image:
    """An RGB image as the model sees it: its central part, at the input's size."""
    return convert_channels(crop_center(image, view.crop, view.size), view.channels)


def crop_center(image: Image, crop: float, size: int | Size) -> Image:
    """The central part in the shape of `size`, `crop` of the largest such, at that size.

    `size` is height and width in pixels, or the side of a square.
    """
    height, width = (size, size) if isinstance(size, int) else size
    tall, wide = image.shape[:2]
    rows = max(1, round(min(tall, wide * height / width) * crop))
    columns = max(1, round(min(wide, tall * width / height) * crop))
    top, left = (tall - rows) // 2, (wide - columns) // 2
    return resize(image[top : top + rows, left : left + columns], (height, width))


def resize(image: Image, size: int | Size) -> Image:
    """The image at a height and width, or as a square; shrinking averages: nothing aliases."""
    height, width = (size, size) if isinstance(size, int) else size
    shrinks = min(image.shape[0] / height, image.shape[1] / width) > 1
    method = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    scaled: Image = cv2.resize(image, (width, height), interpolation=method)
    return scaled


def convert_channels(image: Image, channels: int) -> Image:
    """An RGB image [height, width, 3] as one of 3 channels or of 1, its brightness."""
    if channels == image.shape[2]:
        return image
    gray: Image = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)[..., np.newaxis]
    return gray


def _flags(data: bytes, fraction: int) -> int:
    """How OpenCV should decode a file: with its alpha where the format has any."""
    if data.startswith((PNG, b"RIFF")):
        return int(cv2.IMREAD_UNCHANGED)
    if data.startswith(TIFF):
        return int(cv2.IMREAD_COLOR | cv2.IMREAD_ANYDEPTH)
    size = REDUCED[fraction] if data.startswith(JPEG) else cv2.IMREAD_COLOR
    return int(size | cv2.IMREAD_IGNORE_ORIENTATION)


def _png_pixels(data: bytes) -> bytes:
    """A PNG without the chunks that are not pixels: libpng complains of color profiles."""
    kept, at = [PNG], len(PNG)
    while at + 12 <= len(data):
        (length,) = struct.unpack_from(">I", data, at)
        name, end = data[at + 4 : at + 8], at + 12 + length
        if name in PIXEL_CHUNKS:
            if end > len(data):
                break
            if zlib.crc32(data[at + 4 : end - 4]) != int.from_bytes(data[end - 4 : end], "big"):
                raise DataError("damaged PNG: a checksum is wrong")
            kept.append(data[at:end])
        if name == b"IEND":
            return b"".join(kept)
        at = end
    raise DataError("truncated PNG")


def _refuse_truncated_bmp(data: bytes) -> None:
    """OpenCV finds out for itself, but also writes a line to stderr."""
    if not data.startswith(b"BM"):
        return
    if len(data) < 54:
        raise DataError("truncated BMP")
    (start,) = struct.unpack_from("<I", data, 10)
    width, height, _, bits, compression = struct.unpack_from("<iiHHI", data, 18)
    row = (abs(width) * bits + 31) // 32 * 4
    if compression in UNCOMPRESSED_BMP and len(data) < start + row * abs(height):
        raise DataError("truncated BMP")


def _refuse_truncated_jpeg(data: bytes) -> None:
    """OpenCV before 4.11 fills up with gray what is missing: no end after the pixels begin."""
    at, marker = len(JPEG), 0
    while data.startswith(JPEG) and marker != JPEG_SCAN and at + 4 <= len(data):
        filler, marker, length = struct.unpack_from(">BBH", data, at)
        if filler != 0xFF:
            return  # no segment: OpenCV finds out for itself
        at += 2 + length
    if marker == JPEG_SCAN and data.find(JPEG_END, at) < 0:
        raise DataError("truncated JPEG")


def _rgb(image: np.ndarray[tuple[int, ...], np.dtype[np.uint8 | np.uint16]]) -> Image:
    """OpenCV's image (gray, BGR or BGRA; 8 or 16 bits) as 8-bit RGB."""
    if image.dtype not in (np.uint8, np.uint16):
        raise DataError(f"pixels are {image.dtype}, 8 or 16 bits are read; save it as 8 bits")
    shallow = (image >> 8).astype(np.uint8) if image.dtype == np.uint16 else image
    if shallow.ndim == 2:
        rgb: Image = cv2.cvtColor(shallow, cv2.COLOR_GRAY2RGB)
    elif shallow.shape[2] == 4:
        alpha = cv2.cvtColor(shallow[..., 3], cv2.COLOR_GRAY2RGB)
        colors = cv2.cvtColor(shallow, cv2.COLOR_BGRA2RGB)
        rgb = cv2.add(cv2.multiply(colors, alpha, scale=1 / 255), cv2.bitwise_not(alpha))
    else:
        rgb = cv2.cvtColor(shallow, cv2.COLOR_BGR2RGB)
    return rgb
