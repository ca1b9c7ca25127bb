"""Latencies that others have published: `published.csv`, which names the source of each row."""

import csv
import functools
from pathlib import Path
from typing import NamedTuple

from edgecv import models
from edgecv.device.description import SHIPPED
from edgecv.estimate.rates import Sample
from edgecv.models.float_file import float_model
from edgecv.recipe import ModelOptions
from edgecv.tflite import operator_kinds
from edgecv.tflite.operator_kinds import Cost

RUY = ("rpi4", "tflite 2.7.1 (ruy)")  # the board with the most rows, and with what
XNNPACK = {  # boards with a few rows of LiteRT's own kernels
    "rpi4": "xnnpack",
    "rpi3b_plus": "xnnpack (32 bits)",
    "rpi5": "xnnpack (ExecuTorch)",
}

Model = tuple[str, float, int]  # arch, width, resolution


class PublishedRow(NamedTuple):
    """One published latency; the fields are the CSV's columns."""

    board: str  # a device that comes with edgecv
    arch: str
    width: float
    resolution: int
    scheme: str
    threads: int
    runtime: str
    ms: float
    source: str

    @property
    def model(self) -> Model:
        """The model that was measured."""
        return self.arch, self.width, self.resolution


def folder() -> Path:
    """Where the tables and the fitted model lie."""
    return next(place / "latency" for place in SHIPPED if (place / "latency").is_dir())


def rows() -> list[PublishedRow]:
    """Every published latency."""
    with (folder() / "published.csv").open(encoding="utf-8", newline="") as file:
        return [
            PublishedRow(
                line["board"],
                line["arch"],
                float(line["width"]),
                int(line["resolution"]),
                line["scheme"],
                int(line["threads"]),
                line["runtime"],
                float(line["ms"]),
                line["source"],
            )
            for line in csv.DictReader(file)
        ]


@functools.cache
def operators() -> dict[Model, list[Cost]]:
    """The operators of each published model, of 1000 classes, by kind."""
    return {model: _costs(*model) for model in sorted({row.model for row in rows()})}


def _costs(arch: str, width: float, resolution: int) -> list[Cost]:
    network = models.network(ModelOptions(arch, width, resolution), 1000)
    return operator_kinds.sum_by_kind(operator_kinds.costs(float_model(network)))


def samples(scheme: str, where: tuple[str, str], by_source: bool = False) -> list[Sample]:
    """Samples for fitting the rates of a board with a runtime; a group is an architecture.

    With `by_source`, a group is a source.
    """
    return [
        Sample(operators()[row.model], row.ms, row.source if by_source else row.arch)
        for row in rows()
        if (row.board, row.runtime) == where and row.scheme == scheme
    ]


def threads(where: tuple[str, str]) -> int:
    """With how many threads a runtime was measured on a board."""
    return next(row.threads for row in rows() if (row.board, row.runtime) == where)


def ratios(board: str, reference: str, scheme: str) -> list[tuple[str, float]]:
    """How many times slower than another board, for each model measured on both alike.

    With each, the runtime that it was measured with.
    """
    there = {
        (row.model, row.runtime, row.threads): row.ms
        for row in rows()
        if (row.board, row.scheme) == (reference, scheme)
    }
    return [
        (row.runtime, row.ms / there[row.model, row.runtime, row.threads])
        for row in rows()
        if (row.board, row.scheme) == (board, scheme)
        if (row.model, row.runtime, row.threads) in there
    ]
