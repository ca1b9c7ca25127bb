"""post_training(): any float .tflite and images to the int8 file that answers most alike."""

import copy
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

from edgecv.artifacts import Range, TFLiteModel
from edgecv.errors import plural
from edgecv.progress import QUIET, Progress
from edgecv.quantize import equalize
from edgecv.quantize.activations import Image
from edgecv.quantize.calibrate import observed, usable
from edgecv.quantize.checks import check_quantizable
from edgecv.quantize.int8 import float_operators
from edgecv.quantize.judge import Floats, Judge, held_out, pays, spread
from edgecv.quantize.kernels import accepted_twin
from edgecv.quantize.ranges import scale_groups
from edgecv.quantize.reconstruct import Steps, reconstruct
from edgecv.quantize.scores import scores_range
from edgecv.quantize.select import CUTS, cut_ranges, losses_of_ranges, search_ranges
from edgecv.quantize.statistics import Statistics
from edgecv.tflite import archive, flatbuffer, lowering, metadata, open_batch, runtime
from edgecv.tflite.graph import Graph

PAYS = 2e-5  # nats that activations cost the scores from which on equalizing them is tried
GATE_PAYS = 1e-3  # and from which on it is worth the time of a depthwise gate
FEWEST_JUDGES = 2  # images; a standard error takes two


class Stages(NamedTuple):
    """The steps of post_training beyond the ranges, which bench and accuracy budget switch off."""

    equalize: bool = True
    correct: bool = True
    round: bool = True
    dense_per_tensor: bool = False  # one scale for a fully connected layer, for the Edge TPU
    floats: frozenset[str] = frozenset()  # activations that stay float, with all who touch them


@dataclass(frozen=True)
class Prepared:
    """A float model as it will be quantized: hard-swish lowered, channels equalized, ranges set."""

    model: TFLiteModel
    flat: flatbuffer.ModelT
    ranges: dict[str, Range]
    notes: list[str]


@dataclass(frozen=True)
class Quantized:
    """An int8 file, its activations' ranges, what was done, and the float model it is the twin of.

    That one has its hard-swishes lowered and its channels equalized.
    """

    file: TFLiteModel
    ranges: dict[str, Range]
    notes: list[str]
    flat: flatbuffer.ModelT


def post_training(
    model: TFLiteModel,
    images: Sequence[Image],
    path: Path,
    output: str = "uint8",
    method: str = "auto",
    progress: Progress = QUIET,
    stages: Stages = Stages(),  # noqa: B008
) -> Quantized:
    """Write the int8 twin of a float model to `path`, from RGB images of its input's size.

    `method` is how ranges are chosen, one of recipe.METHODS. Raises UnsupportedModelError for a
    model that is not a float one with one image input, DataError for images that do not fit it.
    """
    prepared = prepare(model, images, method, progress, stages)
    return finish(prepared, images, path, output, progress, stages)


def prepare(
    model: TFLiteModel, images: Sequence[Image], method: str, progress: Progress, stages: Stages
) -> Prepared:
    """The first half of post_training, which any number of `finish` can follow."""
    flat = flatbuffer.read(model.path)
    notes = open_batch.set_batch(flat)
    check_quantizable(flat, str(model.path))
    if lowered := lowering.lower_hard_swish(flat):
        notes.append(f"lowered {lowered} hard-swishes and products with a constant")
    seen = observed(flat, images, progress, str(model.path))
    ranges = usable(Graph(flat), seen)
    if method in CUTS:
        ranges = cut_ranges(Graph(flat), seen, ranges, method)
    prepared = Prepared(model, flat, ranges, notes)
    return _searched(prepared, seen, images, progress, stages) if method == "auto" else prepared


def finish(
    prepared: Prepared,
    images: Sequence[Image],
    path: Path,
    output: str,
    progress: Progress,
    stages: Stages,
) -> Quantized:
    """The second half of post_training: weights, biases and the file."""
    model, flat, notes = prepared.model, prepared.flat, [*prepared.notes]
    floats = _one_grid(Graph(flat), stages.floats)
    ranges = {name: cut for name, cut in prepared.ranges.items() if name not in floats}
    quantized, ranges, widened = accepted_twin(
        flat, ranges, output, str(model.path), stages.dense_per_tensor
    )
    notes += widened
    if stages.correct:
        made_on, judges = held_out(images)
        corrected = copy.deepcopy(quantized)
        steps = Steps(round=stages.round)
        count = reconstruct(flat, corrected, made_on, steps, progress)
        step = f"weights and biases of {plural(count, 'layer')} corrected"
        judge = Judge(flat, judges)
        kept, note = _judged(step, judge.losses(quantized), judge.losses(corrected))
        quantized, notes = corrected if kept else quantized, [*notes, note]
    _write(quantized, model, path)
    notes += [f"stayed in float: {operator}" for operator in float_operators(path)]
    return Quantized(TFLiteModel(path, "int8", model.normalization), ranges, notes, flat)


