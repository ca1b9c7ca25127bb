"""When a training cannot catch up: that of a model no larger was far ahead at the same point."""

from collections.abc import Callable, Iterable
from typing import NamedTuple

from edgecv.errors import EdgecvError

AHEAD = 0.15  # of training accuracy at the same epoch
FIRST = 2  # epochs that everybody gets


class StoppedEarly(EdgecvError):
    """A training was stopped early; its checkpoint stays."""


class Course(NamedTuple):
    """How a training went: how much its model computes, and its epochs."""

    macs: float
    accuracy: list[float]  # of training, at the end of each epoch


def is_far_behind(course: Course, others: Iterable[Course]) -> bool:
    """Whether one that computes no more was further ahead than training makes up for."""
    epoch = len(course.accuracy)
    return epoch >= FIRST and any(
        other.macs <= course.macs
        and len(other.accuracy) >= epoch
        and other.accuracy[epoch - 1] - course.accuracy[-1] >= AHEAD
        for other in others
    )


class Watch:
    """A callback for every epoch of a training from scratch, which it ends when `judge` says so.

    A training that is resumed in the middle is not stopped: its first epochs are not known.
    """

    def __init__(self, judge: Callable[[list[float]], bool]) -> None:
        self.accuracy: list[float] = []
        self._judge = judge

    def on_epoch(self, number: int, accuracy: float) -> None:
        """Remember an epoch's accuracy on the training images; raise Hopeless where it is that."""
        if number != len(self.accuracy) + 1:
            return
        self.accuracy.append(accuracy)
        if self._judge(self.accuracy):
            raise StoppedEarly(
                f"epoch {number}: training accuracy {accuracy:.2f}, far behind others"
            )
