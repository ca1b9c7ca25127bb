"""Channel pruning: whole channels go, in a few steps, with fine-tuning after each.

What is left is a dense model of the same family, with its own table of channels.
"""

import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import tf_keras

from edgecv.artifacts import Normalization
from edgecv.data import Dataset
from edgecv.errors import RecipeError
from edgecv.files import write_bytes
from edgecv.models.channels import coupling
from edgecv.models.keras_layers import resized
from edgecv.models.shapes import Network
from edgecv.progress import Progress
from edgecv.prune.cost import Cost
from edgecv.prune.importance import CRITERIA, Labeled
from edgecv.prune.search import best, search, sensitivities, smallest
from edgecv.prune.surgery import cut
from edgecv.recipe import PruneOptions

IMAGES = 320  # of the training split, for importance and sensitivity
TRIALS = 6  # models measured on the device to find how many channels its budget affords
TIGHTER = 0.95  # of the multiply-accumulates, when the last measurement is above the budget

Counts = Sequence[int]
Latency = Callable[[tf_keras.Model], float]  # milliseconds of the model in int8, on a device
# The model with its weights trained on: for so many epochs, from the checkpoint at a path if there
# is one, under a label, by a teacher or none. Stages do not know each other: it is handed in.
Tune = Callable[[tf_keras.Model, int, Path, str, tf_keras.Model | None], tf_keras.Model]


class Goal(NamedTuple):
    """What a step must come down to: a share of the multiply-accumulates, or of the channels."""

    macs: float
    keep: float = 1.0


@dataclass(frozen=True)
class Job:
    """One pruning: what stays the same from step to step."""

    dense: tf_keras.Model
    options: PruneOptions
    images: Labeled  # of the training split
    state: Path  # a folder; an interrupted pruning goes on from what is in it
    progress: Progress
    latency: Latency | None = None  # needed for `options.latency_ms`

    def met(self, cost: Cost, goal: Goal) -> Callable[[Counts], bool]:
        """Whether counts of a model with this cost are within a goal, a share of the dense one."""
        full = coupling(self.dense)
        macs = goal.macs * Cost(self.dense, full).macs(full.counts)
        channels = goal.keep * sum(full.counts)
        return lambda counts: cost.macs(counts) <= macs and sum(counts) <= channels


def prune_channels(job: Job, epochs: int, tune: Tune) -> tf_keras.Model:
    """A smaller model of the same family within the budget, fine-tuned.

    Raises RecipeError, naming the nearest that can be reached, when the budget cannot be met.
    """
    options, model = job.options, job.dense
    check_budget(model, options)
    steps, teacher = options.steps, model if options.distill else None
    share = round(epochs / (steps + 1))
    goal: Goal | None = None
    for step in range(1, steps + 1):
        path = job.state / f"cut_{step}.npz"
        if path.exists():
            smaller = _read(path, job.dense)
        else:
            goal = goal or _goal(job)
            smaller = _step(job, model, _eased(goal, step / steps), last=step == steps)
            _write(path, smaller)
        count = epochs - share * (steps - 1) if step == steps else share
        label = f"cut {step}/{steps}, epoch"
        model = tune(smaller, count, job.state / f"tuned_{step}.npz", label, teacher)
    return model


def labeled(images: Dataset, resolution: int, normalization: Normalization) -> Labeled:
    """Some of the training images, not augmented, as the model takes them."""
    samples = images.calibration(resolution, IMAGES)
    mean, std = (np.array(each, np.float32) for each in normalization)
    pixels = np.stack([each.image for each in samples]).astype(np.float32)
    one_hot = np.eye(len(images.labels), dtype=np.float32)[[each.label for each in samples]]
    return Labeled((pixels - mean) / std, one_hot)


def check_budget(model: tf_keras.Model | Network, options: PruneOptions) -> None:
    """Raise RecipeError when not even one multiple of channels in each group meets the budget."""
    found = coupling(model)
    least = smallest(found.counts, options.multiple)
    cost = Cost(model, found)
    reachable = {
        "macs": cost.macs(least) / cost.macs(found.counts),
        "keep": sum(least) / sum(found.counts),
    }
    for key, share in reachable.items():
        wanted = getattr(options, key)
        if wanted is not None and wanted < share:
            raise RecipeError(
                f"--{key} {wanted:g}: {model.name} cannot be cut so far;"
                f" the nearest that can be reached is {np.ceil(share * 1000) / 1000:g}"
            )


