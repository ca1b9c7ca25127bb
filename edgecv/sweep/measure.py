"""Latency of a sweep's models: after the builds, one device after the other, each for itself."""

import dataclasses
from collections.abc import Iterator, Sequence
from pathlib import Path

from edgecv import report
from edgecv.artifacts import TFLiteModel
from edgecv.device import description
from edgecv.device.description import Device
from edgecv.errors import EdgecvError
from edgecv.profile import results
from edgecv.profile.latency import Variant, measure
from edgecv.progress import Progress
from edgecv.recipe import load
from edgecv.runfolder import RECIPE
from edgecv.stagecache import StageCache
from edgecv.sweep.cell import Outcome


def measure_all(
    runs: Sequence[Path], devices: Sequence[str], locks: StageCache, progress: Progress
) -> Iterator[Outcome]:
    """What could not be measured; what could lies in the runs' folders, as `profile` leaves it.

    A run that was measured on a device before is left alone. No other sweep with the same cache
    measures on a device at the same time.
    """
    for name in devices:
        left = [run for run in runs if not _is_measured(run, name)]
        if not left:
            continue
        with locks.locked(f"device-{name.replace('/', '-')}"):
            yield from _measured_on(name, left, progress)


def _measured_on(name: str, runs: Sequence[Path], progress: Progress) -> Iterator[Outcome]:
    device = description.find(name)
    for run in progress.track(runs, f"profile on {name}"):
        try:
            _measure(run, device, progress)
        except EdgecvError as error:
            yield Outcome(run.name, f"on {name}: {error}")


def _measure(run: Path, device: Device, progress: Progress) -> None:
    """Every model of a run, by turns, on the device."""
    recipe, files = load(run / RECIPE), report.load(run).files
    options, threads = recipe.profile, device.threads
    if device.local:
        threads = options.threads
    else:
        options = dataclasses.replace(options, threads=threads, runtime=device.runtime)
    paths = [run / each["path"] for name, each in files.items() if name != "edgetpu"]
    variants = [Variant(TFLiteModel(path, path.stem), threads) for path in paths]
    found = measure(variants, options, device)
    progress.figures(**{each["model"].removeprefix("model_"): each["p50_ms"] for each in found})
    results.keep(run / f"latency_{device.name}.json", found)


def _is_measured(run: Path, name: str) -> bool:
    """Whether every model of the run, as it is now, has an entry of that device."""
    wanted = {each["sha256"] for key, each in report.load(run).files.items() if key != "edgetpu"}
    path = run / f"latency_{name}.json"
    found = results.read(path) if path.is_file() else []
    return wanted <= {each["context"].get("model_sha256") for each in found}
