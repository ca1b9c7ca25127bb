"""Runs as rows: each model of each run with what was measured of it, and the runs that are none."""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from edgecv import report
from edgecv.artifacts import Report
from edgecv.errors import RunFolderError
from edgecv.profile import results
from edgecv.report import figures

FAILED = "failed.json"  # what a sweep leaves in a run's folder in place of a report
SHARES = ("top1", "top5", "agreement", "sparsity")
POSITIVE = ("width", "bytes", "ms")
MOST = 1e18  # of any figure
CSV_COLUMNS = (  # of tradeoff.csv: the fields of Candidate, then those of Latency
    *("run", "scheme", "arch", "width", "resolution", "pruning", "sparsity", "data", "images"),
    *("images_sha256", "classes", "method"),
    *("top1", "error", "top5", "agreement", "parameters", "macs", "bytes", "gzip_bytes"),
    *("device", "threads", "runtime", "delegate", "origin", "ms", "low_ms", "high_ms"),
    *("peak_rss_bytes", "energy_mj", "valid", "reason"),
)


@dataclass(frozen=True)
class Latency:
    """One measurement of a model on a device."""

    device: str
    threads: int
    runtime: str
    delegate: str
    origin: str
    ms: float  # p50
    low_ms: float
    high_ms: float
    peak_rss_bytes: int
    valid: bool
    reason: str = ""
    energy_mj: float | None = None

    @property
    def where(self) -> str:
        """`rpi4, 4 threads, litert 2.3.0, xnnpack`: what two latencies share that compare."""
        threads = f"{self.threads} thread{'' if self.threads == 1 else 's'}"
        return ", ".join([self.device, threads, self.runtime, self.delegate])


@dataclass(frozen=True)
class Candidate:
    """One model file of one run; `top1` is None where accuracy was not measured."""

    run: Path
    scheme: str
    file: str
    arch: str
    width: float
    resolution: int
    parameters: int
    macs: int
    bytes: int
    gzip_bytes: int
    pruning: str
    sparsity: float
    sha256: str = ""
    data: str = ""
    images: int = 0
    images_sha256: str = ""  # of the images evaluated on; "" in runs of old
    classes: int = 0
    method: str = ""  # how the ranges of int8 were selected, and whether it was trained for
    top1: float | None = None
    top5: float | None = None
    agreement: float | None = None  # with the run's float model
    latencies: tuple[Latency, ...] = ()

    @property
    def name(self) -> str:
        """The run and the scheme: `mobilenet_v1_075_160_int8 int8`."""
        return f"{self.run.name} {self.scheme}"

    @property
    def error(self) -> float | None:
        """The standard error of `top1`."""
        return figures.standard_error(self.top1, self.images) if self.top1 is not None else None

    def to_json(self) -> dict[str, Any]:
        """Everything, without what was not measured."""
        table = {**asdict(self), "run": str(self.run), "name": self.name, "error": self.error}
        return {key: value for key, value in table.items() if value is not None}


class Rejected(NamedTuple):
    """A run without a result, and why."""

    run: Path
    reason: str


class Runs(NamedTuple):
    """Everything that was found."""

    candidates: list[Candidate]
    rejected: list[Rejected]


def unique(candidates: Sequence[Candidate]) -> list[Candidate]:
    """The candidates, each file once: runs that differ in int8 alone have one float file.

    The latencies of all of them are kept.
    """
    files: dict[tuple[str, str, int, str], Candidate] = {}
    for candidate in candidates:
        file = candidate.sha256 or f"{candidate.run} {candidate.scheme}"
        key = (file, candidate.data, candidate.images, candidate.images_sha256)
        kept = files.setdefault(key, candidate)
        places = {latency.where for latency in kept.latencies}
        more = tuple(latency for latency in candidate.latencies if latency.where not in places)
        files[key] = replace(kept, latencies=kept.latencies + more)
    return list(files.values())


def collect(paths: Sequence[Path]) -> Runs:
    """The runs in these folders, or below them. Raises RunFolderError where there are none."""
    folders = [folder for path in paths for folder in _run_folders(path)]
    runs = Runs([], [])
    for folder in dict.fromkeys(folders):
        try:
            runs.candidates.extend(_candidates(folder))
        except RunFolderError as error:
            runs.rejected.append(Rejected(folder, str(error)))
    return runs


