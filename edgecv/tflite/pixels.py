"""Pixels of 0..255 as the numbers that an image input stores, and what its grid says of them.

A quantized input stores `real / scale + zero point`. Most such grids hold exactly the bytes of a
picture, whatever range of real numbers they call them; a picture then goes in as it is.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from edgecv.artifacts import CENTERED, Normalization

Bytes = npt.NDArray[np.uint8]
BYTES = Normalization((0.0,) * 3, (1.0,) * 3)
UNIT = Normalization((0.0,) * 3, (255.0,) * 3)
IMAGENET = Normalization((123.675, 116.28, 103.53), (58.395, 57.12, 57.375))  # of PyTorch's models
USUAL = {"[-1, 1]": CENTERED, "[0, 1]": UNIT, "[0, 255]": BYTES, "ImageNet": IMAGENET}
WITHIN = 1.001  # levels by which both ends of a grid may differ from the bytes'
ALIKE = 0.01  # of a number: 127 and 128 for 127.5 are the same scale to a reader
SIGN_BIT = 0x80  # of a byte; flipped, it turns uint8 into int8 of the same real number
CALIBRATED = 0.06  # of its width, by which a grid that images were observed for may be narrower


class Grid(NamedTuple):
    """The grid of real numbers of an integer tensor; a scale of 0 stands for no grid."""

    dtype: str
    scale: float
    zero_point: int

    @property
    def is_integer(self) -> bool:
        """Whether the tensor holds integers."""
        return bool(np.issubdtype(np.dtype(self.dtype), np.integer))

    @property
    def holds_bytes(self) -> bool:
        """Whether the tensor has one level for each byte of a picture."""
        return self.dtype in ("uint8", "int8")

    @property
    def range(self) -> tuple[float, float]:
        """The least and the greatest real number."""
        limits = np.iinfo(self.dtype)
        low, high = (
            self.scale * (int(step) - self.zero_point) for step in (limits.min, limits.max)
        )
        return low, high


def grid_of(details: Mapping[str, Any]) -> Grid:
    """The grid in an interpreter's details of a tensor."""
    scale, zero_point = details["quantization"]
    return Grid(np.dtype(details["dtype"]).name, float(scale), int(zero_point))


def words(normalization: Normalization) -> str:
    """A normalization in words: `[0, 1]`, or its mean and deviation."""
    for name, usual in USUAL.items():
        if np.allclose(normalization, usual, rtol=ALIKE):
            return name
    mean, std = (_short(values) for values in normalization)
    return f"(pixel - {mean}) / {std}"


def flags(normalization: Normalization) -> str:
    """The command line's words for a normalization."""
    mean, std = (_short(values) for values in normalization)
    return f"--mean {mean} --std {std}"


def _short(values: tuple[float, ...]) -> str:
    texts = [f"{value:g}" for value in values]
    return texts[0] if len(set(texts)) == 1 else ",".join(texts)


def byte_normalization(grid: Grid) -> Normalization:
    """The normalization that puts each byte of a picture on its own level of a grid of 256."""
    lowest = int(np.iinfo(grid.dtype).min)
    mean, std = float(grid.zero_point - lowest), 1 / (grid.scale or 1.0)
    return Normalization((mean,) * 3, (std,) * 3)


def usual_normalization(grid: Grid) -> Normalization | None:
    """The usual normalization that fits a grid; None where none does."""
    if not grid.holds_bytes:
        return None
    if not grid.scale > 0:
        return byte_normalization(grid) if grid.dtype == "uint8" else None
    for usual in (CENTERED, UNIT, BYTES):
        if takes_bytes(grid, usual):
            return byte_normalization(grid)
    for usual in USUAL.values():
        if _covers(grid, usual):
            return usual
    return None


def takes_bytes(grid: Grid, normalization: Normalization) -> bool:
    """Whether a grid is that of normalized bytes, to within a level at its ends."""
    if not (grid.holds_bytes and grid.scale > 0):
        return grid.dtype == "uint8"
    ends = zip((0, 255), grid.range, strict=True)
    return all(
        abs((byte - mean) / std - end) <= WITHIN * grid.scale
        for byte, end in ends
        for mean, std in zip(*normalization, strict=True)
    )


def fits(grid: Grid, normalization: Normalization) -> bool:
    """Whether a grid holds normalized bytes: none far outside it, and they use half of it."""
    low, high = _real_range(normalization)
    lowest, highest = grid.range
    spare = CALIBRATED * (high - low) + WITHIN * grid.scale
    inside = lowest - spare <= low and high <= highest + spare
    return inside and 2 * (high - low) >= highest - lowest


def _covers(grid: Grid, normalization: Normalization) -> bool:
    """Whether the two ends of a grid are about those of normalized bytes."""
    ends = zip(_real_range(normalization), grid.range, strict=True)
    width = max(CALIBRATED * (grid.range[1] - grid.range[0]), WITHIN * grid.scale)
    return all(abs(real - stored) <= width for real, stored in ends)


def _real_range(normalization: Normalization) -> tuple[float, float]:
    pairs = [*zip(*normalization, strict=True)]
    return min(-mean / std for mean, std in pairs), max((255 - mean) / std for mean, std in pairs)


def normalize(images: Bytes, normalization: Normalization) -> npt.NDArray[np.float32]:
    """Pictures [..., 3] or [..., 1] as the real numbers that a network was trained on."""
    channels = images.shape[-1]
    mean, std = (np.array(values[:channels], np.float32) for values in normalization)
    real: npt.NDArray[np.float32] = (images.astype(np.float32) - mean) / std
    return real


def encode(images: Bytes, grid: Grid, normalization: Normalization) -> npt.NDArray[Any]:
    """Pictures as an input with this grid stores them; integers are rounded and clipped.

    An int8 input stores what its uint8 twin would, with the highest bit flipped, whatever the
    normalization: both files answer alike.
    """
    if not grid.is_integer:
        return normalize(images, normalization).astype(grid.dtype)
    if grid.dtype == "int8":
        unsigned = Grid("uint8", grid.scale, grid.zero_point + SIGN_BIT)
        return (encode(images, unsigned, normalization) ^ np.uint8(SIGN_BIT)).view(np.int8)
    if takes_bytes(grid, normalization):
        return images
    limits = np.iinfo(grid.dtype)
    levels = np.round(normalize(images, normalization) / grid.scale + grid.zero_point)
    clipped: npt.NDArray[Any] = np.clip(levels, limits.min, limits.max).astype(grid.dtype)
    return clipped


def clipped_share(grid: Grid, normalization: Normalization) -> float:
    """The share of all bytes that a grid cannot tell from its ends."""
    if not grid.is_integer or takes_bytes(grid, normalization):
        return 0.0
    every = np.arange(256, dtype=np.uint8)[:, np.newaxis].repeat(3, axis=1)
    real, (low, high) = normalize(every, normalization), grid.range
    return float(((real < low - grid.scale) | (real > high + grid.scale)).mean())


def decode(values: npt.NDArray[Any], grid: Grid) -> npt.NDArray[np.float32]:
    """The real numbers behind the values of a tensor with this grid."""
    if not grid.is_integer or not grid.scale:
        return values.astype(np.float32, copy=False)
    real: npt.NDArray[np.float32] = np.float32(grid.scale) * (
        values.astype(np.float32) - grid.zero_point
    )
    return real
