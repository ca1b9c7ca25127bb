"""The shapes of the ten road signs: layers of plain shapes, back to front, in a square of -1..1.

The signs follow the Vienna convention, simplified; they were chosen to differ in shape and color,
not only in what is written on them.
"""

import math
from functools import lru_cache
from typing import NamedTuple, TypeAlias

import cv2
import numpy as np
from numpy.typing import NDArray

Color: TypeAlias = tuple[int, int, int]
Point: TypeAlias = tuple[float, float]

WHITE: Color = (242, 242, 238)
BLACK: Color = (24, 24, 26)
GRAY: Color = (96, 98, 102)
RED: Color = (196, 24, 34)
BLUE: Color = (16, 82, 172)
YELLOW: Color = (250, 196, 16)

SUPERSAMPLING = 4  # shapes are drawn this much larger, then averaged down
SHIFT = 4  # fractional bits of the coordinates given to OpenCV
MARGIN = 0.94  # of half the canvas is 1.0: the sign's edge keeps clear of the border


class Polygon(NamedTuple):
    """A filled polygon."""

    color: Color
    points: tuple[Point, ...]


class Disc(NamedTuple):
    """A filled circle."""

    color: Color
    radius: float
    center: Point = (0.0, 0.0)


class Stroke(NamedTuple):
    """A line of some width with round ends through `points`."""

    color: Color
    width: float
    points: tuple[Point, ...]


Layer: TypeAlias = Polygon | Disc | Stroke


class Sign(NamedTuple):
    """One class: its label, and its layers from back to front."""

    label: str
    layers: tuple[Layer, ...]


def _regular(
    sides: int, radius: float, turn: float, center: Point = (0.0, 0.0)
) -> tuple[Point, ...]:
    """Corners of a regular polygon; the first lies `turn` degrees clockwise of the right."""
    angles = [math.radians(turn + 360 * corner / sides) for corner in range(sides)]
    return tuple(
        (center[0] + radius * math.cos(angle), center[1] + radius * math.sin(angle))
        for angle in angles
    )


def _arc(center: Point, radius: Point, start: float, end: float) -> tuple[Point, ...]:
    """Points on an ellipse from `start` to `end` degrees, clockwise from the right."""
    angles = np.radians(np.linspace(start, end, 24))
    return tuple(
        (center[0] + radius[0] * math.cos(angle), center[1] + radius[1] * math.sin(angle))
        for angle in angles
    )


def _box(left: float, top: float, right: float, bottom: float) -> tuple[Point, ...]:
    return ((left, top), (right, top), (right, bottom), (left, bottom))


def _stop_word() -> tuple[Layer, ...]:
    """The four letters, drawn as strokes: OpenCV's own fonts are too thin to read when small."""
    top, bottom, middle, half = -0.27, 0.27, 0.0, 0.135
    s = (
        *_arc((-0.57, top + half), (0.13, half), -20, -180),
        *_arc((-0.57, top + half), (0.13, half), 180, 90)[1:],
        *_arc((-0.57, bottom - half), (0.13, half), -90, 90)[1:],
        *_arc((-0.57, bottom - half), (0.13, half), 90, 160)[1:],
    )
    p = ((0.45, bottom), (0.45, top), (0.58, top), *_arc((0.58, top + 0.15), (0.14, 0.15), -90, 90))
    letters = (
        s,
        ((-0.34, top), (-0.06, top)),
        ((-0.20, top), (-0.20, bottom)),
        _arc((0.19, middle), (0.14, bottom), 0, 360),
        (*p, (0.45, top + 0.30)),
    )
    return tuple(Stroke(WHITE, 0.11, letter) for letter in letters)


_UP, _DOWN, _LYING = -90.0, 90.0, 22.5  # directions of a polygon's first corner

