"""Statistics of an activation from one pass over the images, in memory that does not grow."""

from typing import Any

import numpy as np
import numpy.typing as npt

from edgecv.artifacts import Range
from edgecv.quantize.activations import Values

Floats = npt.NDArray[np.floating[Any]]
BINS = 4096
SEEN = 1 << 15  # values of one tensor and image that enter its histogram; all enter its extremes


class Statistics:
    """The extremes of an activation, exact, and a histogram whose range grows with them."""

    def __init__(self) -> None:
        self.low, self.high = np.inf, -np.inf
        self.counts = np.zeros(BINS, np.int64)
        self.lows: Floats = np.array([np.inf])  # by channel
        self.highs: Floats = np.array([-np.inf])
        # The lowest of one image, on average, by channel; the lowest of all, of one position.
        self.usual_low: Floats = np.zeros(1)
        self.usual_high: Floats = np.zeros(1)
        self.images = 0
        self.reach = 0.0  # the histogram runs from -reach to reach

    def see(self, values: Values) -> None:
        """Take in the values of one image; a NaN stays in the extremes."""
        rows = values.reshape(-1, values.shape[-1] if values.ndim else 1)
        lows, highs = rows.min(0), rows.max(0)
        self.lows, self.highs = np.minimum(self.lows, lows), np.maximum(self.highs, highs)
        self.images += 1
        if len(rows) == 1:
            self.usual_low, self.usual_high = self.lows, self.highs
        else:
            self.usual_low = self.usual_low + (lows - self.usual_low) / self.images
            self.usual_high = self.usual_high + (highs - self.usual_high) / self.images
        low, high = float(lows.min()), float(highs.max())
        self.low, self.high = float(np.minimum(low, self.low)), float(np.maximum(high, self.high))
        if not (np.isfinite(low) and np.isfinite(high)):
            return
        self._grow(max(-low, high, 1e-12))
        flat = values.reshape(-1)
        some = flat[:: max(1, flat.size // SEEN) | 1]
        places = ((some + self.reach) * (BINS / (2 * self.reach))).astype(np.intp)
        self.counts += np.bincount(places.clip(0, BINS - 1), minlength=BINS)

    def range(self) -> Range:
        """The lowest and the highest value seen."""
        return Range(self.low, self.high)

    def centers(self) -> Floats:
        """The middle of each bin."""
        return (np.arange(BINS) + 0.5) * (2 * self.reach / BINS) - self.reach

    def without_tails(self, share: float) -> Range:
        """The range that leaves out `share` of the values at either end."""
        mass = np.cumsum(self.counts) / max(self.counts.sum(), 1)
        width = 2 * self.reach / BINS
        first = int(np.searchsorted(mass, share, "right"))
        last = int(np.searchsorted(mass, 1 - share, "left"))
        low, high = first * width - self.reach, (last + 1) * width - self.reach
        return Range(max(low, self.low), min(high, self.high))

    def _grow(self, reach: float) -> None:
        """Double the histogram's range until it holds `reach`, merging bins in pairs."""
        if self.reach == 0:
            self.reach = reach
        while self.reach < reach:
            pairs = self.counts.reshape(-1, 2).sum(1)
            self.counts = np.zeros(BINS, np.int64)
            self.counts[BINS // 4 : 3 * BINS // 4] = pairs
            self.reach *= 2