class Tried(NamedTuple):
    """A model with its ranges, and what its int8 twin loses on the judge's images."""

    prepared: Prepared
    losses: Floats

    @classmethod
    def by(cls, judge: Judge, prepared: Prepared) -> "Tried":
        """Run the twin on the judge's images."""
        name = str(prepared.model.path)
        return cls(
            prepared, judge.losses(accepted_twin(prepared.flat, prepared.ranges, "int8", name)[0])
        )


def _searched(
    prepared: Prepared,
    seen: Mapping[str, Statistics],
    images: Sequence[Image],
    progress: Progress,
    stages: Stages,
) -> Prepared:
    """The model with its channels equalized, and ranges chosen on the scores, where that pays."""
    made_on, judges = spread(images)
    judge = Judge(prepared.flat, judges)
    best = Tried.by(judge, prepared)
    if stages.equalize:
        losses = losses_of_ranges(Graph(prepared.flat), prepared.ranges, made_on, progress)
        flat, scaled = equalized(prepared.flat, seen, losses)
        if scaled:
            now = {**seen, **observed(flat, images, progress, str(prepared.model.path), scaled)}
            ranges = prepared.ranges | {name: usable(Graph(flat), now)[name] for name in scaled}
            step = f"channels of {plural(len(scaled), 'activation')} equalized"
            best = _kept(step, judge, best, replace(prepared, flat=flat, ranges=ranges))
            seen = now if best.prepared.flat is flat else seen
    graph, ranges = Graph(best.prepared.flat), best.prepared.ranges
    cut = ranges | search_ranges(graph, seen, ranges, made_on, progress)
    cut |= scores_range(graph, cut, images)
    return _kept("ranges cut", judge, best, replace(best.prepared, ranges=cut)).prepared


def _kept(step: str, judge: Judge, before: Tried, after: Prepared) -> Tried:
    """The model with or without a step, whichever loses less, with a note on it."""
    tried = Tried.by(judge, after)
    kept, note = _judged(step, before.losses, tried.losses)
    best = tried if kept else before
    return best._replace(prepared=replace(best.prepared, notes=[*before.prepared.notes, note]))


def _judged(step: str, before: Floats, after: Floats) -> tuple[bool, str]:
    """Whether a step pays by its losses on images that it was not made on, and a note on it."""
    if len(before) < FEWEST_JUDGES:
        return False, f"{step}: undone, too few images to judge it"
    kept = pays(before, after)
    change = f"{before.mean():.2g} to {after.mean():.2g}"
    done = "kept" if kept else "undone"
    unseen = plural(len(before), "image")
    return kept, f"{step}: {done}, loss {change} on {unseen} not used for it"


def equalized(
    flat: flatbuffer.ModelT, seen: Mapping[str, Statistics], losses: Mapping[str, float]
) -> tuple[flatbuffer.ModelT, set[str]]:
    """The model with its channels equalized where that is worth it, and the scaled activations.

    The float function stays the same.
    """
    changed = copy.deepcopy(flat)
    names = Graph(flat).unique_names()
    scaled = set[str]()
    for name in [names[pair.layer.output] for pair in equalize.pairs(Graph(flat))]:
        graph = Graph(changed)
        named = graph.unique_names()
        pair = next(pair for pair in equalize.pairs(graph) if named[pair.layer.output] == name)
        cost = sum(losses.get(named[tensor], 0) for tensor in pair.scaled)
        factor = equalize.factors(pair, seen[name])
        if cost < (GATE_PAYS if pair.gates else PAYS) or factor.max() < equalize.WORTHWHILE:
            continue
        equalize.equalize(graph, pair, factor)
        scaled |= {named[tensor] for tensor in pair.scaled}
    return changed, scaled


def _one_grid(graph: Graph, tensors: Collection[str]) -> set[str]:
    """The activations and all that share a grid with them, but for the model's own ends."""
    names = graph.unique_names()
    groups = ({names[tensor] for tensor in group} for group in scale_groups(graph))
    grid = set[str]().union(*(group for group in groups if group & set(tensors)))
    ends = [*graph.subgraph.inputs, *graph.subgraph.outputs]
    return grid - {names[int(tensor)] for tensor in ends}


def _write(quantized: flatbuffer.ModelT, model: TFLiteModel, path: Path) -> None:
    """Write the int8 model with the labels of the float one, once the runtime has taken it."""
    Graph(quantized).tidy()
    runtime.load(flatbuffer.serialized(quantized))
    flatbuffer.write(quantized, path)
    if described := metadata.read(model.path):
        metadata.attach(path, described, archive.text_files(model.path))
