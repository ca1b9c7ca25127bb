"""Progress of stages, shown by the caller: the library never prints, the CLI listens."""

from collections.abc import Callable, Iterable, Iterator
from typing import TypeAlias, TypeVar

T = TypeVar("T")
OnEpoch: TypeAlias = Callable[[int, float], None]  # an epoch's number, from 1, and its accuracy


class Progress:
    """A listener that keeps quiet; the command line passes one that draws bars."""

    def line(self, text: str) -> None:
        """Show a line that stays on the screen."""

    def warn(self, text: str) -> None:
        """Show a warning about a result."""

    def track(self, items: Iterable[T], label: str, total: int | None = None) -> Iterator[T]:
        """Hand `items` on, one by one, while a bar named `label` moves."""
        yield from items

    def figures(self, **values: float) -> None:
        """Show figures beside the moving bar: `figures(loss=0.31, accuracy=0.92)`."""


QUIET = Progress()


class Warnings:
    """The warnings of a job, each text once: shown as they come, and repeated in its results."""

    def __init__(self, progress: Progress = QUIET) -> None:
        self.texts: list[str] = []
        self._progress = progress

    def add(self, *texts: str) -> None:
        """Keep and show those that are new."""
        for text in texts:
            if text not in self.texts:
                self.texts.append(text)
                self._progress.warn(text)
