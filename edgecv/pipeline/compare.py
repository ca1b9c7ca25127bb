"""The pruning comparison: every kind of pruning beside the same-MACs dense baseline.

Each row is a run of its own, in the folder `compare` of the run that asked for it: resumed like
any other, with a report and a recipe. All start from that run's trained model, but for the width
twin: the same family, trained from scratch at the width whose multiply-accumulates are those of the
channel-pruned model, for as many epochs as that had in all.
"""

import dataclasses
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgecv import models
from edgecv.artifacts import Report, TFLiteModel
from edgecv.data import Dataset
from edgecv.device import description
from edgecv.errors import UnsupportedModelError
from edgecv.files import write_atomically, write_text
from edgecv.models.float_file import float_model
from edgecv.pipeline.job import Job
from edgecv.pipeline.prune import epochs as epochs_of_pruning
from edgecv.pipeline.run import run
from edgecv.profile.latency import TimedModel, measure
from edgecv.progress import Progress
from edgecv.recipe import PruneOptions, Recipe
from edgecv.report import figures
from edgecv.tflite import operators

KINDS = ("dense", "magnitude", "2:4", "xnnpack", "channels", "twin")
NARROWEST, TRIALS = 0.1, 9  # widths that are tried for the twin
TIMED = ("float32", "float32_sparse", "int8")

Row = dict[str, Any]


@dataclass(frozen=True)
class Comparison:
    """The start of all rows: a run that is trained, in which one kind may have been pruned."""

    recipe: Recipe  # of that run, resolved
    folder: Path
    images: Dataset
    progress: Progress

    def rows(self, kinds: Sequence[str] = KINDS, own: Report | None = None) -> list[Row]:
        """A row a kind, with latencies measured by turns; `own` is the run's own report."""
        reports: dict[str, tuple[Report, Path]] = {}
        skipped: dict[str, str] = {}
        for kind in kinds:
            self.progress.line(f"compare: {kind}")
            try:
                if own and kind == self.recipe.prune.kind:
                    reports[kind] = own, self.folder
                elif kind == "twin":
                    reports[kind] = self._twin(reports["channels"][0].macs)
                else:
                    reports[kind] = self._pruned(kind)
            except UnsupportedModelError as error:
                skipped[kind] = str(error)
        latency = self._latency(reports)
        return [
            row(kind, reports[kind][0], latency[kind])
            if kind in reports
            else {"name": kind, "reason": skipped[kind]}
            for kind in kinds
        ]

    def _pruned(self, kind: str) -> tuple[Report, Path]:
        """A run of this kind that begins with the trained model."""
        folder, asked = self._folder(kind), self.recipe.prune
        free: dict[str, Any] = {"sparsity": None, "keep": None, "macs": None, "latency_ms": None}
        chosen = dataclasses.replace(asked, kind=kind, compare=False, **free)
        if kind == "dense":
            chosen = PruneOptions()
        recipe = dataclasses.replace(self.recipe, prune=chosen)
        model = folder / "model.keras"
        if not model.exists():
            write_text(folder / "recipe.toml", recipe.to_toml())
            with write_atomically(model) as partial:
                shutil.copyfile(self.folder / "model.keras", partial)
        return run(recipe, folder, self.progress), folder

    def _twin(self, macs: int) -> tuple[Report, Path]:
        """A run at the width that costs so many multiply-accumulates."""
        from edgecv.train import epochs

        if self.recipe.model.weights:
            raise UnsupportedModelError(
                f"the width twin is trained from scratch; this run began with"
                f" {self.recipe.model.weights}"
            )
        total = epochs(self.recipe, self.images) + epochs_of_pruning(self.recipe, self.images)
        recipe = dataclasses.replace(
            self.recipe,
            model=dataclasses.replace(
                self.recipe.model, width=twin_width(self.recipe, len(self.images.labels), macs)
            ),
            train=dataclasses.replace(self.recipe.train, epochs=total, minutes=None),
            prune=PruneOptions(),
        )
        folder = self._folder("twin")
        return run(recipe, folder, self.progress), folder

    def _folder(self, kind: str) -> Path:
        return self.folder / "compare" / kind.replace(":", "_")

    def _latency(self, reports: Mapping[str, tuple[Report, Path]]) -> dict[str, dict[str, float]]:
        """p50 in ms by kind and scheme, all models by turns, so that noise falls on all alike."""
        options = self.recipe.profile
        timed = [
            (kind, scheme, TimedModel(TFLiteModel(folder / file["path"], scheme), options.threads))
            for kind, (report, folder) in reports.items()
            for scheme, file in report.files.items()
            if scheme in TIMED
        ]
        device = description.find("host")
        entries = measure([model for *_, model in timed], options, device, self.progress)
        latencies: dict[str, dict[str, float]] = {kind: {} for kind in reports}
        for (kind, scheme, _), entry in zip(timed, entries, strict=True):
            latencies[kind][scheme] = entry["p50_ms"]
        return latencies


