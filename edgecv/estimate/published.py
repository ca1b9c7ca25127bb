"""Latencies that others have published: `published.csv`, which names the source of each row."""

import csv
import functools
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from edgecv import models
from edgecv.device.description import SHIPPED
from edgecv.estimate.rates import Sample
from edgecv.models.graph import float_model
from edgecv.recipe import ModelOptions
from edgecv.tflite import kinds
from edgecv.tflite.kinds import Cost

REFERENCE = ("rpi4", "tflite 2.7.1 (ruy)")  # the board with the most rows, and with what
FEW = {"rpi5": "xnnpack (ExecuTorch)"}  # boards with a few rows of LiteRT's own kernels

Model = tuple[str, float, int]  # arch, width, resolution


class Row(NamedTuple):
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
        """What it was measured of."""
        return self.arch, self.width, self.resolution


def folder() -> Path:
    """Where the tables and the fitted model lie."""
    return next(each / "latency" for each in SHIPPED if (each / "latency").is_dir())


def rows() -> list[Row]:
    """Every published latency."""
    with (folder() / "published.csv").open(encoding="utf-8", newline="") as file:
        return [
            Row(
                each["board"],
                each["arch"],
                float(each["width"]),
                int(each["resolution"]),
                each["scheme"],
                int(each["threads"]),
                each["runtime"],
                float(each["ms"]),
                each["source"],
            )
            for each in csv.DictReader(file)
        ]


@functools.cache
def operators() -> dict[Model, list[Cost]]:
    """The operators of each published model, of 1000 classes, by kind."""
    return {model: _costs(*model) for model in sorted({row.model for row in rows()})}


def _costs(arch: str, width: float, resolution: int) -> list[Cost]:
    network = models.network(ModelOptions(arch, width, resolution), 1000)
    return kinds.by_kind(kinds.costs(float_model(network)))


def samples(scheme: str, where: tuple[str, str] = REFERENCE) -> list[Sample]:
    """What the rates of a board with a runtime are fitted on; a group is an architecture."""
    known = operators()
    return [
        Sample(known[each.model], each.ms, each.arch)
        for each in rows()
        if (each.board, each.runtime) == where and each.scheme == scheme
    ]


def ratios(board: str, scheme: str) -> list[float]:
    """How many times slower than the reference board, for each model measured on both alike."""
    found = [each for each in rows() if each.scheme == scheme]
    reference = {
        (each.model, each.runtime, each.threads): each.ms
        for each in found
        if each.board == REFERENCE[0]
    }
    pairs = [
        (each.ms, reference.get((each.model, each.runtime, each.threads)))
        for each in found
        if each.board == board
    ]
    return [slow / fast for slow, fast in pairs if fast]


def boards() -> Sequence[str]:
    """The boards with rows, the reference board first."""
    return sorted({each.board for each in rows()}, key=lambda name: (name != REFERENCE[0], name))
