"""The time of a training that ends after so many minutes, also when it is interrupted."""

import math
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TypeVar

from edgecv.errors import RecipeError
from edgecv.files import write_text

WARM = 4  # batches before a look at the pace; TensorFlow traces the model in the first
T = TypeVar("T")


class Clock:
    """The seconds that a training may take, and those that have passed, as a file keeps them."""

    def __init__(self, minutes: float, state: Path) -> None:
        self.seconds = 60 * minutes
        self._state = state
        self._has_pace = state.exists()
        spent = float(state.read_text()) if state.exists() else 0.0
        self._start = time.monotonic() - spent

    @property
    def spent(self) -> float:
        """Seconds that have passed, those before an interruption included."""
        return time.monotonic() - self._start

    @property
    def left(self) -> float:
        """Seconds until the end; never less than 0."""
        return max(0.0, self.seconds - self.spent)

    def save(self) -> None:
        """Keep what has passed, for a training that goes on after an interruption."""
        write_text(self._state, f"{self.spent}")

    def part(self, items: Iterable[T], begin: float, end: float) -> Iterator[tuple[float, T]]:
        """The items that begin in a part of the time left, each with the share of it that is over.

        The part lies between two shares of a stage that lasts until the end.
        """
        start, seconds = self.spent, self.left * (end - begin) / (1 - begin)
        for item in items:
            over = self.spent - start
            if over >= seconds:
                return
            yield over / seconds, item

    def watch(self, feed: Iterable[T], batch: int, images: int) -> Iterator[T]:
        """The batches of a feed. Raises RecipeError after a few, where a pass takes too long."""
        times: list[float] = []
        for item in feed:
            yield item
            times.append(time.monotonic())
            if len(times) == WARM and not self._has_pace:
                self._has_pace = True
                self._check_pass(images, batch * (WARM - 1) / (times[-1] - times[0]))

    def _check_pass(self, images: int, pace: float) -> None:
        """Raise RecipeError where one pass over the images, at images a second, takes too long."""
        needed = images / pace
        if needed > self.seconds - self.spent:
            least = math.ceil((self.spent + needed) / 6) / 10
            raise RecipeError(
                f"--minutes {self.seconds / 60:g}: too few to see {images:,} training images once,"
                f" at {pace:.3g} a second on this machine; there is time for that with --minutes"
                f" {least:g}, or with a smaller --res"
            )