def _run_folders(path: Path) -> list[Path]:
    names = ("recipe.toml", "report.json", FAILED)
    if not path.is_dir():
        raise RunFolderError(f"{path}: no such folder; runs are what edgecv build leaves")
    if any((path / name).is_file() for name in names):
        return [path]
    folders = sorted({file.parent for name in names for file in path.rglob(name)})
    if not folders:
        raise RunFolderError(f"{path}: holds no run; runs are what edgecv build leaves")
    return folders


def _candidates(run: Path) -> list[Candidate]:
    """The models of a finished run. Raises RunFolderError, saying why there are none."""
    if not (run / "report.json").is_file():
        raise RunFolderError(_why_unfinished(run))
    result = report.load(run)
    try:
        entries = [*result.latency, *results.read_kept(run)]
        return [_candidate(run, result, scheme, entries) for scheme in result.files]
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        words = f"{type(error).__name__}: {error}"
        raise RunFolderError(f"{run}: report.json or a latency beside it: {words}") from error


def _why_unfinished(run: Path) -> str:
    try:
        return str(json.loads((run / FAILED).read_text(encoding="utf-8"))["reason"])
    except (OSError, ValueError, KeyError, TypeError):
        return "not finished"


def _candidate(
    run: Path, result: Report, scheme: str, entries: Iterable[Mapping[str, Any]]
) -> Candidate:
    file, accuracy = result.files[scheme], result.accuracy or {}
    scores = accuracy.get(scheme, {})
    own = [entry for entry in entries if entry["context"].get("model_sha256") == file["sha256"]]
    latest = {latency.where: latency for latency in map(_latency, own)}
    made = Candidate(
        run=run,
        scheme=scheme,
        file=file["path"],
        arch=result.arch,
        width=result.width,
        resolution=result.resolution,
        parameters=result.parameters,
        macs=result.macs,
        bytes=file["bytes"],
        gzip_bytes=file["gzip_bytes"],
        pruning=result.pruning.get("kind", "none"),
        sparsity=result.pruning.get("sparsity", 0.0),
        sha256=file["sha256"],
        data=accuracy.get("data", ""),
        images=accuracy.get("images", 0),
        images_sha256=accuracy.get("images_sha256", ""),
        classes=result.classes,
        method=_method(result, scheme),
        top1=scores.get("top1"),
        top5=scores.get("top5"),
        agreement=_agreement(accuracy, scheme),
        latencies=tuple(latest.values()),
    )
    if made.top1 is not None and not made.images:
        raise ValueError(f"top1: of {made.images} images")
    return _checked(made)


def _method(result: Report, scheme: str) -> str:
    """`auto`, `minmax, qat`: what two int8 models of the same network may differ in."""
    words = str(result.quantization.get("method", ""))
    selected = re.search(r"ranges by (\w+)", words)
    if not (selected and scheme.startswith(("int8", "edgetpu"))):
        return ""
    trained = ", qat" if "quantization-aware" in words and scheme != "int8_ptq" else ""
    return selected[1] + trained


def _agreement(accuracy: Mapping[str, Any], scheme: str) -> float | None:
    """The share of images on which the model and the float one name the same class."""
    _, *others = figures.schemes(accuracy) or [""]
    if scheme not in others:
        return None
    agreement: float | None = accuracy[scheme].get("agreement", accuracy.get("agreement"))
    return agreement


def _latency(entry: Mapping[str, Any]) -> Latency:
    made = Latency(
        device=entry["device"],
        threads=entry["threads"],
        runtime=entry["runtime"],
        delegate=entry.get("delegate", ""),
        origin=entry["origin"],
        ms=entry["p50_ms"],
        low_ms=entry.get("ci_low_ms", entry["p50_ms"]),
        high_ms=entry.get("ci_high_ms", entry["p50_ms"]),
        peak_rss_bytes=entry.get("peak_rss_bytes", 0),
        valid=entry["valid"],
        reason=entry.get("reason", ""),
        energy_mj=entry.get("energy", {}).get("mj_per_inference"),
    )
    return _checked(made)


Row = TypeVar("Row", Candidate, Latency)


def _checked(row: Row) -> Row:
    """The row, if its fields are of their types and its figures can be. Raises ValueError."""
    for field in fields(row):
        value, kind = getattr(row, field.name), field.type
        if kind not in (str, bool, int, float, float | None) or value is None is field.default:
            continue
        number = kind not in (str, bool)
        if type(value) not in ((int, float) if number else (kind,)):
            raise ValueError(f"{field.name}: {value!r}")
        low, high = 1e-9 * (field.name in POSITIVE), 1.0 if field.name in SHARES else MOST
        if number and not low <= value <= high:
            raise ValueError(f"{field.name}: must be {low:g} to {high:g}, got {value!r}")
    return row
