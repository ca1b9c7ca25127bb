"""Channel pruning: whole channels go, in a few steps, with fine-tuning after each.

What is left is a dense model of the same family, with its own table of channels.
"""

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import numpy as np
import tf_keras

from edgecv.artifacts import Normalization
from edgecv.data import Dataset
from edgecv.errors import RecipeError
from edgecv.models.channel_groups import Coupling, coupling
from edgecv.models.keras_layers import resize_model
from edgecv.progress import Progress
from edgecv.prune.channel_search import best, search, sensitivities, smallest
from edgecv.prune.cost import ModelCost
from edgecv.prune.importance import CRITERIA, LabeledArrays
from edgecv.prune.surgery import Kept, cut
from edgecv.recipe import PruneOptions
from edgecv.train.array_store import load_arrays, save_arrays

IMAGES = 320  # of the training split, for importance and sensitivity
TRIALS = 6  # models measured on the device to find how many channels its budget affords
TIGHTER = 0.95  # of the multiply-accumulates, when the last measurement is above the budget

Counts = Sequence[int]
Latency = Callable[[tf_keras.Model], float]  # milliseconds of the model in int8, on a device
# A function that fine-tunes a model for so many epochs, from the checkpoint at a path if there is
# one, with a label for its progress. Stages do not know each other: it is handed in.
Tune = Callable[[tf_keras.Model, int, Path, str], tf_keras.Model]


@dataclass(frozen=True)
class Cut:
    """A model, which of its channels belong together, and what it costs at any counts of them."""

    model: tf_keras.Model
    coupling: Coupling
    cost: ModelCost  # the same for every cut of one architecture

    @classmethod
    def of(cls, model: tf_keras.Model) -> "Cut":
        """A model as it is. Raises UnsupportedModelError where its channels cannot be followed."""
        coupled = coupling(model)
        return cls(model, coupled, ModelCost(model, coupled))

    @property
    def counts(self) -> tuple[int, ...]:
        """The channels of each group."""
        return self.coupling.counts

    @property
    def macs(self) -> int:
        """Multiply-accumulates of one inference."""
        return self.cost.macs(self.counts)

    def keep(self, kept: Kept) -> "Cut":
        """The smaller model with only these channels of each group."""
        coupled = self.coupling.with_counts([len(channels) for channels in kept])
        return Cut(cut(self.model, self.coupling, kept), coupled, self.cost)

    def load(self, path: Path) -> "Cut":
        """The cut of this model that `save` kept."""
        groups = load_arrays(path)
        counts = [int(count) for count in groups["counts"][0]]
        model = resize_model(self.model, self.coupling, counts)
        model.set_weights(groups["weights"])
        return Cut(model, self.coupling.with_counts(counts), self.cost)

    def save(self, path: Path) -> None:
        """Keep the counts and the weights, in order."""
        groups = {"counts": [np.array(self.counts)], "weights": self.model.get_weights()}
        save_arrays(path, groups)


class Goal(NamedTuple):
    """The goal of a step: a share of the multiply-accumulates, or of the channels."""

    macs: float
    keep: float = 1.0


@dataclass(frozen=True)
class ChannelJob:
    """The settings of a pruning, the same in every step."""

    dense: tf_keras.Model
    options: PruneOptions
    images: LabeledArrays  # of the training split
    state: Path  # a folder; an interrupted pruning goes on from what is in it
    progress: Progress
    latency: Latency | None = None  # needed for `options.latency_ms`

    @cached_property
    def full(self) -> Cut:
        """The dense model, its coupling and its cost."""
        return Cut.of(self.dense)

    def within(self, goal: Goal) -> Callable[[Counts], bool]:
        """Whether counts are within a goal, a share of the dense model."""
        cost = self.full.cost
        macs, channels = goal.macs * self.full.macs, goal.keep * sum(self.full.counts)
        return lambda counts: cost.macs(counts) <= macs and sum(counts) <= channels


def prune_channels(job: ChannelJob, epochs: int, tune: Tune) -> tf_keras.Model:
    """A smaller model of the same family within the budget, fine-tuned.

    Raises RecipeError, naming the nearest that can be reached, when the budget cannot be met.
    """
    options, current = job.options, job.full
    check_budget(current, options)
    steps = options.steps
    share = round(epochs / (steps + 1))
    goal: Goal | None = None
    for step in range(1, steps + 1):
        path = job.state / f"cut_{step}.npz"
        if path.exists():
            smaller = job.full.load(path)
        else:
            goal = goal or _goal(job)
            smaller = _step(job, current, _eased(goal, step / steps), last=step == steps)
            smaller.save(path)
        count = epochs - share * (steps - 1) if step == steps else share
        checkpoint = job.state / f"tuned_{step}.npz"
        tuned = tune(smaller.model, count, checkpoint, f"cut {step}/{steps}, epoch")
        current = dataclasses.replace(smaller, model=tuned)
    return current.model


