"""report.html: the report as one file that opens anywhere, without a network or scripts.

A section is a function from the run to what its template, `sections/ANCHOR.jinja`, shows; where
that is None, the page has no such section.
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from edgecv.artifacts import Report
from edgecv.report import (
    charts,
    confusion,
    coral,
    curves,
    figures,
    making,
    predictions,
    pruning,
    tables,
)
from edgecv.report.details import Details
from edgecv.report.environment import environment
from edgecv.report.sensitivity import costs
from edgecv.report.usage import usage

CLASSES = 25  # rows of the per-class table
MISTAKES = 12  # most frequent ones that are listed

Content = Mapping[str, Any] | None


class Section(NamedTuple):
    """A part of the page."""

    anchor: str
    heading: str
    content: Callable[[Report, Details], Content]


class Part(NamedTuple):
    """A section and what it shows of a run."""

    anchor: str
    heading: str
    content: Mapping[str, Any]


def page(report: Report, details: Details, run_folder: str) -> str:
    """The whole page; a section of which nothing was measured says so in one line."""
    contents = ((section, section.content(report, details)) for section in SECTIONS)
    parts = [
        Part(section.anchor, section.heading, content)
        for section, content in contents
        if content is not None
    ]
    template = environment().get_template("page.html.jinja")
    return template.render(
        report=report,
        final=figures.final_scheme(report),
        schemes=figures.schemes(report.accuracy or {}),
        comparisons=figures.comparisons(report.accuracy or {}),
        parts=parts,
        commands=making.next_commands(report, run_folder),
        figures=figures,
    )


def _size(report: Report, _: Details) -> Content:
    return {"table": tables.sizes(report)}


def _accuracy(report: Report, _: Details) -> Content:
    return {
        "table": tables.accuracy(report),
        "classes": tables.per_class(report, CLASSES),
        "matrix": confusion.matrix(report),
        "mistakes": tables.confusions(report, MISTAKES),
    }


def _pruning(report: Report, _: Details) -> Content:
    if report.pruning["kind"] == "none":
        return None
    return {
        "words": pruning.words(report),
        "before": pruning.before_and_after(report),
        "layers": pruning.layers(report),
        "epochs": len((report.training or {}).get("prune", ())),
    }


def _compared(report: Report, _: Details) -> Content:
    rows = pruning.comparison_rows(report)
    if not rows:
        return None
    left_out = [row for row in rows if row.reason]
    meaning = report.pruning["comparison"]["meaning"]
    return {"table": pruning.compared(report), "left_out": left_out, "meaning": meaning}


def _predictions(report: Report, details: Details) -> Content:
    cards = predictions.cards(details)
    return {"cards": cards, "remark": predictions.remark(report, cards)} if cards else None


def _latency(report: Report, _: Details) -> Content:
    return {"table": tables.latency(report), "lanes": charts.lanes(report.latency)}


def _coral(report: Report, _: Details) -> Content:
    if not report.coral:
        return None
    return {"states": coral.states(report), "hosts": tables.coral_hosts(report)}


def _usage(_: Report, details: Details) -> Content:
    return {"usage": usage(details.model)} if details.model else None


def _training(report: Report, _: Details) -> Content:
    drawn = curves.curves(report.training or {})
    split = tables.split(report)
    return {"split": split, "curves": drawn} if split or drawn else None


def _ranges(_: Report, details: Details) -> Content:
    return {"chart": charts.bars(details.ranges), "table": tables.ranges(details.ranges)}


def _sensitivity(_: Report, details: Details) -> Content:
    chart = costs(details.sensitivity)
    return {"chart": chart} if chart.layers else None


def _making(report: Report, _: Details) -> Content:
    return {"facts": making.making(report)}


SECTIONS = (
    Section("size", "Size", _size),
    Section("accuracy", "Accuracy", _accuracy),
    Section("pruning", "What pruning did", _pruning),
    Section("compared", "Pruning compared", _compared),
    Section("latency", "Latency", _latency),
    Section("coral", "Coral Edge TPU", _coral),
    Section("usage", "Input and output", _usage),
    Section("predictions", "Predictions", _predictions),
    Section("training", "Data and training", _training),
    Section("ranges", "Activation ranges", _ranges),
    Section("sensitivity", "Sensitivity of the layers", _sensitivity),
    Section("making", "How it was made", _making),
)
