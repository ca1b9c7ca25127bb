"""Renders of ten road signs as a camera might see them: no two alike, none of them a file.

A render is a street, a sign in some pose on it, and a camera with its light, blur and noise.
"""

import math
from collections.abc import Iterator
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from edgecv.data.dataset import Image, Sample, shuffle
from edgecv.data.sign_shapes import LABELS, template
from edgecv.data.street import SCENERY, background, camera, pixels, thickness

TRAINING, VALIDATION, CALIBRATION, MONITOR = range(4)  # streams of random numbers that never meet
MONITORED = 200  # renders that early stopping looks at
FOCAL = 3.0  # distance of the camera in half signs; the smaller, the stronger the perspective


class Pose(NamedTuple):
    """Where a sign is in the frame and how it is turned."""

    size: float = 0.7  # of the sign, as a share of the frame
    x: float = 0.5  # center, as shares of the frame
    y: float = 0.5
    roll: float = 0.0  # degrees
    pitch: float = 0.0
    yaw: float = 0.0


def render(label: int, resolution: int, rng: np.random.Generator) -> Image:
    """A road sign in a street, RGB [resolution, resolution, 3], fully determined by `rng`."""
    scene = background(resolution, rng)
    pose = random_pose(rng)
    if rng.random() < 0.5:
        _draw_pole(scene, pose, rng)
    scene = place(scene, label, pose, fade=rng.uniform(0, 0.25))
    if rng.random() < 0.2:
        _draw_branch(scene, pose, rng)
    return camera(scene, rng)


def random_pose(rng: np.random.Generator) -> Pose:
    """A pose in which the sign fills 45 to 90 % of the frame and hardly leaves it."""
    size = rng.uniform(0.45, 0.9)
    play = (1 - size) / 2 + 0.03
    x, y = 0.5 + rng.uniform(-play, play, 2)
    roll, pitch, yaw = rng.normal(0, 1, 3).clip(-2, 2) * (7, 10, 16)
    return Pose(size, x, y, roll, pitch, yaw)


def place(scene: Image, label: int, pose: Pose, fade: float = 0.0) -> Image:
    """`scene` with a sign on it; `fade` is the share of color that years of sun have taken."""
    resolution = scene.shape[0]
    source = template(label, _template_size(pose.size * resolution))
    frame = homography(pose, source.shape[0], resolution)
    sign = cv2.warpPerspective(source, frame, (resolution, resolution), flags=cv2.INTER_LINEAR)
    alpha = cv2.cvtColor(cv2.extractChannel(sign, 3), cv2.COLOR_GRAY2RGB)
    paint = cv2.cvtColor(sign, cv2.COLOR_RGBA2RGB)
    if fade:
        paint = cv2.addWeighted(paint, 1 - fade, alpha, 0.6 * fade, 0)
    behind = cv2.multiply(scene, cv2.bitwise_not(alpha), scale=1 / 255)
    placed: Image = cv2.add(behind, paint)
    return placed


def homography(pose: Pose, size: int, resolution: int) -> NDArray[np.float64]:
    """The 3x3 matrix from pixels of a `size` square to pixels of the frame."""
    corners = np.array([(-1, -1, 0), (1, -1, 0), (1, 1, 0), (-1, 1, 0)]) @ _rotation(pose).T
    scale = pose.size / 2 * FOCAL / (FOCAL + corners[:, 2:])
    frame = (pose.x, pose.y) + corners[:, :2] * scale
    end = size - 0.5
    square = np.array([(-0.5, -0.5), (end, -0.5), (end, end), (-0.5, end)], np.float32)
    seen = (frame * resolution - 0.5).astype(np.float32)
    matrix: NDArray[np.float64] = cv2.getPerspectiveTransform(square, seen)
    return matrix


def _rotation(pose: Pose) -> NDArray[np.float64]:
    """Roll within the plane of the sign, then yaw about its upright, then pitch."""
    roll, pitch, yaw = np.radians((pose.roll, pose.pitch, pose.yaw))
    upright = np.array([(np.cos(yaw), 0, -np.sin(yaw)), (0, 1, 0), (np.sin(yaw), 0, np.cos(yaw))])
    level = np.array(
        [(1, 0, 0), (0, np.cos(pitch), -np.sin(pitch)), (0, np.sin(pitch), np.cos(pitch))]
    )
    plane = np.array([(np.cos(roll), -np.sin(roll), 0), (np.sin(roll), np.cos(roll), 0), (0, 0, 1)])
    turned: NDArray[np.float64] = level @ upright @ plane
    return turned


