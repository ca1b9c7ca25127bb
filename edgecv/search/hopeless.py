"""When a training cannot catch up: another one, cheaper to run, was far ahead at the same point."""

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
    """How a training went: the latency that its model has or is said to have, and its epochs."""

    ms: float
    accuracy: list[float]  # of training, at the end of each epoch


def is_hopeless(course: Course, others: Iterable[Course]) -> bool:
    """Whether one of the others is as fast, and was further ahead than training makes up for."""
    epoch = len(course.accuracy)
    return epoch >= FIRST and any(
        other.ms <= course.ms
        and len(other.accuracy) >= epoch
        and other.accuracy[epoch - 1] - course.accuracy[-1] >= AHEAD
        for other in others
    )


class Watch(Progress):
    """Hears of every epoch of the training from scratch, and ends it when `judge` says so."""

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
        if label.startswith("epoch "):
            self.accuracy.append(self._last)
            if self._judge(self.accuracy):
                raise Hopeless(f"{label}: training accuracy {self._last:.2f}, far behind others")
