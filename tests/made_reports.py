"""Reports as runs of several kinds leave them, of one tiny model that was really measured."""

import dataclasses
import functools
from pathlib import Path

from edgecv import report
from edgecv.artifacts import Range, Report
from edgecv.evaluate.accuracy import evaluate
from edgecv.profile import profile
from edgecv.recipe import ProfileOptions
from tests import tiny_models


@functools.cache
def plain() -> tuple[Report, report.Details]:
    """A run of float32 and int8 on the built-in signs."""
    tiny = tiny_models.tiny()
    evaluation = evaluate(tiny.float32, tiny.int8, tiny.samples, tiny.labels, "signs")
    models = (tiny.float32, tiny.int8)
    written = Report(
        edgecv="0.1.0",
        arch="mobilenet_v1",
        width=0.25,
        resolution=32,
        classes=10,
        parameters=10_666,
        macs=410_000,
        weights="trained",
        files={model.scheme: model.describe() for model in models},
        quantization={"method": "min-max", "operators": {"CONV_2D": 2}, "full_int8": True},
        accuracy=evaluation.accuracy,
        latency=[profile(model, ProfileOptions(runs=30)) for model in models],
        seconds={"train": 12.3},
        warnings=["2 images are corrupt"],
        date="2026-11-28",
        data={"name": "signs", "train": 480, "monitor": 200, "held_out": 100, "calibration": 20},
        training={"train": [_epoch(number) for number in range(8)]},
    )
    ranges = {**tiny.ranges, "saturated": Range(0.0, 6.0)}
    sensitivity = [_cost(f"block{n}_depthwise_relu6", 0.3 / 10**n) for n in range(4)]
    details = report.Details(
        tiny.labels, ranges, evaluation.predictions, sensitivity, tiny.int8.path
    )
    return written, details


def channels() -> tuple[Report, report.Details]:
    """The same run as if its channels had been cut to half."""
    written, details = plain()
    layers = [
        {"layer": f"block{n}_pointwise_conv", "channels": 8 * n, "channels_before": 16 * n}
        | {"macs": 1000 * n, "macs_before": 4000 * n}
        for n in range(1, 5)
    ]
    before = {"macs": 2 * written.macs, "parameters": 2 * written.parameters}
    before |= {"top1_float32": 0.9, "bytes_int8": 90_000, "p50_ms_int8": 1.5}
    pruning = {"kind": "channels", "sparsity": 0.012, "channels": [8, 16], "layers": layers}
    return dataclasses.replace(written, pruning=pruning | {"before": before}), details


def many_classes(count: int) -> tuple[Report, report.Details]:
    """The same run as if it told so many classes apart."""
    written, details = plain()
    group = -(-count // 100)
    size = -(-count // group)
    rows = [
        {"label": f"class number {n}", "images": 2, "float32": 1.0, "int8": 0.5}
        for n in range(count)
    ]
    places = range(size)
    matrix = [[(row == column) + (7 * row % size == column) for column in places] for row in places]
    mistakes = [{"label": "class number 1", "predicted": "class number 7", "images": 1}]
    more = {"per_class": rows, "confusions": mistakes, "confusion": matrix}
    more |= {"confusion_group": group} if group > 1 else {}
    return dataclasses.replace(written, classes=count, accuracy=written.accuracy | more), details


def leave(folder: Path, made: tuple[Report, report.Details]) -> Path:
    """The page of a report, written into that folder."""
    folder.mkdir(parents=True)
    report.write(folder, *made)
    return folder / "report.html"


def _epoch(number: int) -> dict[str, float]:
    figures = {"resolution": 32, "loss": 2 - 0.2 * number, "accuracy": 0.1 + 0.1 * number}
    monitored = {"monitor_loss": 1.0, "monitor_accuracy": 0.1 * number}
    return figures | (monitored if number > 5 else {})


def _cost(layer: str, loss: float) -> dict[str, object]:
    figures = {"loss": loss, "agreement": 1.0, "top1_drop": None, "snr_db": 20.0}
    return {"tensor": f"net/{layer}", "layer": layer, "operator": "CONV_2D", **figures}
