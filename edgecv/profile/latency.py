"""Latency: what to measure on a device, in what order, and how the agent is asked for it.

Every model, at every number of threads, is measured in blocks, and the blocks of all come in a
random order, so that a machine that grows warm or busy does not favor one of them. Each block runs
in a process of its own: the place that the system gives to a model's memory makes a difference too,
and does so anew each time.
"""

import itertools
import math
import os
import random
from collections import deque
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from edgecv.artifacts import TFLiteModel
from edgecv.device import board, description
from edgecv.device.description import Device
from edgecv.device.link import Link
from edgecv.errors import DeviceError
from edgecv.profile.entry import entry
from edgecv.profile.statistics import summary
from edgecv.progress import QUIET, Progress
from edgecv.recipe import ProfileOptions
from edgecv.tflite import flatbuffer

SILENCE_SECONDS = 300.0  # longer than the slowest single inference: B7 on a Pi Zero
BLOCK_RUNS = 10  # at least, but for the last inferences of an odd number
MOST_BLOCKS = 10  # of one variant
SWEEP = 4  # threads; no Raspberry Pi has more cores


class TimedModel(NamedTuple):
    """A way to run a model."""

    model: TFLiteModel
    threads: int


class Turn(NamedTuple):
    """A block of inferences of one variant."""

    variant: int
    runs: int


def profile(
    model: TFLiteModel,
    options: ProfileOptions,
    device: str = "host",
    progress: Progress = QUIET,
) -> dict[str, Any]:
    """One entry of the report's `latency`: measured percentiles in ms, peak memory, validity.

    `device` is a name or a device file. Raises RecipeError when there is none, DeviceError when
    the device or its runtime cannot run the model.
    """
    variant = TimedModel(model, options.threads)
    return measure([variant], options, description.find(device), progress)[0]


def profile_file(
    model: Path,
    device: str = "host",
    options: ProfileOptions = ProfileOptions(),  # noqa: B008
    progress: Progress = QUIET,
) -> dict[str, Any]:
    """As `profile`, of a .tflite file, which goes by its own name."""
    return profile(TFLiteModel(model, model.stem), options, device, progress)


def measure(
    variants: Sequence[TimedModel],
    options: ProfileOptions,
    device: Device,
    progress: Progress = QUIET,
    seed: int = 0,
) -> list[dict[str, Any]]:
    """An entry of the report's `latency` for every variant; `options.runs` is of each.

    What was measured before a connection is lost is kept. Raises DeviceError, naming the model.
    """
    for variant in variants:
        flatbuffer.read_bytes(variant.model.path)  # what is no model at all is named here
    turns = schedule(len(variants), options.runs, seed)
    blocks: list[dict[str, Any]] = []
    machine: dict[str, Any] = {}

    def task(agent: Link) -> None:
        machine.update(agent.machine)
        board.cool_down(device, progress)
        work = _inferences(agent, device, variants, turns, options, blocks, progress)
        left = sum(turn.runs for turn in turns[len(blocks) :])
        deque(progress.track(work, _label(variants), left), maxlen=0)

    board.retry_once(device, task, progress)
    return [
        entry(device, variant.model, variant.threads, machine, _of(turns, blocks, index))
        for index, variant in enumerate(variants)
    ]


def schedule(variants: int, runs: int, seed: int = 0) -> list[Turn]:
    """The turns of the models: in every round a block of each, in a random order."""
    rounds = min(MOST_BLOCKS, math.ceil(runs / BLOCK_RUNS))
    shuffled = random.Random(seed)  # noqa: S311  # the same order in every run
    turns = []
    for index in range(rounds):
        size = runs // rounds + (index < runs % rounds)
        turns += [Turn(variant, size) for variant in shuffled.sample(range(variants), variants)]
    return turns


def sweep(device: Device) -> list[int]:
    """One thread, two, and so on, to the device's cores or four."""
    own = len(os.sched_getaffinity(0)) if device.local else SWEEP
    return list(range(1, 1 + min(SWEEP, device.board.cores or own)))


def _inferences(
    agent: Link,
    device: Device,
    variants: Sequence[TimedModel],
    turns: Sequence[Turn],
    options: ProfileOptions,
    blocks: list[dict[str, Any]],
    progress: Progress,
) -> Iterator[None]:
    """An item for every inference; a finished block is added to `blocks`, where they go on."""
    for turn in turns[len(blocks) :]:
        model, threads = variants[turn.variant]
        try:
            params = {
                "model": board.place(agent, device, model.path, progress),
                "runs": turn.runs,
                "warmup_runs": options.warmup_runs,
                **device.run_options(options.runtime, threads),
            }
            yield from _block(agent, params, blocks)
        except DeviceError as error:
            raise type(error)(f"{model.path}: {error}") from error
        if len(variants) == 1:
            samples = [sample for block in blocks for sample in block["seconds"]]
            progress.figures(p50_ms=summary(samples).p50 * 1e3)


def _block(agent: Link, params: dict[str, Any], blocks: list[dict[str, Any]]) -> Iterator[None]:
    """An item for every inference of one block."""
    done = 0
    for reply in agent.stream("benchmark", params, SILENCE_SECONDS):
        before, done = done, reply["progress"][0] if "progress" in reply else params["runs"]
        if "result" in reply:
            blocks.append(reply["result"])
        yield from itertools.repeat(None, done - before)


def _of(
    turns: Sequence[Turn], blocks: Sequence[dict[str, Any]], variant: int
) -> list[dict[str, Any]]:
    """The blocks of one variant, each with its place in the order."""
    numbered = enumerate(zip(turns, blocks, strict=True))
    return [
        {**block, "turn": place} for place, (turn, block) in numbered if turn.variant == variant
    ]


def _label(variants: Sequence[TimedModel]) -> str:
    if len(variants) == 1:
        return f"profile {variants[0].model.scheme}"
    return f"profile {len(variants)} variants"
