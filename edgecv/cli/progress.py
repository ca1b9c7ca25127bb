"""Progress on stderr: bars on a terminal, lines with the time elsewhere."""

import operator
import sys
import time
from collections.abc import Iterable, Iterator
from typing import TypeVar

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    ProgressColumn,
    TaskProgressColumn,
    TextColumn,
    TimeRemainingColumn,
)
from rich.progress import Progress as RichBars

from edgecv.progress import Progress

T = TypeVar("T")


class Terminal(Progress):
    """Draws on stderr, so that results on stdout can be piped."""

    def __init__(self, seconds_between_lines: float = 10.0) -> None:
        self.seconds_between_lines = seconds_between_lines  # without a terminal
        self.console = Console(file=sys.stderr, highlight=False, soft_wrap=True)
        self._figures = ""

    def line(self, text: str) -> None:
        """Print a line above the bars."""
        self.console.print(text, markup=False)

    def warn(self, text: str) -> None:
        """Print a warning."""
        self.console.print(f"warning: {text}", style="yellow", markup=False)

    def track(self, items: Iterable[T], label: str, total: int | None = None) -> Iterator[T]:
        """Hand items on while a bar moves; without a terminal, with a line every ten seconds.

        When they are through, a line with the last figures and the seconds stays.
        """
        total = (operator.length_hint(items) or None) if total is None else total
        start, self._figures = time.monotonic(), ""
        follow = self._drawn if self.console.is_terminal else self._written
        yield from follow(items, label, total)
        figures = f"{self._figures}  " * bool(self._figures)
        self.line(f"{label:<24} {figures}{time.monotonic() - start:.0f} s")

    def _drawn(self, items: Iterable[T], label: str, total: int | None) -> Iterator[T]:
        """The items, while a bar moves."""
        with RichBars(*_columns(), console=self.console, transient=True) as bars:
            task = bars.add_task(label, total=total, figures="")
            for item in items:
                yield item
                bars.update(task, advance=1, figures=self._figures)

    def _written(self, items: Iterable[T], label: str, total: int | None) -> Iterator[T]:
        """The items; how many are through is written from time to time."""
        start = said = time.monotonic()
        of_total = f" of {total}" if total else ""
        for done, item in enumerate(items, 1):
            yield item
            now = time.monotonic()
            if now - said >= self.seconds_between_lines and done != total:
                said = now
                self.line(f"{label:<24} {done}{of_total}, {now - start:.0f} s")

    def figures(self, **values: float) -> None:
        """Show figures beside the bar."""
        self._figures = "  ".join(f"{name} {value:.3g}" for name, value in values.items())


def _columns() -> list[ProgressColumn]:
    """The text of a line with a bar."""
    return [
        TextColumn("{task.description:<24}"),
        BarColumn(bar_width=24),
        MofNCompleteColumn(),
        TaskProgressColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[figures]}"),
    ]
