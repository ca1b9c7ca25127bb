"""A camera for those who have none: road signs that move in front of a street."""

import itertools
import math
from collections.abc import Iterator

import cv2
import numpy as np

from edgecv.data.sign_shapes import LABELS
from edgecv.data.signs import Pose, place
from edgecv.data.street import background
from edgecv.demo.frames import Pixels

SIGN_SECONDS = 4.0  # then comes the next one, in another street
FPS = 30.0
ROOM = 1.25  # of the window that a sign is drawn in, over the sign itself
DRIFT = 0.12  # of the street's width that passes by behind a sign


def pictures(size: tuple[int, int], fps: float = FPS) -> Iterator[Pixels]:
    """Pictures BGR of a width and a height, `fps` of them for each second; they never end."""
    per_sign = max(1, round(SIGN_SECONDS * fps))
    for number in itertools.count():
        street = _street(size, number)
        for step in range(per_sign):
            yield picture(street, size, number % len(LABELS), step / per_sign)


def picture(street: Pixels, size: tuple[int, int], label: int, share: float) -> Pixels:
    """A sign in front of a street, BGR, at `share` of its path."""
    width, height = size
    start = int(share * (street.shape[1] - width))
    scene = street[:height, start : start + width].copy()
    pose = _pose(share, label)
    side = min(width, height)
    window = min(side, round(pose.size * side * ROOM))
    left, top = (
        round((length - side) / 2 + at * side - window / 2)
        for length, at in ((width, pose.x), (height, pose.y))
    )
    left, top = (max(0, min(at, length - window)) for at, length in ((left, width), (top, height)))
    behind = scene[top : top + window, left : left + window]
    centered = Pose(pose.size * side / window, 0.5, 0.5, pose.roll, pose.pitch, pose.yaw)
    scene[top : top + window, left : left + window] = place(behind, label, centered, fade=0.1)
    shown: Pixels = cv2.cvtColor(scene, cv2.COLOR_RGB2BGR)
    return shown


def _street(size: tuple[int, int], number: int) -> Pixels:
    """A street RGB, a little wider than the picture."""
    width, height = size
    wide = round(width * (1 + DRIFT))
    scene = background(max(wide, height), np.random.default_rng((7, number)))
    return scene[:height, :wide]


def _pose(share: float, label: int) -> Pose:
    """Where a sign is in the central square: it comes closer on a winding way, and turns."""
    turn = 2 * math.pi * share + label
    return Pose(
        size=0.56 + 0.13 * math.sin(turn / 2),
        x=0.5 + 0.09 * math.sin(turn),
        y=0.5 + 0.06 * math.sin(2 * turn),
        roll=7 * math.sin(turn),
        pitch=8 * math.cos(turn),
        yaw=16 * math.sin(turn + 1),
    )
