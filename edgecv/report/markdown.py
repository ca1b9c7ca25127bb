"""report.md: the report as a text that reads well in a terminal and on a forge."""

import re
from collections.abc import Sequence

from edgecv.artifacts import Report
from edgecv.report import coral, figures, making, pruning, tables
from edgecv.report.tables import Bar, Table

CLASSES = 25  # rows of the per-class table


def markdown(report: Report, run_folder: str) -> str:
    """The whole text; a section of which nothing was measured says so in one line."""
    blocks = [
        f"# {escape(figures.title(report))}",
        f"Built by edgecv {report.edgecv}{_date(report)}: {figures.summary(report)}.",
        *[f"> Warning: {escape(text)}" for text in report.warnings],
        *_sizes(report),
        *_accuracy(report),
        *_pruning(report),
        *_compared(report),
        *_latency(report),
        *_coral(report),
        *_data(report),
        *_making(report),
        *_next(report, run_folder),
    ]
    return "\n\n".join(blocks) + "\n"


def escape(text: str) -> str:
    """User text as plain words on one line, whatever marks it contains."""
    return re.sub(r"([\\`*\[\]<>|])", r"\\\1", " ".join(text.split()))


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table that lines up in the raw text too: figures to the right, words to the left."""
    columns = [_column(cells) for cells in zip(header, *rows, strict=True)]
    return "\n".join("| " + " | ".join(line) + " |" for line in zip(*columns, strict=True))


def _column(cells: Sequence[str]) -> list[str]:
    """Header, rule and cells of one column, all of one width."""
    header, *values = cells
    width = max(3, *map(len, cells))
    if all(value[:1].isdigit() for value in values):
        return [
            header.rjust(width),
            "-" * (width - 1) + ":",
            *(value.rjust(width) for value in values),
        ]
    return [header.ljust(width), "-" * width, *(value.ljust(width) for value in values)]


def _text(content: Table | None) -> list[str]:
    """A table of the report without its bars; nothing where there is none."""
    if content is None:
        return []
    columns = [(place, name) for place, name in enumerate(content.columns) if name or place == 0]
    rows = [[row[place] for place, _ in columns] for row in content.rows]
    cells = [[escape(cell) for cell in row if not isinstance(cell, Bar)] for row in rows]
    return [table([name for _, name in columns], cells)]


def _date(report: Report) -> str:
    return f" on {report.date}" if report.date else ""


def _sizes(report: Report) -> list[str]:
    return ["## Size", *_text(tables.sizes(report))]


def _accuracy(report: Report) -> list[str]:
    accuracy = report.accuracy
    if accuracy is None:
        return ["## Accuracy", figures.no_accuracy(report)]
    return [
        "## Accuracy",
        f"On {accuracy['images']} held-out images of {escape(accuracy['data'])}; ± is one"
        " standard error.",
        *_text(tables.accuracy(report)),
        *(_change(change) for change in figures.comparisons(accuracy)),
        *_per_class(report),
    ]


def _change(change: figures.SchemeChange) -> str:
    """The change in accuracy by a conversion."""
    doubt = f" ({change.doubt})" if change.doubt else ""
    return (
        f"Top-1 of {change.scheme} against {change.reference}: {change.drop}{doubt}."
        f" Both name the same class on {figures.percent(change.agreement)} of the images."
    )


def _per_class(report: Report) -> list[str]:
    accuracy, rows = report.accuracy or {}, tables.per_class(report, CLASSES)
    note = f"The {CLASSES} worst classes; all are in report.json."
    tested = sum(1 for row in accuracy["per_class"] if row["images"])
    return [note] * (rows is not None and len(rows.rows) < tested) + _text(rows)


def _pruning(report: Report) -> list[str]:
    words = pruning.words(report)
    if not words:
        return []
    blocks = [*_text(pruning.before_and_after(report)), *_text(pruning.layers(report))]
    return ["## What pruning did", f"{words}.", *blocks]


def _compared(report: Report) -> list[str]:
    """The kinds of pruning side by side, and what they say."""
    rows = pruning.comparison_rows(report)
    if not rows:
        return []
    left_out = [f"- {row.name}: {escape(row.reason)}" for row in rows if row.reason]
    return [
        "## Pruning compared",
        *_text(pruning.compared(report)),
        escape(report.pruning["comparison"]["meaning"]),
        *(["Left out:\n\n" + "\n".join(left_out)] if left_out else []),
    ]


def _latency(report: Report) -> list[str]:
    if not report.latency:
        return ["## Latency", "Not measured."]
    doubts = [
        f"> Not valid: {entry['model']}, {figures.threads(entry)} on {escape(entry['device'])}:"
        f" {escape(entry.get('reason', 'no reason given'))}."
        for entry in report.latency
        if not entry["valid"]
    ]
    return ["## Latency", *_text(tables.latency(report)), *doubts]


def _coral(report: Report) -> list[str]:
    """The figures of the model on the Edge TPU, where that is the target."""
    states = coral.states(report)
    if not states:
        return []
    lines = [f"- **{state.name}**: {escape(state.words)}" for state in states]
    hosts = tables.coral_hosts(report)
    return ["## Coral Edge TPU", "\n".join(lines), *(_text(hosts) if hosts.rows else [])]


def _data(report: Report) -> list[str]:
    split = _text(tables.split(report))
    return ["## Data", *split] if split else []


def _making(report: Report) -> list[str]:
    lines = [f"- {name}: {escape(text)}" for name, text in making.making(report).items()]
    return ["## How it was made", "\n".join(lines)] if lines else []


def _next(report: Report, run_folder: str) -> list[str]:
    commands = making.next_commands(report, run_folder)
    width = max(len(command) for command, _ in commands)
    lines = [f"{command:<{width}}  # {purpose}" for command, purpose in commands]
    return ["## Next", "\n".join(["```sh", *lines, "```"])]
