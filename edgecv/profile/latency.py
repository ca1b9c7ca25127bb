"""How long one inference takes, how much memory it needs, and whether the figure is valid."""

import dataclasses
import itertools
from collections import deque
from collections.abc import Iterator
from typing import Any

from edgecv.artifacts import TFLiteModel
from edgecv.device import link
from edgecv.errors import DeviceError, nearest
from edgecv.files import sha256
from edgecv.profile.statistics import objection, summary
from edgecv.progress import QUIET, Progress
from edgecv.recipe import ProfileOptions
from edgecv.tflite import flatbuffer

DEVICES = {"host": link.local}
SILENCE_SECONDS = 300.0  # longer than the slowest single inference: B7 on a Pi Zero


def profile(
    model: TFLiteModel,
    options: ProfileOptions,
    device: str = "host",
    progress: Progress = QUIET,
) -> dict[str, Any]:
    """One entry of the report's `latency`: measured percentiles in ms, peak memory, validity.

    Raises DeviceError when the device or its runtime cannot run the model.
    """
    if device not in DEVICES:
        hint = nearest(device, DEVICES)
        raise DeviceError(f"device '{device}': not known; there are: {', '.join(DEVICES)}{hint}")
    flatbuffer.read_bytes(model.path)  # what is no model at all is named here
    with DEVICES[device]() as agent:
        machine = agent.call("hello")
        try:
            measured = _benchmark(agent, model, options, progress)
        except DeviceError as error:
            raise type(error)(f"{model.path}: {error}") from error
    return _entry(device, model, machine, measured, options.threads)


def _benchmark(
    agent: link.Link, model: TFLiteModel, options: ProfileOptions, progress: Progress
) -> dict[str, Any]:
    """The agent's own answer, with a bar that moves while it measures."""
    total = 1 + options.warmup_runs + options.runs
    params = {"model": str(model.path.resolve()), **dataclasses.asdict(options)}
    measured: dict[str, Any] = {}

    def inferences() -> Iterator[None]:
        done = 0
        for reply in agent.stream("benchmark", params, SILENCE_SECONDS):
            before, done = done, reply["progress"][0] if "progress" in reply else total
            measured.update(reply.get("result", {}))
            if measured:
                progress.figures(p50_ms=summary(measured["seconds"]).p50 * 1e3)
            yield from itertools.repeat(None, done - before)

    deque(progress.track(inferences(), f"profile {model.scheme}", total), maxlen=0)
    return measured


def _entry(
    device: str, model: TFLiteModel, machine: dict[str, Any], measured: dict[str, Any], threads: int
) -> dict[str, Any]:
    """The measurement in the report's form."""
    found = summary(measured["seconds"])
    reason = objection(found, threads, machine["cores"], measured["other_load"])
    return {
        "device": device,
        "origin": "measured",
        "runtime": measured["runtime"],
        "threads": threads,
        "delegate": measured["delegate"],
        "model": model.scheme,
        "runs": len(measured["seconds"]),
        "p50_ms": _ms(found.p50),
        "p90_ms": _ms(found.p90),
        "p99_ms": _ms(found.p99),
        "min_ms": _ms(found.lowest),
        "first_ms": _ms(measured["first_seconds"]),
        "peak_rss_bytes": measured["peak_rss_bytes"],
        "valid": reason is None,
        **({"reason": reason} if reason else {}),
        "context": _context(model, machine, measured),
    }


def _context(
    model: TFLiteModel, machine: dict[str, Any], measured: dict[str, Any]
) -> dict[str, Any]:
    """What the figures were measured on, and every sample, so that they can be computed anew."""
    known = {
        **{name: machine[name] for name in ("machine", "cpu", "cores", "system", "python")},
        **measured["state"],
        "other_load": measured["other_load"],
        "idle_rss_bytes": measured["idle_rss_bytes"],
        "load_ms": _ms(measured["load_seconds"]),
        "model_sha256": sha256(model.path),
        "samples_ms": [_ms(each) for each in measured["seconds"]],
    }
    return {name: value for name, value in known.items() if value is not None}


def _ms(seconds: float) -> float:
    return round(seconds * 1e3, 4)
