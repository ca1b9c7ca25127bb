"""Which part of what was observed an activation's 256 steps should cover.

`auto` asks the network: each candidate is judged by what the float model's scores lose when this
one activation is stored so (see `probe`). The others look at the activation alone.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from edgecv.artifacts import Range
from edgecv.progress import QUIET, Progress
from edgecv.quantize import equalize
from edgecv.quantize.activations import Image
from edgecv.quantize.forward import Forward
from edgecv.quantize.judge import Floats, pays, scores, scores_tensor
from edgecv.quantize.probe import Probe
from edgecv.quantize.ranges import FIXED, NARROWEST, scale_groups
from edgecv.quantize.statistics import Statistics
from edgecv.tflite.graph import Graph

PERCENTILE = 1e-4  # of the values, at either end, outside the range of `percentile`
TAILS = (1e-5, 3e-5, 1e-4, 3e-4, 1e-3, 3e-3, 1e-2)  # what `auto` tries to leave out
# Nats that an activation must cost the scores before its tails are searched. Of MobileNetV2 1.0/224
# and SqueezeNet 1.1 a handful costs more, of MobileNetV3-Small half of all.
WORTH_A_SEARCH = 1e-4
HEAVY = 1.1  # times as wide as with a thousandth cut: below, there is no tail worth a trial
NOTICED = 0.03  # of the width: a smaller change is not worth a trial
PATIENCE = 2  # worse candidates in a row until the search for an end stops


class Group(NamedTuple):
    """Activations that share one range, and the one of them that stands for all."""

    names: tuple[str, ...]
    tensor: int


def cut_ranges(
    graph: Graph, seen: Mapping[str, Statistics], ranges: Mapping[str, Range], method: str
) -> dict[str, Range]:
    """`ranges`, which hold all that was observed, with their tails cut as a method of CUTS says."""
    cuts = dict(ranges)
    for group in _groups(graph, ranges):
        name = group.names[0]
        cuts.update(dict.fromkeys(group.names, within(CUTS[method](seen[name]), ranges[name])))
    return cuts


def losses_of_ranges(
    graph: Graph,
    ranges: Mapping[str, Range],
    images: Sequence[Image],
    progress: Progress = QUIET,
) -> dict[str, float]:
    """The loss of the scores by each activation whose channels could be equalized, by name."""
    names = graph.unique_names()
    scaled = {names[tensor] for pair in equalize.pairs(graph) for tensor in pair.scaled}
    groups = [group for group in _groups(graph, ranges) if {*group.names} & scaled]
    losses = dict[str, float]()
    for group, probe in _probes(graph, groups, images, progress, "equalize"):
        losses.update(
            dict.fromkeys(group.names, float(probe.losses(ranges[group.names[0]]).mean()))
        )
    return losses


def search_ranges(
    graph: Graph,
    seen: Mapping[str, Statistics],
    ranges: Mapping[str, Range],
    images: Sequence[Image],
    progress: Progress = QUIET,
) -> dict[str, Range]:
    """The range of each activation that costs the scores least, by name.

    `ranges` hold all that was observed.
    """
    groups = [
        group
        for group in _groups(graph, ranges)
        if _tailed(seen[group.names[0]], ranges[group.names[0]])
    ]
    best = dict[str, Range]()
    for group, probe in _probes(graph, groups, images, progress, "ranges"):
        name = group.names[0]
        best.update(dict.fromkeys(group.names, _least(probe, seen[name], ranges[name])))
    return best


def _probes(
    graph: Graph,
    groups: Sequence[Group],
    images: Sequence[Image],
    progress: Progress,
    label: str,
) -> Iterator[tuple[Group, Probe]]:
    """The groups in the order they are computed, each with the model behind it."""
    forward, exact = Forward(graph, images), scores(graph.model, images)
    order = sorted(groups, key=lambda group: graph.place(group.tensor))
    for group in progress.track(order, label, total=len(order)):
        yield group, Probe(forward, group.tensor, exact)


def within(cut: Range, whole: Range) -> Range:
    """The part of a cut that lies in the whole, zero in it, and not too narrow to have a scale."""
    low, high = max(min(cut.low, 0.0), whole.low), min(max(cut.high, 0.0), whole.high)
    return Range(low, high) if high - low >= NARROWEST else whole


def _groups(graph: Graph, ranges: Mapping[str, Range]) -> list[Group]:
    """The activations whose range may be chosen, by groups that share it."""
    names = graph.unique_names()
    makers = {int(operator.outputs[0]): operator for operator in graph.operators}
    fixed = {int(tensor) for tensor in graph.subgraph.inputs} | {scores_tensor(graph)}
    groups = []
    for tensors in scale_groups(graph):
        ranged = [t for t in tensors if names[t] in ranges]
        codes = {graph.code(makers[t]) for t in ranged if t in makers}
        if not ranged or fixed & set(ranged) or codes & set(FIXED):
            continue
        joined = [t for t in ranged if graph.code(makers[t]) == "CONCATENATION"]
        first = joined[-1] if joined else ranged[0]
        rest = [names[t] for t in ranged if t != first]
        groups.append(Group((names[first], *rest), first))
    return groups


def _tailed(seen: Statistics, whole: Range) -> bool:
    """Whether cutting a thousandth of the values at either end narrows the range."""
    cut = within(seen.without_tails(1e-3), whole)
    return whole.high - whole.low > HEAVY * (cut.high - cut.low)


class Tried(NamedTuple):
    """A range, and what it costs the scores of each image."""

    range: Range
    losses: Floats


def _least(probe: Probe, seen: Statistics, whole: Range) -> Range:
    """The whole range, or one that surely costs the scores less.

    Both ends are cut together first, from the widest on; then each end is moved alone.
    """
    best = Tried(whole, probe.losses(whole))
    if best.losses.mean() < WORTH_A_SEARCH:
        return whole
    cuts = [within(seen.without_tails(share), whole) for share in TAILS]
    best = _searched(probe, cuts, best)
    for end in ("low", "high"):
        moved = [best.range._replace(**{end: getattr(cut, end)}) for cut in (whole, *cuts)]
        best = _searched(probe, moved[::-1], best)
    return best.range


def _searched(probe: Probe, candidates: list[Range], best: Tried) -> Tried:
    """The best of the candidates, tried in turn until several were worse."""
    last, worse = best.range, 0
    for candidate in candidates:
        change = abs(candidate.low - last.low) + abs(candidate.high - last.high)
        if change < NOTICED * (last.high - last.low) or candidate == best.range:
            continue
        last, tried = candidate, Tried(candidate, probe.losses(candidate))
        if _is_better(best, tried):
            best, worse = tried, 0
        elif tried.losses.mean() >= best.losses.mean():
            worse += 1
        if worse == PATIENCE:
            break
    return best


def _is_better(best: Tried, other: Tried) -> bool:
    """Whether another range is surely better, or wider and not surely worse.

    A tail that no searched image needs costs nothing to cut, and on a later image it may cost much:
    MobileNetV3-Small's last average, cut at 84 by sixteen images, reaches 136 in a hundred.
    """
    if _width(other.range) > _width(best.range):
        return not pays(other.losses, best.losses)
    return pays(best.losses, other.losses)


def _width(stored: Range) -> float:
    return stored.high - stored.low


def _percentile(seen: Statistics) -> Range:
    """All but the outermost values."""
    return seen.without_tails(PERCENTILE)


def _mse(seen: Statistics) -> Range:
    """The range with the least squared error of the values themselves."""
    centers, counts = seen.centers(), seen.counts

    def error(share: float) -> float:
        low, high = min(seen.low, 0.0) * share, max(seen.high, 0.0) * share
        cut = np.square(centers - centers.clip(low, high)) @ counts
        return float(cut + ((high - low) / 255) ** 2 / 12 * counts.sum())

    share = min(np.linspace(1, 0.05, 96), key=error)
    return Range(seen.low * share, seen.high * share)


def _entropy(seen: Statistics) -> Range:
    """The range with the least relative entropy of the values to themselves in 256 steps.

    The calibration of Migacz, 8-bit Inference with TensorRT, 2017, for any ratio of the two ends.
    """
    centers, counts = seen.centers(), seen.counts / max(seen.counts.sum(), 1)

    def divergence(share: float) -> float:
        low, high = min(seen.low, 0.0) * share, max(seen.high, 0.0) * share
        steps = np.rint((centers.clip(low, high) - low) * (255 / max(high - low, 1e-12)))
        places = steps.astype(np.intp)
        kept = np.where((centers >= low) & (centers <= high), counts, 0)
        live = counts > 0
        sizes = np.maximum(np.bincount(places, live, 256), 1)
        model = np.where(live, (np.bincount(places, kept, 256) / sizes)[places], 0)
        model = np.maximum(model / max(model.sum(), 1e-12), 1e-12)
        return float((counts[live] * np.log(counts[live] / model[live])).sum())

    share = min(np.linspace(1, 0.05, 96), key=divergence)
    return Range(seen.low * share, seen.high * share)


CUTS = {"percentile": _percentile, "mse": _mse, "entropy": _entropy}
