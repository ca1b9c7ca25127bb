"""How many channels each group keeps: the least loss under a budget.

First each group alone is made narrower, and what that costs the loss is measured: its sensitivity.
Then, from the full model on, the next few channels go wherever they cost least for what they save,
until the budget is met. Savings are counted half in multiply-accumulates and half in activations:
a runtime waits for memory as well as for arithmetic, and a wide early layer is mostly memory.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import tf_keras
from numpy.typing import NDArray

from edgecv.models.channel_groups import Coupling
from edgecv.progress import Progress
from edgecv.prune.cost import ModelCost
from edgecv.prune.importance import LabeledArrays, Scores, loss_of
from edgecv.prune.surgery import silence_channels

SHARES = (0.75, 0.5, 0.25)  # of a group, at which its sensitivity is measured
IMAGES = 128  # of those for importance, on which each group's sensitivity is measured
SLOPE = 1e-4  # of loss a whole group costs at least: what is free goes evenly
DEEPEST = 0.4  # of a group that one search takes at most, while the budget can be met without more


class Curve(NamedTuple):
    """The growth of the loss by the channels that a group keeps; both ascending in `kept`."""

    kept: NDArray[np.float64]
    growth: NDArray[np.float64]

    def at(self, count: int) -> float:
        """The growth at any count, between those measured."""
        return float(np.interp(count, self.kept, self.growth))


def sensitivities(
    model: tf_keras.Model,
    coupling: Coupling,
    scores: Scores,
    data: LabeledArrays,
    progress: Progress,
) -> list[Curve]:
    """The curve of each group, its least important channels silent and all others left alone."""
    loss, some = loss_of(model), LabeledArrays(*(array[:IMAGES] for array in data))
    full = [np.arange(group.channels) for group in coupling.groups]
    before = loss(some)
    curves = []
    for index in progress.track(range(len(full)), "sensitivity", len(full)):
        channels = coupling.groups[index].channels
        counts = sorted({max(1, round(share * channels)) for share in SHARES} - {channels})
        growth = []
        for count in counts:
            kept = [*full[:index], best(scores[index], count), *full[index + 1 :]]
            with silence_channels(model, coupling, kept):
                growth.append(loss(some) - before)
        falling = np.maximum.accumulate(np.array([0.0, *growth[::-1]]))[::-1]
        line = SLOPE * (1 - np.array([*counts, channels]) / channels)
        curves.append(Curve(np.array([*counts, channels], float), falling + line))
    return curves


def best(scores: NDArray[np.float64], count: int) -> NDArray[np.intp]:
    """The indices of the `count` most important channels, ascending."""
    return np.sort(np.argsort(-scores, kind="stable")[:count])


def smallest(counts: Sequence[int], multiple: int) -> tuple[int, ...]:
    """The fewest channels that any search leaves: one multiple of each group."""
    return tuple(min(count, multiple) for count in counts)


def search(
    cost: ModelCost,
    curves: Sequence[Curve],
    counts: Sequence[int],
    multiple: int,
    met: Callable[[Sequence[int]], bool],
) -> tuple[int, ...]:
    """Counts that meet the budget: multiples, at least one each; as few as there can be, if none.

    No group loses more than DEEPEST of its channels, unless the budget cannot be met otherwise.
    """
    lowest = smallest(counts, multiple)
    gentle = [
        max(low, _up((1 - DEEPEST) * count, multiple))
        for low, count in zip(lowest, counts, strict=True)
    ]
    now = _descend(cost, curves, counts, multiple, met, gentle)
    return now if met(now) else _descend(cost, curves, now, multiple, met, lowest)


def _descend(
    cost: ModelCost,
    curves: Sequence[Curve],
    counts: Sequence[int],
    multiple: int,
    met: Callable[[Sequence[int]], bool],
    floor: Sequence[int],
) -> tuple[int, ...]:
    """Channels go from where they cost least for what they save, down to a floor."""
    now, full = list(counts), list(counts)
    macs, activations = cost.macs(full), cost.activations(full)
    while not met(now):
        choices = []
        for group, count in enumerate(now):
            less = _up(count - multiple, multiple)
            if less < floor[group] or less >= count:
                continue
            then = [*now[:group], less, *now[group + 1 :]]
            saved = (cost.macs(now) - cost.macs(then)) / macs
            saved += (cost.activations(now) - cost.activations(then)) / activations
            growth = curves[group].at(less) - curves[group].at(count)
            choices.append((growth / max(saved, 1e-12), group, less))
        if not choices:
            break
        _, group, less = min(choices)
        now[group] = less
    return tuple(now)


def _up(count: float, multiple: int) -> int:
    """The multiple at or above a count."""
    return -(-int(np.ceil(count)) // multiple) * multiple
