"""The tables of a report, for the page and for the text alike: a function each, from its record."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from edgecv.artifacts import Range, Report
from edgecv.report import coral, figures
from edgecv.report.charts import RELU6


class Bar(NamedTuple):
    """A bar beside a figure, only on the page: its length, and the interval of its figure."""

    share: float
    final: bool = False  # whether it is of the model that the run is for
    low: float | None = None
    high: float | None = None


Cell = str | Bar


class Table(NamedTuple):
    """A table with a name; the first column says what its rows are of."""

    name: str
    columns: Sequence[str]  # "" is that of bars
    rows: Sequence[Sequence[Cell]]
    words: Sequence[str] = ()  # columns that hold no figures


def sizes(report: Report) -> Table:
    """The files of a run, and how much smaller than the largest they are."""
    largest, final = max(file["bytes"] for file in report.files.values()), _final(report)
    rows = [
        [
            file["path"],
            Bar(file["bytes"] / largest, scheme == final),
            f"{file['bytes']:,}",
            f"{file['gzip_bytes']:,}",
            figures.ratio(largest / file["bytes"], "smaller"),
        ]
        for scheme, file in report.files.items()
    ]
    return Table("Size of the files", ["file", "", "bytes", "gzip -9", "ratio"], rows)


def accuracy(report: Report) -> Table | None:
    """A row for each model that was evaluated; the bars show the interval of two errors."""
    scores = report.accuracy
    if scores is None:
        return None
    names, means = figures.schemes(scores), scores.get("mean_over_classes", {})
    kinds = [kind for kind in figures.KINDS if kind in scores[names[0]]]
    rows: list[list[Cell]] = [
        [
            name,
            _top1_bar(report, name),
            *(figures.percent_with_error(scores[name][kind], scores["images"]) for kind in kinds),
            *([figures.percent(means[name])] if name in means else []),
        ]
        for name in names
    ]
    columns = ["model", "", *(KINDS[kind] for kind in kinds), *["mean over classes"] * bool(means)]
    return Table("Accuracy", columns, rows)


KINDS = {"top1": "top-1", "top5": "top-5"}


def per_class(report: Report, most: int) -> Table | None:
    """The accuracy of every class, of the worst `most` where there are more."""
    if report.accuracy is None:
        return None
    names, final = figures.schemes(report.accuracy), _final(report)
    last = names[-1]
    rows = [
        [
            row["label"],
            Bar(row[last], last == final),
            str(row["images"]),
            *(figures.percent(row[name]) for name in names),
        ]
        for row in figures.hardest(report, most)
    ]
    return Table("Accuracy by class", ["class", "", "images", *names], rows)


def confusions(report: Report, most: int) -> Table | None:
    """The most frequent mistakes."""
    if report.accuracy is None:
        return None
    rows = [
        [pair["label"], pair["predicted"], str(pair["images"])]
        for pair in report.accuracy.get("confusions", ())[:most]
    ]
    columns = ["true class", "predicted", "images"]
    return Table("The most frequent mistakes", columns, rows, ["predicted"])


def latency(report: Report) -> Table | None:
    """A row for each measurement, with its ratio to the float model where both compare."""
    rows = [
        [
            entry["model"],
            *(figures.milliseconds(entry[f"{name}_ms"]) for name in TIMES),
            figures.speedup(report.latency, entry),
            figures.size(entry["peak_rss_bytes"]),
            str(entry["runs"]),
            str(entry["threads"]),
            entry["runtime"],
            entry["delegate"],
            f"{figures.machine(entry)}, {entry['origin']}",
        ]
        for entry in report.latency
    ]
    columns = ["model", *(f"{name}, ms" for name in TIMES), "ratio", "peak RSS", "runs", "threads"]
    words = ["runtime", "delegate", "on"]
    return Table("Latency", [*columns, *words], rows, words) if rows else None


TIMES = ("p50", "p90", "p99", "min", "first")


def split(report: Report) -> Table | None:
    """How many images were for what."""
    data = report.data
    if not data:
        return None
    rows = [[SPLIT[key], f"{data[key]:,}"] for key in SPLIT if data.get(key)]
    return Table("Split of the images", ["for", "images"], rows)


SPLIT = {
    "train": "training, in every epoch",
    "monitor": "early stopping: neither trained nor evaluated on",
    "held_out": "evaluation: held out",
    "calibration": "ranges of int8",
}


def ranges(found: Mapping[str, Range]) -> Table:
    """The range of every tensor, in layer order."""
    rows = [
        [name, f"{limits.low:.4g}", f"{limits.high:.4g}", FIXED * (limits == RELU6)]
        for name, limits in found.items()
    ]
    return Table("Activation ranges", ["tensor", "low", "high", "remark"], rows, ["remark"])


FIXED = "fixed: a ReLU6 clips there"


def coral_hosts(report: Report) -> Table:
    """The estimated latency by host."""
    return Table("Latency with an Edge TPU, estimated", coral.HOSTS, coral.hosts(report))


def _top1_bar(report: Report, scheme: str) -> Bar:
    """A model's top-1 with two standard errors to both sides."""
    scores = report.accuracy or {}
    top1 = scores[scheme]["top1"]
    error = 2 * figures.standard_error(top1, scores["images"])
    return Bar(top1, scheme == _final(report), max(0.0, top1 - error), min(1.0, top1 + error))


def _final(report: Report) -> str:
    return figures.final_scheme(report)
