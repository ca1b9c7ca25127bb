"""Latency of a sweep's models: after the builds, one device after the other, each for itself."""

import dataclasses
from collections.abc import Iterator, Sequence
from pathlib import Path

from edgecv import report
from edgecv.artifacts import TFLiteModel
from edgecv.device.description import Device
from edgecv.errors import EdgecvError
from edgecv.pipeline.cache import StageCache
from edgecv.pipeline.run_folder import RECIPE
from edgecv.profile import results
from edgecv.profile.latency import TimedModel, measure
from edgecv.progress import Progress
from edgecv.recipe import load
from edgecv.sweep.cell import Outcome


def measure_all(
    runs: Sequence[Path], devices: Sequence[Device], locks: StageCache, progress: Progress
) -> Iterator[Outcome]:
    """Measure runs into their folders, as `profile` does; the ones that could not be measured.

    A run that was measured on a device before is left alone. No other sweep with the same cache
    measures on a device at the same time.
    """
    for device in devices:
        if all(_is_measured(run, device) for run in runs):
            continue
        with locks.lock(f"device-{device.name}"):
            left = [run for run in runs if not _is_measured(run, device)]
            for run in progress.track(left, f"profile on {device.name}"):
                try:
                    _measure(run, device, progress)
                except EdgecvError as error:
                    yield Outcome(run.name, f"on {device.name}: {error}")


def _measure(run: Path, device: Device, progress: Progress) -> None:
    """Every model of a run, by turns, on the device."""
    recipe, files = load(run / RECIPE), report.load(run).files
    options, threads = recipe.profile, device.threads
    if device.local:
        threads = options.threads
    else:
        options = dataclasses.replace(options, threads=threads, runtime=device.runtime)
    paths = [run / file["path"] for name, file in files.items() if name != "edgetpu"]
    variants = [TimedModel(TFLiteModel(path, path.stem), threads) for path in paths]
    entries = measure(variants, options, device)
    progress.figures(
        **{entry["model"].removeprefix("model_"): entry["p50_ms"] for entry in entries}
    )
    results.keep(run / f"latency_{device.name}.json", entries)


def _is_measured(run: Path, device: Device) -> bool:
    """Whether every model of the run, as it is now, has an entry of that device.

    Of a run that cannot be read, measuring it says what is wrong.
    """
    path = run / f"latency_{device.name}.json"
    try:
        files = report.load(run).files
        entries = results.read(path) if path.is_file() else []
    except EdgecvError:
        return False
    wanted = {file["sha256"] for key, file in files.items() if key != "edgetpu"}
    return wanted <= {entry["context"].get("model_sha256") for entry in entries}
