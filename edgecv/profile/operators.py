"""Where the time of one inference goes: each operator measured as a model of its own.

That needs no special runtime and works with any of them, and any delegate. What is not seen this
way is stated: a call of a tiny model costs something too, which is measured and taken off, and an
operator alone finds its weights in the caches, which in the whole model others may have taken.
Inputs are fixed random numbers: no kernel of a CNN is faster or slower for their values, but for
floats too small to be normal, and those do not occur.
"""

import itertools
import tempfile
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Any

from edgecv.artifacts import TFLiteModel
from edgecv.device import board
from edgecv.device.description import Device
from edgecv.device.link import Link
from edgecv.errors import DeviceError, DeviceUnreachable
from edgecv.files import sha256
from edgecv.profile.attribution import Part, Parts, attribute_costs
from edgecv.profile.statistics import summary
from edgecv.profile.validity import Measurement, objections
from edgecv.progress import QUIET, Progress
from edgecv.recipe import ProfileOptions
from edgecv.tflite import flatbuffer, open_batch
from edgecv.tflite.slice import Step, part, single_sum, steps

SILENCE_SECONDS = 300.0  # of a turn: GROUP operators of B7 on a Pi Zero
GROUP = 16  # operators in memory at once, beside the whole model
PREFIXES = 4  # evenly spaced numbers of first operators, as one model
CALLS = {"xnnpack": "float32", "builtin": "int32"}  # a sum of this type is taken by that


def profile_operators(
    model: TFLiteModel, options: ProfileOptions, device: Device, progress: Progress = QUIET
) -> dict[str, Any]:
    """The profile as `attribution.attribute_costs` gives it, with what it was measured on.

    Raises UnsupportedModelError when the model cannot be cut, DeviceError when the device cannot
    be reached or cannot run the whole model; an operator that it cannot run alone is named.
    """
    tree = flatbuffer.read(model.path)
    open_batch.set_batch(tree)  # else a part of it would not know its shapes
    cuts = steps(tree)
    with tempfile.TemporaryDirectory() as folder:

        def measured(agent: Link) -> dict[str, Any]:
            bench = _Bench(agent, device, options, model.path)
            board.cool_down(device, progress)
            parts = _measured(bench, _Cutter(tree, cuts, Path(folder)), progress)
            return bench.context() | bench.load() | attribute_costs(tree, cuts, parts)

        try:
            return board.retry_once(device, measured, progress)
        except DeviceError as error:
            raise type(error)(f"{model.path}: {error}") from error


class _Cutter:
    """Writes parts of a model to files."""

    def __init__(self, tree: flatbuffer.ModelT, cuts: list[Step], folder: Path) -> None:
        self.cuts = cuts
        self._tree = tree
        self._folder = folder

    def file(self, first: int, last: int) -> Path:
        """A file with the model of these steps, `last` not among them."""
        path = self._folder / f"steps_{first}_{last}.tflite"
        return flatbuffer.write(part(self._tree, self.cuts[first:last]), path)

    def call(self, dtype: str) -> Path:
        """A file with next to nothing."""
        return flatbuffer.write(single_sum(dtype), self._folder / f"sum_{dtype}.tflite")


class _Bench:
    """Times models on a board; each group of them takes turns with the whole model."""

    def __init__(self, agent: Link, device: Device, options: ProfileOptions, model: Path) -> None:
        self.agent = agent
        self.device = device
        self.options = options
        self.model = model
        self.replies: list[dict[str, Any]] = []

    def time(self, files: Sequence[Path]) -> list[Part]:
        """Time each of a group of models. Raises DeviceError when one cannot be run."""
        there = [
            board.place(self.agent, self.device, file, keep=file == self.model)
            for file in (self.model, *files)
        ]
        params = {
            "models": there,
            "runs": self.options.runs,
            **self.device.run_options(self.options.runtime, self.options.threads),
        }
        reply = self.agent.call("compare", params, SILENCE_SECONDS)
        self.replies.append(reply)
        whole, *times = map(median, reply["seconds"])
        _, *delegates = reply["delegates"]
        return [Part(*pair, whole) for pair in zip(times, delegates, strict=True)]

    def time_or_reason(self, files: Sequence[Path]) -> list[Part | str]:
        """As `time`, but what cannot be run alone has the reason in its place."""
        try:
            return [*self.time(files)]
        except DeviceUnreachable:
            raise
        except DeviceError as error:
            if len(files) == 1:
                return [str(error)]
        return [part for file in files for part in self.time_or_reason([file])]

    def load(self) -> dict[str, float]:
        """The time to load the whole model and of its first inference, and the memory it takes.

        In a process of its own: the others hold many models.
        """
        options = self.device.run_options(self.options.runtime, self.options.threads)
        path = board.place(self.agent, self.device, self.model, keep=True)
        reply = self.agent.call("benchmark", {"model": path, "runs": 1, **options}, SILENCE_SECONDS)
        return {
            "load_ms": 1e3 * reply["load_seconds"],
            "first_ms": 1e3 * reply["first_seconds"],
            "peak_rss_bytes": reply["peak_rss_bytes"],
            "idle_rss_bytes": reply["idle_rss_bytes"],
        }

    def whole(self) -> Part:
        """The whole model, by its median in each group."""
        seconds = median(median(reply["seconds"][0]) for reply in self.replies)
        return Part(seconds, self.replies[0]["delegates"][0], seconds)

    def context(self) -> dict[str, Any]:
        """The device and conditions of a measurement, and whether it is valid."""
        machine, threads = self.agent.machine, self.options.threads
        emulated = self.device.board.emulated or machine["emulated"]
        loads = [reply["other_load"] for reply in self.replies if reply["other_load"] is not None]
        states = [reply[when] for reply in self.replies for when in ("before", "after")]
        whole = itertools.chain.from_iterable(reply["seconds"][0] for reply in self.replies)
        variation = summary([*whole]).variation
        load = max(loads, default=None)
        measurement = Measurement(emulated, threads, machine["cores"], load, variation, states)
        reasons = objections(measurement)
        return {
            "device": self.device.name,
            "origin": "emulated" if emulated else "measured",
            "cpu": machine["cpu"],
            "runtime": self.replies[0]["runtime"],
            "threads": threads,
            "model_sha256": sha256(self.model),
            "valid": not reasons,
            **({"reason": "; ".join(reasons)} if reasons else {}),
        }


def _measured(bench: _Bench, cutter: _Cutter, progress: Progress) -> Parts:
    """Everything that the profile needs, in groups that fit into memory."""
    count = len(cutter.cuts)
    calls = bench.time([cutter.call(dtype) for dtype in CALLS.values()])
    alone: list[Part | str] = []
    for start in progress.track(range(0, count, GROUP), "profile operators"):
        group = range(start, min(start + GROUP, count))
        alone += bench.time_or_reason([cutter.file(place, place + 1) for place in group])
    lengths = sorted({count * index // (PREFIXES + 1) for index in range(1, PREFIXES + 1)} - {0})
    prefixes = {
        length: bench.time([cutter.file(0, length)])[0]
        for length in progress.track(lengths, "check the sums")
    }
    return Parts(bench.whole(), dict(zip(CALLS, calls, strict=True)), alone, prefixes)