def add_comparison(job: Job, finished: Report) -> Report:
    """A run's report with a table of all kinds of pruning; its rows are runs in `compare`."""
    if job.images is None:
        return finished
    rows = Comparison(job.recipe, job.run.path, job.images, job.progress).rows(own=finished)
    table = {"rows": rows, "meaning": meaning(rows)}
    return dataclasses.replace(finished, pruning={**finished.pruning, "comparison": table})


def twin_width(recipe: Recipe, classes: int, macs: int) -> float:
    """The width at which the family's multiply-accumulates are nearest to `macs`, by bisection."""
    full = models.resolve(dataclasses.replace(recipe.model, weights=""))
    tried: dict[float, int] = {}

    def cost(width: float) -> int:
        network = models.network(full._replace(width=width, channels=()), classes)
        tried[width] = operators.macs(float_model(network))
        return tried[width]

    low, high = NARROWEST, full.width
    for _ in range(TRIALS):
        middle = round((low + high) / 2, 3)
        if middle in tried or middle in (low, high):
            break
        low, high = (middle, high) if cost(middle) < macs else (low, middle)
    return min(tried, key=lambda width: abs(tried[width] - macs))


def meaning(rows: Sequence[Row]) -> str:
    """The comparison in sentences: sparsity, channels and the dense baseline of the same MACs."""
    compared = {row["name"]: row for row in rows if "reason" not in row}
    dense = compared["dense"]
    sparse = [compared[name] for name in ("magnitude", "2:4", "xnnpack") if name in compared]
    said = []
    if sparse and "int8" in dense["p50_ms"]:
        times = [row["p50_ms"]["int8"] / dense["p50_ms"]["int8"] for row in sparse]
        sizes = [row["gzip_bytes"] / dense["gzip_bytes"] for row in sparse]
        said.append(
            f"Zeros leave int8 latency at {_span(times)} of dense and shrink only the download,"
            f" to {_span(sizes)}"
        )
    if "channels" in compared and "int8" in dense["p50_ms"]:
        cut = compared["channels"]
        time = cut["p50_ms"]["int8"] / dense["p50_ms"]["int8"]
        size, points = cut["bytes"] / dense["bytes"], 100 * (_top1(cut) - _top1(dense))
        said.append(
            f"cutting channels takes latency to {time:.2f} and the file to {size:.2f}, with"
            f" {points:+.1f} points of top-1"
        )
        if "twin" in compared:
            points = 100 * (_top1(cut) - _top1(compared["twin"]))
            said.append(
                f"a model trained at that size from the start differs by {-points:+.1f} points"
            )
    return "; ".join(said) + "." if said else ""


def row(kind: str, report: Report, p50_ms: Mapping[str, float]) -> Row:
    """A report's line of the table, with p50 in ms by scheme."""
    accuracy, last = report.accuracy or {}, list(report.files)[-1]
    schemes = figures.schemes(accuracy)
    return {
        "name": kind,
        "width": report.width,
        "top1": {name: accuracy[name]["top1"] for name in schemes if name in TIMED},
        "images": accuracy.get("images"),
        "sparsity": report.pruning["sparsity"],
        "parameters": report.parameters,
        "macs": report.macs,
        "bytes": report.files[last]["bytes"],
        "gzip_bytes": report.files[last]["gzip_bytes"],
        "p50_ms": {**p50_ms},
    }


def _top1(row: Row) -> float:
    return float(row["top1"].get("int8", row["top1"]["float32"]))


def _span(values: Sequence[float]) -> str:
    """`0.98 to 1.02`."""
    low, high = min(values), max(values)
    return f"{low:.2f}" if high - low < 0.005 else f"{low:.2f} to {high:.2f}"
