"""Pictures on their way through the demo, and the slot in which the newest one waits."""

import threading
import time
from collections.abc import Generator
from dataclasses import dataclass
from typing import Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

T = TypeVar("T")
Pixels = NDArray[np.uint8]


@dataclass(frozen=True)
class Frame:
    """A picture BGR [height, width, 3], OpenCV's order, and when it was taken."""

    pixels: Pixels
    taken: float  # seconds of time.perf_counter()
    name: str = ""  # of its file


Frames = Generator[Frame, None, None]  # of a source; closing it frees the camera


class Closed(Exception):
    """Nothing more will come."""


class Slot(Generic[T]):
    """Passes one thread's results to the next: the newest wins, so that no delay can grow.

    With `every`, nothing is dropped: who puts waits until the slot is empty.
    """

    def __init__(self, every: bool = False) -> None:
        self.dropped = 0
        self._every = every
        self._item: T | None = None
        self._closed = False
        self._changed = threading.Condition()

    def put(self, item: T) -> None:
        """Leave an item to be taken, in place of one that was not taken. Raises Closed."""
        with self._changed:
            while self._every and self._item is not None and not self._closed:
                self._changed.wait()
            if self._closed:
                raise Closed
            self.dropped += self._item is not None
            self._item = item
            self._changed.notify_all()

    def take(self) -> T:
        """The newest item, which is waited for. Raises Closed when none will come."""
        with self._changed:
            while self._item is None and not self._closed:
                self._changed.wait()
            if self._item is None:
                raise Closed
            item, self._item = self._item, None
            if self._every:
                self._changed.notify_all()
            return item

    def close(self) -> None:
        """Nothing more comes; what is in the slot can still be taken."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()


def now() -> float:
    """The clock of `Frame.taken`."""
    return time.perf_counter()
