"""The accuracy over the epochs of every training of a run, as a chart and a table."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from edgecv.report.charts import Tick
from edgecv.report.tables import Table

HEIGHT, WIDTH = 180.0, 1000.0  # of the drawing; the page stretches its width
STAGES = {
    "train": "Training",
    "prune": "Fine-tuning after pruning",
    "qat": "Quantization-aware training",
}
LINES = {"accuracy": "training images", "monitor_accuracy": "early stopping's images"}
COLUMNS = {
    "resolution": "px",
    "loss": "loss",
    "accuracy": "accuracy, %",
    "monitor_loss": "loss, early stopping",
    "monitor_accuracy": "accuracy, early stopping, %",
}

Epoch = Mapping[str, Any]  # of report.json's `training`; figures of a monitored epoch may be absent


class Line(NamedTuple):
    """A line of a chart: what it is of, its class in the page, `x,y x,y ...`."""

    name: str
    kind: str
    points: str


class Curve(NamedTuple):
    """The accuracy over the epochs of a training."""

    name: str
    lines: list[Line]
    ticks: list[Tick]
    table: Table
    height: float = HEIGHT


def curves(training: Mapping[str, Sequence[Epoch]]) -> list[Curve]:
    """A curve for every training of more than one epoch."""
    return [
        _curve(STAGES.get(stage, stage), epochs)
        for stage, epochs in training.items()
        if len(epochs) > 1
    ]


def _curve(name: str, epochs: Sequence[Epoch]) -> Curve:
    shares: list[float] = [100 * epoch[key] for epoch in epochs for key in LINES if key in epoch]
    low, high = 10 * math.floor(min(shares) / 10), 10 * math.ceil(max(shares) / 10)
    span = max(10, high - low)

    def y(percent: float) -> float:
        return float(HEIGHT) * (1 - (percent - low) / span)

    def line(key: str, words: str) -> Line:
        places = [
            f"{WIDTH * place / (len(epochs) - 1):.1f},{y(100 * epoch[key]):.1f}"
            for place, epoch in enumerate(epochs)
            if key in epoch
        ]
        return Line(words, key.partition("_")[0], " ".join(places))

    ticks = [Tick(y(mark), f"{mark:g}") for mark in range(low, low + span + 1, 10)]
    lines = [line(key, words) for key, words in LINES.items()]
    return Curve(name, [line for line in lines if line.points], ticks, _table(name, epochs))


def _table(name: str, epochs: Sequence[Epoch]) -> Table:
    """Every epoch's figures."""
    shown = [key for key in COLUMNS if any(key in epoch for epoch in epochs)]
    rows = [
        [str(number), *(_cell(key, epoch[key]) if key in epoch else "" for key in shown)]
        for number, epoch in enumerate(epochs, 1)
    ]
    return Table(name, ["epoch", *(COLUMNS[key] for key in shown)], rows)


def _cell(key: str, value: float) -> str:
    if key == "resolution":
        return f"{value:g}"
    return f"{100 * value:.1f}" if key.endswith("accuracy") else f"{value:.3f}"
