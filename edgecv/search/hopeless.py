"""When a training cannot catch up: that of a model no larger was far ahead at the same point."""

from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple, TypeVar

from edgecv.errors import EdgecvError
from edgecv.progress import Progress

T = TypeVar("T")

AHEAD = 0.15  # of training accuracy at the same epoch
FIRST = 2  # epochs that everybody gets


class Hopeless(EdgecvError):
    """A training that is not worth its end; its checkpoint stays."""


class Course(NamedTuple):
    """How a training went: how much its model computes, and its epochs."""

    macs: float
    accuracy: list[float]  # of training, at the end of each epoch


def is_hopeless(course: Course, others: Iterable[Course]) -> bool:
    """Whether one that computes no more was further ahead than training makes up for."""
    epoch = len(course.accuracy)
    return epoch >= FIRST and any(
        other.macs <= course.macs
        and len(other.accuracy) >= epoch
        and other.accuracy[epoch - 1] - course.accuracy[-1] >= AHEAD
        for other in others
    )


class Watch(Progress):
    """Hears of every epoch of a training from scratch, and ends it when `judge` says so.

    One that goes on in the middle is let be: nobody heard of its first epochs.
    """

    def __init__(self, judge: Callable[[list[float]], bool]) -> None:
        super().__init__()
        self.accuracy: list[float] = []
        self._judge = judge
        self._last = 0.0

    def figures(self, **values: float) -> None:
        """Remember what the last batch of an epoch says of all."""
        self._last = values.get("accuracy", self._last)

    def track(self, items: Iterable[T], label: str, total: int | None = None) -> Iterator[T]:
        """Hand items on; at the end of an epoch, raise Hopeless where there is no hope."""
        yield from super().track(items, label, total)
        if label.startswith(f"epoch {len(self.accuracy) + 1}/"):
            self.accuracy.append(self._last)
            if self._judge(self.accuracy):
                raise Hopeless(f"{label}: training accuracy {self._last:.2f}, far behind others")