def check_latency(model: tf_keras.Model, options: PruneOptions, latency: Latency) -> None:
    """Raise RecipeError when the model with the fewest channels is slower than the budget."""
    assert options.latency_ms is not None  # noqa: S101
    fastest = latency(resized(model, smallest(coupling(model).counts, options.multiple)))
    if fastest > options.latency_ms:
        raise RecipeError(
            f"--max-latency {options.latency_ms:g}ms: {model.name} on {options.device} cannot be"
            f" cut so far; the nearest that can be reached is {fastest:.3g}"
        )


def _goal(job: Job) -> Goal:
    """What the whole pruning must come down to."""
    options = job.options
    if options.keep is not None:
        return Goal(macs=1.0, keep=options.keep)
    if options.latency_ms is None:
        return Goal(macs=0.5 if options.macs is None else options.macs)
    return Goal(macs=_affordable(job, options.latency_ms))


def _eased(goal: Goal, share: float) -> Goal:
    """The goal of an earlier step: equal ratios from step to step."""
    return Goal(goal.macs**share, goal.keep**share)


def _step(job: Job, model: tf_keras.Model, goal: Goal, last: bool) -> tf_keras.Model:
    """The model cut down to a goal, not yet tuned."""
    candidate = _candidates(job, model)
    smaller = candidate(goal)
    if last and job.latency and job.options.latency_ms is not None:
        while job.latency(smaller) > job.options.latency_ms:
            goal = goal._replace(macs=goal.macs * TIGHTER)
            before, smaller = coupling(smaller).counts, candidate(goal)
            if coupling(smaller).counts == before == smallest(before, job.options.multiple):
                break
    counts, now = coupling(job.dense).counts, coupling(smaller).counts
    full = Cost(job.dense, coupling(job.dense)).macs(counts)
    left = Cost(smaller, coupling(smaller)).macs(now)
    job.progress.line(
        f"channels {sum(counts)} -> {sum(now)}, multiply-accumulates to {left / full:.1%}"
    )
    return smaller


def _candidates(job: Job, model: tf_keras.Model) -> Callable[[Goal], tf_keras.Model]:
    """A function from a goal to the model cut down to it."""
    found = coupling(model)
    cost, multiple = Cost(model, found), job.options.multiple
    scores = CRITERIA[job.options.importance](model, found, job.images)
    curves = sensitivities(model, found, scores, job.images, job.progress)

    def cut_to(goal: Goal) -> tf_keras.Model:
        counts = search(cost, curves, found.counts, multiple, job.met(cost, goal))
        return cut(model, [best(score, n) for score, n in zip(scores, counts, strict=True)])

    return cut_to


def _affordable(job: Job, budget: float) -> float:
    """The largest share of the multiply-accumulates that is within a latency, by bisection."""
    assert job.latency is not None  # noqa: S101
    model = job.dense
    if job.latency(model) <= budget:
        return 1.0
    candidate, found = _candidates(job, model), coupling(model)
    cost = Cost(model, found)
    low = cost.macs(smallest(found.counts, job.options.multiple)) / cost.macs(found.counts)
    high = 1.0
    for _ in range(TRIALS):
        middle = (low * high) ** 0.5
        taken = job.latency(candidate(Goal(middle)))
        job.progress.line(f"multiply-accumulates at {middle:.1%}: {taken:.3g} ms")
        low, high = (middle, high) if taken <= budget else (low, middle)
    return low


def _write(path: Path, model: tf_keras.Model) -> None:
    """Keep a cut model: its counts and its weights, in order."""
    arrays = {f"weight.{n:05}": value for n, value in enumerate(model.get_weights())}
    archive = io.BytesIO()
    np.savez(archive, counts=np.array(coupling(model).counts), **arrays)
    write_bytes(path, archive.getvalue())


def _read(path: Path, dense: tf_keras.Model) -> tf_keras.Model:
    """The cut model that `_write` kept."""
    with np.load(path, allow_pickle=False) as file:
        model = resized(dense, [int(count) for count in file["counts"]])
        model.set_weights([file[name] for name in sorted(file.files) if name != "counts"])
    return model
