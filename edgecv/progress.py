"""How a stage tells its caller what it is doing. The library never prints; the CLI listens."""

from collections.abc import Iterable, Iterator
from typing import TypeVar

T = TypeVar("T")


class Progress:
    """A listener that keeps quiet; the command line passes one that draws bars."""

    def __init__(self) -> None:
        self.warnings: list[str] = []

    def line(self, text: str) -> None:
        """Say one thing that will stay on the screen."""

    def warn(self, text: str) -> None:
        """Say one thing, once, that the summary and the report repeat."""
        if text not in self.warnings:
            self.warnings.append(text)

    def track(self, items: Iterable[T], label: str, total: int | None = None) -> Iterator[T]:
        """Hand `items` on, one by one, while a bar named `label` moves."""
        yield from items

    def figures(self, **values: float) -> None:
        """Show figures beside the moving bar: `figures(loss=0.31, accuracy=0.92)`."""


QUIET = Progress()
