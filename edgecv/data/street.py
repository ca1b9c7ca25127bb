"""A street and the camera that looks at it: everything in a render that is not the sign.

All random numbers are drawn in shares of the frame, so one generator state gives one scene at any
resolution.
"""

import math
from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

from edgecv.data.dataset import Image

GRAIN_OFFSETS = 128  # in both directions: noise is a crop of one field, from one of these places

# What stands behind a road sign: sky, haze, leaves, grass, asphalt, concrete, brick, earth.
SCENERY = np.array(
    [
        (120, 165, 215),
        (195, 205, 215),
        (60, 95, 45),
        (105, 130, 70),
        (85, 85, 90),
        (165, 160, 150),
        (140, 85, 70),
        (110, 90, 65),
    ],
    np.float32,
)


def background(resolution: int, rng: np.random.Generator) -> Image:
    """A cluttered street without a sign: soft colors, hard shapes, rough surfaces."""
    cells = int(rng.integers(2, 6))
    colors = SCENERY[rng.integers(len(SCENERY), size=(cells, cells))]
    colors = colors * rng.uniform(0.5, 1.2) + rng.normal(0, 14, colors.shape)
    scene: Image = cv2.resize(
        colors.clip(0, 255).astype(np.uint8), (resolution,) * 2, interpolation=cv2.INTER_CUBIC
    )
    for _ in range(int(rng.integers(2, 8))):
        _draw_clutter(scene, rng)
    grit = rng.uniform(-40, 40, (24, 24)).astype(np.float32)
    rough = cv2.resize(grit, (resolution,) * 2, interpolation=cv2.INTER_LINEAR)
    return _added(scene, cv2.merge([rough, rough, rough]), rng.uniform(0, 1))


def camera(scene: Image, rng: np.random.Generator) -> Image:
    """`scene` as a cheap camera shows it: uneven light, a color cast, blur and noise."""
    resolution = scene.shape[0]
    lit = cv2.multiply(scene, _light(resolution, rng), dtype=cv2.CV_8U)
    blurred = _blur(lit, rng)
    row, column = rng.integers(GRAIN_OFFSETS, size=2)
    grain = _grain(resolution)[row : row + resolution, column : column + resolution]
    return _added(blurred, grain, rng.uniform(1, 10))


def _light(resolution: int, rng: np.random.Generator) -> NDArray[np.float32]:
    """Gain of every pixel and channel: exposure, cast, a gradient, sometimes a hard shadow."""
    cast = rng.uniform(0.88, 1.12, 3)
    corners = rng.uniform(0.8, 1.2, (2, 2, 1)) * rng.uniform(0.45, 1.25) * cast
    gain: NDArray[np.float32] = cv2.resize(
        corners.astype(np.float32), (resolution,) * 2, interpolation=cv2.INTER_LINEAR
    )
    return gain * _shadow(resolution, rng) if rng.random() < 0.3 else gain


def _shadow(resolution: int, rng: np.random.Generator) -> NDArray[np.float32]:
    """Gain of a band of shade that falls across the frame from top to bottom."""
    gain = np.ones((resolution, resolution, 3), np.float32)
    top, bottom = np.sort(rng.uniform(-0.2, 1.2, (2, 2)))
    band = np.array([(top[0], 0), (top[1], 0), (bottom[1], 1), (bottom[0], 1)])
    shade = rng.uniform(0.5, 0.8)
    cv2.fillConvexPoly(gain, pixels(band, resolution), (shade, shade, shade))
    return gain


def _blur(image: Image, rng: np.random.Generator) -> Image:
    """Out of focus, shaken, or neither."""
    kind, amount, angle = rng.random(3)
    if kind < 0.4:
        return image
    if kind < 0.75:
        sigma = max(0.2, amount * 0.014 * image.shape[0])
        focus: Image = cv2.GaussianBlur(image, (0, 0), sigma)
        return focus
    length = max(3, round((0.02 + amount * 0.05) * image.shape[0]) | 1)
    kernel = np.zeros((length, length), np.float32)
    middle = length // 2
    reach = middle * np.array((math.cos(math.pi * angle), math.sin(math.pi * angle)))
    start, end = np.round(middle - reach).astype(int), np.round(middle + reach).astype(int)
    cv2.line(kernel, start.tolist(), end.tolist(), 1.0)
    shaken: Image = cv2.filter2D(image, -1, kernel / kernel.sum())
    return shaken


def _draw_clutter(scene: Image, rng: np.random.Generator) -> None:
    """One hard-edged thing, in a color of the street or, at times, in a loud one."""
    resolution = scene.shape[0]
    kind, loud = rng.random(2)
    quiet = SCENERY[rng.integers(len(SCENERY))] * rng.uniform(0.4, 1.2)
    color = [int(channel) for channel in (rng.integers(0, 256, 3) if loud < 0.25 else quiet)]
    center, reach = rng.uniform(0, 1, 2), rng.uniform(0.04, 0.3, 2)
    corners = pixels(center + rng.uniform(-1, 1, (4, 2)) * reach, resolution)
    low, high = pixels(np.array([center - reach, center + reach]), resolution).tolist()
    if kind < 0.3:
        cv2.rectangle(scene, low, high, color, cv2.FILLED)
    elif kind < 0.6:
        cv2.fillConvexPoly(scene, cv2.convexHull(corners), color, cv2.LINE_AA)
    elif kind < 0.8:
        axes = ((high[0] - low[0]) // 2, (high[1] - low[1]) // 2)
        middle = (low[0] + axes[0], low[1] + axes[1])
        cv2.ellipse(scene, middle, axes, 0, 0, 360, color, cv2.FILLED, cv2.LINE_AA)
    else:
        width = thickness(0.01 + 0.04 * reach[0], resolution)
        cv2.line(scene, low, high, color, width, cv2.LINE_AA)


@lru_cache(maxsize=8)
def _grain(resolution: int) -> NDArray[np.float32]:
    """A field of normal noise, larger than the frame; crops of it stand for fresh noise."""
    side = resolution + GRAIN_OFFSETS
    return np.random.default_rng(0).standard_normal((side, side, 3), np.float32)


def _added(image: Image, noise: NDArray[np.float32], gain: float) -> Image:
    total: Image = cv2.addWeighted(image, 1.0, noise, gain, 0.0, dtype=cv2.CV_8U)
    return total


def thickness(share: float, resolution: int) -> int:
    """A line width in pixels from a share of the frame, never 0."""
    return max(1, round(share * resolution))


def pixels(points: NDArray[np.float64], resolution: int) -> NDArray[np.int32]:
    """Points given as shares of the frame, in pixels."""
    whole: NDArray[np.int32] = np.round(points * resolution).astype(np.int32)
    return whole
