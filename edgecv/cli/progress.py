"""Progress on stderr: bars where a person watches, one line a stage where nobody does."""

import operator
import sys
from collections.abc import Iterable, Iterator
from typing import TypeVar

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    TaskProgressColumn,
    TextColumn,
    TimeRemainingColumn,
)
from rich.progress import Progress as RichBars

from edgecv.progress import Progress

T = TypeVar("T")


class Terminal(Progress):
    """Draws on stderr, so that results on stdout can be piped."""

    def __init__(self) -> None:
        super().__init__()
        self.console = Console(file=sys.stderr, highlight=False, soft_wrap=True)
        self._figures = ""
        self._bars: RichBars | None = None

    def line(self, text: str) -> None:
        """Print a line; it stays."""
        self.console.print(text, markup=False)

    def warn(self, text: str) -> None:
        """Print a warning, once, and keep it for the summary."""
        if text in self.warnings:
            return
        super().warn(text)
        self.console.print(f"warning: {text}", style="yellow", markup=False)

    def track(self, items: Iterable[T], label: str, total: int | None = None) -> Iterator[T]:
        """Hand items on while a bar moves; without a terminal, a line when they are through."""
        total = (operator.length_hint(items) or None) if total is None else total
        columns = (
            TextColumn("{task.description:<24}"),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TaskProgressColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[figures]}"),
        )
        shown = self.console.is_terminal
        with RichBars(*columns, console=self.console, transient=True, disable=not shown) as bars:
            outer, self._bars = self._bars, bars
            self._figures = ""
            task = bars.add_task(label, total=total, figures="")
            try:
                for item in items:
                    yield item
                    bars.update(task, advance=1, figures=self._figures)
            finally:
                self._bars = outer
        self.line(f"{label:<24} {self._figures}".rstrip())

    def figures(self, **values: float) -> None:
        """Show figures beside the bar."""
        self._figures = "  ".join(f"{name} {value:.3g}" for name, value in values.items())