SIGNS: tuple[Sign, ...] = (
    Sign(
        "stop",
        (
            Polygon(WHITE, _regular(8, 1.05, _LYING)),
            Polygon(RED, _regular(8, 0.97, _LYING)),
            *_stop_word(),
        ),
    ),
    Sign(
        "give_way",
        (
            Polygon(WHITE, _regular(3, 1.18, _DOWN, (0.0, -0.24))),
            Polygon(RED, _regular(3, 1.10, _DOWN, (0.0, -0.24))),
            Polygon(WHITE, _regular(3, 0.62, _DOWN, (0.0, -0.24))),
        ),
    ),
    Sign(
        "no_entry",
        (
            Disc(WHITE, 1.0),
            Disc(RED, 0.94),
            Polygon(WHITE, _box(-0.68, -0.17, 0.68, 0.17)),
        ),
    ),
    Sign(
        "priority_road",
        (
            Polygon(BLACK, _regular(4, 1.06, _UP)),
            Polygon(WHITE, _regular(4, 1.02, _UP)),
            Polygon(YELLOW, _regular(4, 0.74, _UP)),
        ),
    ),
    Sign(
        "danger",
        (
            Polygon(WHITE, _regular(3, 1.18, _UP, (0.0, 0.24))),
            Polygon(RED, _regular(3, 1.10, _UP, (0.0, 0.24))),
            Polygon(WHITE, _regular(3, 0.74, _UP, (0.0, 0.24))),
            Polygon(BLACK, ((-0.10, -0.22), (0.10, -0.22), (0.06, 0.24), (-0.06, 0.24))),
            Disc(BLACK, 0.095, (0.0, 0.42)),
        ),
    ),
    Sign(
        "ahead_only",
        (
            Disc(WHITE, 1.0),
            Disc(BLUE, 0.95),
            Polygon(WHITE, _box(-0.12, -0.20, 0.12, 0.68)),
            Polygon(WHITE, ((0.0, -0.74), (0.42, -0.14), (-0.42, -0.14))),
        ),
    ),
    Sign(
        "pedestrian_crossing",
        (
            Polygon(WHITE, _box(-0.96, -0.96, 0.96, 0.96)),
            Polygon(BLUE, _box(-0.90, -0.90, 0.90, 0.90)),
            Polygon(WHITE, ((0.0, -0.74), (0.80, 0.70), (-0.80, 0.70))),
            Disc(BLACK, 0.10, (0.03, -0.30)),
            Stroke(BLACK, 0.15, ((0.02, -0.12), (0.0, 0.18))),
            Stroke(BLACK, 0.08, ((-0.22, 0.10), (0.0, -0.10), (0.20, 0.10))),
            Stroke(BLACK, 0.09, ((-0.24, 0.58), (-0.02, 0.18), (0.22, 0.58))),
        ),
    ),
    Sign(
        "parking",
        (
            Polygon(WHITE, _box(-0.96, -0.96, 0.96, 0.96)),
            Polygon(BLUE, _box(-0.90, -0.90, 0.90, 0.90)),
            Stroke(WHITE, 0.24, ((-0.28, 0.60), (-0.28, -0.58))),
            Stroke(
                WHITE,
                0.24,
                ((-0.28, -0.58), (0.08, -0.58), *_arc((0.08, -0.24), (0.32, 0.34), -90, 90)),
            ),
            Stroke(WHITE, 0.24, ((0.08, 0.10), (-0.28, 0.10))),
        ),
    ),
    Sign(
        "speed_limit_50",
        (
            Disc(WHITE, 1.0),
            Disc(RED, 0.96),
            Disc(WHITE, 0.72),
            Stroke(
                BLACK,
                0.13,
                (
                    (-0.13, -0.36),
                    (-0.42, -0.36),
                    (-0.45, -0.04),
                    *_arc((-0.31, 0.13), (0.20, 0.22), -120, 140),
                ),
            ),
            Stroke(BLACK, 0.13, _arc((0.29, 0.0), (0.18, 0.36), 0, 360)),
        ),
    ),
    Sign(
        "end_of_limits",
        (
            Disc(GRAY, 1.0),
            Disc(WHITE, 0.92),
            *(
                Stroke(
                    BLACK, 0.07, ((-0.55 + offset, 0.55 + offset), (0.55 + offset, -0.55 + offset))
                )
                for offset in (-0.20, -0.10, 0.0, 0.10, 0.20)
            ),
        ),
    ),
)

LABELS: tuple[str, ...] = tuple(sign.label for sign in SIGNS)


@lru_cache(maxsize=64)
def template(label: int, size: int) -> NDArray[np.uint8]:
    """The sign seen from the front: RGBA, `size` square, colors premultiplied by alpha."""
    large = size * SUPERSAMPLING
    canvas = np.zeros((large, large, 4), np.uint8)
    for layer in SIGNS[label].layers:
        _draw(canvas, layer)
    small: NDArray[np.uint8] = cv2.resize(canvas, (size, size), interpolation=cv2.INTER_AREA)
    small.flags.writeable = False  # shared by every render
    return small


def _draw(canvas: NDArray[np.uint8], layer: Layer) -> None:
    half = canvas.shape[0] / 2
    color = (*layer.color, 255)
    match layer:
        case Polygon(_, points):
            cv2.fillPoly(canvas, [_pixels(points, half)], color, cv2.LINE_8, SHIFT)
        case Disc(_, radius, center):
            x, y = _pixels((center,), half)[0]
            scaled = round(radius * half * MARGIN * 2**SHIFT)
            cv2.circle(canvas, (int(x), int(y)), scaled, color, cv2.FILLED, cv2.LINE_8, SHIFT)
        case Stroke(_, width, points):
            thickness = max(1, round(width * half * MARGIN))
            corners = [_pixels(points, half)]
            cv2.polylines(canvas, corners, False, color, thickness, cv2.LINE_8, SHIFT)


def _pixels(points: tuple[Point, ...], half: float) -> NDArray[np.int32]:
    """Canvas coordinates with SHIFT fractional bits."""
    center, scale = half - 0.5, half * MARGIN
    fixed = (np.array(points, np.float64) * scale + center) * 2**SHIFT
    whole: NDArray[np.int32] = np.round(fixed).astype(np.int32)
    return whole