def sample_images(images: Dataset, resolution: int, normalization: Normalization) -> LabeledArrays:
    """Some of the training images, not augmented, as the model takes them."""
    samples = images.calibration(resolution, IMAGES)
    mean, std = (np.array(values, np.float32) for values in normalization)
    pixels = np.stack([sample.image for sample in samples]).astype(np.float32)
    one_hot = np.eye(len(images.labels), dtype=np.float32)[[sample.label for sample in samples]]
    return LabeledArrays((pixels - mean) / std, one_hot)


def check_budget(model: Cut, options: PruneOptions) -> None:
    """Raise RecipeError when not even one multiple of channels in each group meets the budget."""
    least = smallest(model.counts, options.multiple)
    reachable = {
        "macs": model.cost.macs(least) / model.macs,
        "keep": sum(least) / sum(model.counts),
    }
    for key, share in reachable.items():
        wanted = getattr(options, key)
        if wanted is not None and wanted < share:
            raise RecipeError(
                f"--{key} {wanted:g}: {model.model.name} cannot be cut so far;"
                f" the nearest that can be reached is {np.ceil(share * 1000) / 1000:g}"
            )


def check_latency(model: tf_keras.Model, options: PruneOptions, latency: Latency) -> None:
    """Raise RecipeError when the model with the fewest channels is slower than the budget."""
    assert options.latency_ms is not None  # noqa: S101
    coupled = coupling(model)
    fastest = latency(resize_model(model, coupled, smallest(coupled.counts, options.multiple)))
    if fastest > options.latency_ms:
        raise RecipeError(
            f"--max-latency {options.latency_ms:g}ms: {model.name} on {options.device} cannot be"
            f" cut so far; the nearest that can be reached is {fastest:.3g}"
        )


def _goal(job: ChannelJob) -> Goal:
    """The goal of the whole pruning."""
    options = job.options
    if options.keep is not None:
        return Goal(macs=1.0, keep=options.keep)
    if options.latency_ms is None:
        return Goal(macs=0.5 if options.macs is None else options.macs)
    return Goal(macs=_affordable(job, options.latency_ms))


def _eased(goal: Goal, share: float) -> Goal:
    """The goal of an earlier step: equal ratios from step to step."""
    return Goal(goal.macs**share, goal.keep**share)


def _step(job: ChannelJob, current: Cut, goal: Goal, last: bool) -> Cut:
    """The model cut down to a goal, not yet tuned."""
    candidate = _candidates(job, current)
    smaller = candidate(goal)
    if last and job.latency and job.options.latency_ms is not None:
        while job.latency(smaller.model) > job.options.latency_ms:
            goal = goal._replace(macs=goal.macs * TIGHTER)
            before, smaller = smaller.counts, candidate(goal)
            if smaller.counts == before == smallest(before, job.options.multiple):
                break
    job.progress.line(
        f"channels {sum(job.full.counts)} -> {sum(smaller.counts)},"
        f" multiply-accumulates to {smaller.macs / job.full.macs:.1%}"
    )
    return smaller


def _candidates(job: ChannelJob, current: Cut) -> Callable[[Goal], Cut]:
    """A function from a goal to the model cut down to it."""
    model, coupled, multiple = current.model, current.coupling, job.options.multiple
    scores = CRITERIA[job.options.importance](model, coupled, job.images)
    curves = sensitivities(model, coupled, scores, job.images, job.progress)

    def cut_to(goal: Goal) -> Cut:
        counts = search(current.cost, curves, coupled.counts, multiple, job.within(goal))
        return current.keep([best(score, n) for score, n in zip(scores, counts, strict=True)])

    return cut_to


def _affordable(job: ChannelJob, budget: float) -> float:
    """The largest share of the multiply-accumulates that is within a latency, by bisection."""
    assert job.latency is not None  # noqa: S101
    full = job.full
    if job.latency(full.model) <= budget:
        return 1.0
    candidate = _candidates(job, full)
    low = full.cost.macs(smallest(full.counts, job.options.multiple)) / full.macs
    high = 1.0
    for _ in range(TRIALS):
        middle = (low * high) ** 0.5
        taken = job.latency(candidate(Goal(middle)).model)
        job.progress.line(f"multiply-accumulates at {middle:.1%}: {taken:.3g} ms")
        low, high = (middle, high) if taken <= budget else (low, middle)
    return low