def _draw_pole(scene: Image, pose: Pose, rng: np.random.Generator) -> None:
    resolution = scene.shape[0]
    lean = math.radians(pose.roll)
    ends = np.array([(pose.x, pose.y), (pose.x - 1.5 * math.sin(lean), pose.y + 1.5)])
    gray = int(rng.integers(70, 190))
    width = thickness(pose.size * rng.uniform(0.05, 0.1), resolution)
    start, end = pixels(ends, resolution).tolist()
    cv2.line(scene, start, end, (gray, gray, gray), width, cv2.LINE_AA)


def _draw_branch(scene: Image, pose: Pose, rng: np.random.Generator) -> None:
    """A twig or a sticker over a small part of the sign."""
    resolution = scene.shape[0]
    color = SCENERY[rng.integers(2, len(SCENERY))] * rng.uniform(0.4, 1.0)
    paint = [int(channel) for channel in color]
    center = np.array((pose.x, pose.y)) + rng.uniform(-0.4, 0.4, 2) * pose.size
    along = rng.uniform(-0.3, 0.3, 2) * pose.size
    start, end = pixels(np.array([center - along, center + along]), resolution).tolist()
    width = thickness(pose.size * rng.uniform(0.03, 0.1), resolution)
    cv2.line(scene, start, end, paint, width, cv2.LINE_AA)


def _template_size(pixels: float) -> int:
    """The smallest power of two that needs no more than a halving: bilinear sampling then holds."""
    return 1 << max(4, math.ceil(math.log2(pixels)))


class Signs:
    """The built-in dataset: every training image is a fresh render, validation is a fixed set."""

    name = "signs"
    digest = ""
    held_out: frozenset[str] = frozenset()
    warnings: tuple[str, ...] = ()
    labels = LABELS

    def __init__(self, seed: int, images_per_epoch: int = 1500, validation_size: int = 500) -> None:
        self.train_size = images_per_epoch
        self.class_sizes = (max(1, images_per_epoch // len(LABELS)),) * len(LABELS)
        self.validation_size = validation_size
        self.monitor_size = MONITORED
        self._seed = seed

    def training_image(self, resolution: int, epoch: int, index: int) -> tuple[Image, int]:
        """Render `index` of an epoch and its label; labels are balanced and shuffled."""
        order = shuffle(self.train_size, self._seed, epoch)
        label = int(order[index % self.train_size]) % len(LABELS)
        rng = np.random.default_rng((TRAINING, self._seed, epoch, index))
        return render(label, resolution, rng), label

    def training(self, resolution: int, epoch: int) -> Iterator[tuple[Image, int]]:
        """The renders of one epoch, determined by the seed and the epoch."""
        for index in range(self.train_size):
            yield self.training_image(resolution, epoch, index)

    def validation(self, resolution: int) -> Iterator[Sample]:
        """The same renders for every seed, none of them ever trained on."""
        for index in range(self.validation_size):
            yield _sample("validation", index, resolution, (VALIDATION, 0, 0, index))

    def monitor(self, resolution: int) -> list[Sample]:
        """Renders of their own, the same after every epoch."""
        return [
            _sample("monitor", index, resolution, (MONITOR, self._seed, 0, index))
            for index in range(MONITORED)
        ]

    def calibration(self, resolution: int, count: int) -> list[Sample]:
        """Renders like those of the training, spread evenly over the classes."""
        streams = ((CALIBRATION, self._seed, 0, index) for index in range(count))
        return [
            _sample("calibration", index, resolution, stream)
            for index, stream in enumerate(streams)
        ]


def _sample(split: str, index: int, resolution: int, stream: tuple[int, ...]) -> Sample:
    label = index % len(LABELS)
    image = render(label, resolution, np.random.default_rng(stream))
    return Sample(image, label, f"signs/{split}/{index}")
