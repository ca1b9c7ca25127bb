"""report.md: the report as a text that reads well in a terminal and on a forge."""

import re
from collections.abc import Sequence
from typing import Any

from edgecv.artifacts import Report
from edgecv.report import coral, figures

CLASSES = 25  # rows of the per-class table


def markdown(report: Report, run_folder: str) -> str:
    """The whole text; a section of which nothing was measured says so in one line."""
    blocks = [
        f"# {escape(figures.title(report))}",
        f"Built by edgecv {report.edgecv}: {figures.summary(report)}.",
        *[f"> Warning: {escape(text)}" for text in report.warnings],
        *_sizes(report),
        *_accuracy(report),
        *_latency(report),
        *_coral(report),
        *_compared(report),
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


def _sizes(report: Report) -> list[str]:
    largest = max(file["bytes"] for file in report.files.values())
    rows = [
        [
            file["path"],
            f"{file['bytes']:,}",
            f"{file['gzip_bytes']:,}",
            f"{largest / file['bytes']:.2f}x smaller" if file["bytes"] < largest else "",
        ]
        for file in report.files.values()
    ]
    return ["## Size", table(["file", "bytes", "gzip -9", ""], rows)]


def _accuracy(report: Report) -> list[str]:
    accuracy = report.accuracy
    if accuracy is None:
        return ["## Accuracy", figures.no_accuracy(report)]
    names = figures.schemes(accuracy)
    means = accuracy.get("mean_over_classes", {})
    kinds = [kind for kind in figures.KINDS if kind in accuracy[names[0]]]
    rows = [
        [name]
        + [figures.percent_with_error(accuracy[name][kind], accuracy["images"]) for kind in kinds]
        + ([figures.percent(means[name])] if name in means else [])
        for name in names
    ]
    return [
        "## Accuracy",
        f"On {accuracy['images']} held-out images of {escape(accuracy['data'])}; ± is one"
        " standard error.",
        table(["model", *kinds, *(["mean over classes"] * bool(means))], rows),
        *_comparison(accuracy),
        *_per_class(report, accuracy),
    ]


def _comparison(accuracy: dict[str, Any]) -> list[str]:
    """The change in accuracy by each conversion."""
    return [
        f"Top-1 of {comparison.scheme} against {comparison.reference}: {comparison.drop}."
        f" Both name the same class on {figures.percent(comparison.agreement)} of the images."
        for comparison in figures.comparisons(accuracy)
    ]


def _per_class(report: Report, accuracy: dict[str, Any]) -> list[str]:
    names = figures.schemes(accuracy)
    shown = figures.hardest(report, CLASSES)
    rows = [
        [escape(row["label"]), str(row["images"]), *(figures.percent(row[name]) for name in names)]
        for row in shown
    ]
    note = f"The {CLASSES} worst classes; all are in report.json."
    tested = sum(1 for row in accuracy["per_class"] if row["images"])
    blocks = [table(["class", "images", *names], rows)]
    return [note, *blocks] if len(shown) < tested else blocks


def _latency(report: Report) -> list[str]:
    if not report.latency:
        return ["## Latency", "Not measured."]
    header = ["model", "device", "origin", "runtime", "threads", "delegate", "runs"]
    header += ["p50 ms", "p90 ms", "p99 ms", "min ms", "first ms", "peak RSS"]
    rows = [_latency_row(entry) for entry in report.latency]
    doubts = [
        f"> Not valid: {entry['model']}, {figures.threads(entry)} on {escape(entry['device'])}:"
        f" {escape(entry.get('reason', 'no reason given'))}."
        for entry in report.latency
        if not entry["valid"]
    ]
    return ["## Latency", table(header, rows), *doubts]


def _latency_row(entry: dict[str, Any]) -> list[str]:
    words = [entry["model"], entry["device"], entry["origin"], entry["runtime"]]
    times = [entry[f"{name}_ms"] for name in ("p50", "p90", "p99", "min", "first")]
    return [
        *map(escape, words),
        str(entry["threads"]),
        entry["delegate"],
        str(entry["runs"]),
        *map(figures.milliseconds, times),
        figures.size(entry["peak_rss_bytes"]),
    ]


def _coral(report: Report) -> list[str]:
    """The figures of the model on the Edge TPU, where that is the target."""
    states = coral.states(report)
    if not states:
        return []
    lines = [f"- **{state.name}**: {escape(state.words)}" for state in states]
    rows = coral.hosts(report)
    return ["## Coral Edge TPU", "\n".join(lines), *([table(coral.HOSTS, rows)] if rows else [])]


def _compared(report: Report) -> list[str]:
    """The kinds of pruning side by side, and what they say."""
    rows = figures.comparison_rows(report)
    if not rows:
        return []
    header = ["", *figures.COMPARED]
    empty = [""] * len(figures.COMPARED)
    left_out = [f"- {row.name}: {escape(row.reason)}" for row in rows if row.reason]
    return [
        "## Pruning compared",
        table(header, [[row.name, *(row.cells or empty)] for row in rows if not row.reason]),
        escape(report.pruning["comparison"]["meaning"]),
        *(["Left out:\n\n" + "\n".join(left_out)] if left_out else []),
    ]


def _making(report: Report) -> list[str]:
    lines = [f"- {name}: {escape(text)}" for name, text in figures.making(report).items()]
    return ["## How it was made", "\n".join(lines)] if lines else []


def _next(report: Report, run_folder: str) -> list[str]:
    commands = figures.next_commands(report, run_folder)
    width = max(len(command) for command, _ in commands)
    lines = [f"{command:<{width}}  # {purpose}" for command, purpose in commands]
    return ["## Next", "\n".join(["```sh", *lines, "```"])]
