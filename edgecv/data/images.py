"""Image files: which are read, what comes out of them, and what a network is shown of them."""

import struct
import zlib
from pathlib import Path

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
    try:
        image = cv2.imdecode(np.frombuffer(pixels, np.uint8), _flags(data, fraction))
    except cv2.error as error:
        raise DataError(f"cannot be decoded: {error.err}") from error
    if image is None:
        raise DataError(f"truncated, damaged, or not a {FORMATS} file")
    return upright(_rgb(image), data)


def central(image: Image, crop: float, resolution: int) -> Image:
    """The central square, `crop` of the shorter side, at `resolution`."""
    side = max(1, round(min(image.shape[:2]) * crop))
    top, left = ((length - side) // 2 for length in image.shape[:2])
    return resized(image[top : top + side, left : left + side], resolution)


def resized(image: Image, resolution: int) -> Image:
    """A square of `resolution`; shrinking averages, so that nothing aliases."""
    shrinks = min(image.shape[:2]) > resolution
    method = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    square: Image = cv2.resize(image, (resolution, resolution), interpolation=method)
    return square


def _flags(data: bytes, fraction: int) -> int:
    """How OpenCV should decode a file: with its alpha where the format has any."""
    if data.startswith((PNG, b"RIFF")):
        return int(cv2.IMREAD_UNCHANGED)
    if data.startswith(TIFF):
        return int(cv2.IMREAD_COLOR | cv2.IMREAD_ANYDEPTH)
    size = REDUCED[fraction] if data.startswith(JPEG) else cv2.IMREAD_COLOR
    return int(size | cv2.IMREAD_IGNORE_ORIENTATION)


def _png_pixels(data: bytes) -> bytes:
    """A PNG without the chunks that are not pixels: libpng complains of colour profiles."""
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


def _rgb(image: np.ndarray[tuple[int, ...], np.dtype[np.uint8 | np.uint16]]) -> Image:
    """What OpenCV decoded (grey, BGR or BGRA; 8 or 16 bits) as 8-bit RGB."""
    if image.dtype not in (np.uint8, np.uint16):
        raise DataError(f"pixels are {image.dtype}, 8 or 16 bits are read; save it as 8 bits")
    shallow = (image >> 8).astype(np.uint8) if image.dtype == np.uint16 else image
    if shallow.ndim == 2:
        rgb: Image = cv2.cvtColor(shallow, cv2.COLOR_GRAY2RGB)
    elif shallow.shape[2] == 4:
        alpha = cv2.cvtColor(shallow[..., 3], cv2.COLOR_GRAY2RGB)
        colours = cv2.cvtColor(shallow, cv2.COLOR_BGRA2RGB)
        rgb = cv2.add(cv2.multiply(colours, alpha, scale=1 / 255), cv2.bitwise_not(alpha))
    else:
        rgb = cv2.cvtColor(shallow, cv2.COLOR_BGR2RGB)
    return rgb
