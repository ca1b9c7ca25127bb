"""Training schedules as tables: one row an epoch, so that resuming is going on at a row."""

import math
from typing import Literal, NamedTuple

WARMUP = 0.1  # share of a stage in which the learning rate rises; then it falls as a cosine
PROGRESSIVE = ((0.5, 0.45), (0.75, 0.3), (1.0, 0.25))  # share of the side, share of the epochs
SMALLEST = 64  # pixels; below this, shapes in a photograph are gone


class Epoch(NamedTuple):
    """One pass over the training images, between two points of its stage."""

    resolution: int
    peak: float  # learning rate at the end of the stage's warm-up
    begin: float  # shares of the stage
    end: float
    frozen: Literal["", "trunk", "norm"] = ""  # which layers keep their weights
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


def fine_tuning(rate: float, resolution: int, epochs: int) -> list[Epoch]:
    """All but batch-norm at full size, one learning-rate cosine."""
    return [Epoch(resolution, rate, *span, "norm") for span in _spans(epochs)]


def recovery(rate: float, resolution: int, epochs: int, settled: float = 0.0) -> list[Epoch]:
    """All layers at full size, one learning-rate cosine; kept are weights after a share of it."""
    return [Epoch(resolution, rate, *span, monitored=span[1] > settled) for span in _spans(epochs)]


def _spans(epochs: int) -> list[tuple[float, float]]:
    """A stage cut into its epochs."""
    return [(n / epochs, (n + 1) / epochs) for n in range(epochs)]
