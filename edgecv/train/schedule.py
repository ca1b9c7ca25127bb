"""Training schedules as tables: one row an epoch, so that resuming is going on at a row."""

import math
from collections.abc import Sequence
from typing import Literal, NamedTuple

WARMUP = 0.1  # share of a stage in which the learning rate rises; then it falls as a cosine
PROGRESSIVE = ((0.5, 0.45), (0.75, 0.3), (1.0, 0.25))  # share of the side, share of the epochs
# The seconds of a training step over those of the same images forward: EfficientNet-Lite0/224 goes
# through 48 images forward in a second of a core, and is trained on 13.5, its late layers on 18.
STEP_COST = {"norm": 3.6, "early": 2.6}
MOST_ROWS = 20  # of a timed schedule; after every one, a checkpoint is written
LEAST_PASSES, DEEP_PASSES = 0.7, 2.0  # over the images, that some layers and all are tuned for
ENOUGH = 20.0  # passes, where nobody has measured how many there is time for
GENTLE = 0.05  # of fine-tuning's learning rate, over that of a training from scratch
SMALL_SIDE, SMALL_SHARE = 0.7, 0.6  # of the side, for a share of the time: at half the cost
SMALLEST = 64  # pixels; below this, shapes in a photograph are gone


class Epoch(NamedTuple):
    """One pass over the training images, between two points of its stage."""

    resolution: int
    peak: float  # learning rate at the end of the stage's warm-up
    begin: float  # shares of the stage
    end: float
    frozen: Literal["", "trunk", "norm", "early"] = ""  # which layers keep their weights
    monitored: bool = True  # whether its weights may be the ones that are kept

    def rate(self, share: float) -> float:
        """The learning rate at a share of the epoch: a linear warm-up, half a cosine to zero."""
        progress = self.begin + (self.end - self.begin) * share
        if progress < WARMUP:
            return self.peak * (0.05 + 0.95 * progress / WARMUP)
        return self.peak * 0.5 * (1 + math.cos(math.pi * (progress - WARMUP) / (1 - WARMUP)))


def from_scratch(rate: float, resolution: int, epochs: int) -> list[Epoch]:
    """Small images first, full size last (progressive resizing), one learning-rate cosine.

    A network learns the coarse shapes at half the side for a quarter of the time
    (Tan & Le, EfficientNetV2, section 4).
    """
    sides = [max(round(resolution * side / 16) * 16, SMALLEST) for side, _ in PROGRESSIVE[:-1]]
    ends = [round(epochs * sum(share for _, share in PROGRESSIVE[: n + 1])) for n in range(2)]
    rows = []
    for index, (begin, end) in enumerate(_spans(epochs)):
        stage = sum(index >= end for end in ends)
        side = sides[stage] if stage < len(sides) and index < epochs - 1 else resolution
        rows.append(Epoch(min(side, resolution), rate, begin, end))
    return rows


def transfer(rate: float, resolution: int, epochs: int) -> list[Epoch]:
    """The new head first, on a frozen trunk; then all but batch-norm, at a tenth of the rate."""
    head = max(1, round(epochs * 0.2)) if epochs > 1 else 0
    return [Epoch(resolution, rate, *span, "trunk") for span in _spans(head)] + [
        Epoch(resolution, rate / 10, *span, "norm") for span in _spans(epochs - head)
    ]


def timed_transfer(rate: float, resolution: int, passes: float) -> list[Epoch]:
    """Fine-tuning in a time in which so many passes over the images go forward, at full size.

    All but batch-norm where there is time for that, on small images first; with less, the layers
    behind the first ones; with still less, none.
    """
    deep, late = passes / STEP_COST["norm"], passes / STEP_COST["early"]
    if late < LEAST_PASSES:
        return []
    if deep < DEEP_PASSES:
        return [
            Epoch(resolution, rate, *span, "early")
            for span in _spans(min(max(2, round(late)), MOST_ROWS))
        ]
    small = max(round(resolution * SMALL_SIDE / 16) * 16, SMALLEST)
    rows = []
    for begin, end in _timed_spans(5, deep):
        side = small if end <= SMALL_SHARE else resolution
        rows.append(Epoch(min(side, resolution), rate, begin, end, "norm"))
    return rows


def describe_tuning(rows: Sequence[Epoch]) -> str:
    """What is fine-tuned in the epochs of `timed_transfer`, for a line of progress."""
    if not rows:
        return "the head is trained; there is no time to fine-tune other layers"
    layers = {"norm": "all layers", "early": "late layers"}[rows[0].frozen]
    sides = " and ".join(str(side) for side in dict.fromkeys(row.resolution for row in rows))
    return f"the head is trained; now fine-tuning {layers} at {sides} px"


def fine_tuning(rate: float, resolution: int, epochs: int) -> list[Epoch]:
    """All but batch-norm at full size, one learning-rate cosine."""
    return [Epoch(resolution, rate, *span, "norm") for span in _spans(epochs)]


def recovery(rate: float, resolution: int, epochs: int, settled: float = 0.0) -> list[Epoch]:
    """All layers at full size, one learning-rate cosine; kept are weights after a share of it."""
    return [Epoch(resolution, rate, *span, monitored=span[1] > settled) for span in _spans(epochs)]


def _spans(epochs: int) -> list[tuple[float, float]]:
    """A stage cut into its epochs."""
    return [(n / epochs, (n + 1) / epochs) for n in range(epochs)]


def _timed_spans(least: int, passes: float) -> list[tuple[float, float]]:
    """A stage cut into parts of about a pass over the images, at least so many."""
    return _spans(min(max(least, round(passes)), MOST_ROWS))
