"""Light augmentation of photographs: framing, mirroring, brightness, contrast and color."""

import math

import cv2
import numpy as np
from numpy.typing import NDArray

from edgecv.data.dataset import Image
from edgecv.data.images import resize

AREA = (0.6, 1.0)  # of the largest square that fits
STRETCH = 4 / 3  # of one side over the other, at most
JITTER = 0.2  # of brightness and contrast; colors move by half of it


def augment(photo: Image, resolution: int, rng: np.random.Generator) -> Image:
    """Another view of `photo`, square, determined by `rng`."""
    view = resize(_framed(photo, rng), resolution)
    if rng.random() < 0.5:
        view = cv2.flip(view, 1)
    toned: Image = cv2.LUT(view, _tones(rng))
    return toned


def smallest_crop(shorter: int) -> float:
    """The shortest side of a crop that `augment` may take of a photograph, in its pixels."""
    return shorter * math.sqrt(AREA[0] / STRETCH)


def _framed(photo: Image, rng: np.random.Generator) -> Image:
    """A random part of the photograph, not quite square."""
    rows, columns = photo.shape[:2]
    side = min(rows, columns) * math.sqrt(rng.uniform(*AREA))
    stretch = math.sqrt(STRETCH ** rng.uniform(-1, 1))
    height = min(rows, max(1, round(side * stretch)))
    width = min(columns, max(1, round(side / stretch)))
    top, left = (rng.random(2) * (rows - height + 1, columns - width + 1)).astype(int)
    return photo[top : top + height, left : left + width]


def _tones(rng: np.random.Generator) -> NDArray[np.uint8]:
    """A lookup table [1, 256, 3]: what each value of each channel becomes."""
    contrast, brightness = rng.uniform(-JITTER, JITTER, 2)
    color = rng.uniform(-JITTER / 2, JITTER / 2, 3)
    values = np.arange(256.0)[:, None]
    table = ((values - 127.5) * (1 + contrast) + 127.5) * (1 + brightness + color)
    tones: NDArray[np.uint8] = table.clip(0, 255).round().astype(np.uint8)
    return tones[None]
