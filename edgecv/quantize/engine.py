"""post_training(): any float .tflite and images to the int8 file that answers most alike."""

import copy
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from edgecv.artifacts import Range, TFLiteModel
from edgecv.errors import counted
from edgecv.progress import QUIET, Progress
from edgecv.quantize import equalize
from edgecv.quantize.activations import Image, activations
from edgecv.quantize.calibrate import observed, usable
from edgecv.quantize.checks import check_quantizable
from edgecv.quantize.int8 import float_operators, int8_twin
from edgecv.quantize.ranges import scale_groups
from edgecv.quantize.reconstruct import Steps, reconstruct
from edgecv.quantize.scores import scores_range
from edgecv.quantize.select import selected
from edgecv.quantize.statistics import Statistics
from edgecv.tflite import archive, flatbuffer, lowering, metadata, open_batch, runtime
from edgecv.tflite.graph import Graph

UNCHANGED = 1e-4  # of the largest score: what equalization may change by rounding
PAYS = 2e-5  # loss of the scores (see probe) from which on equalization is worth its risk
GATE_PAYS = 1e-3  # and from which on it is worth the time of a depthwise gate


class Stages(NamedTuple):
    """What post_training does beyond the ranges; the bench and the ladder switch each off."""

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
    notes = open_batch.settle(flat)
    check_quantizable(flat, str(model.path))
    if lowered := lowering.lower_hard_swish(flat):
        notes.append(f"lowered {lowered} hard-swishes and products with a constant")
    seen = observed(flat, images, progress, str(model.path))
    ranges, losses = chosen(flat, seen, images, method, progress)
    if stages.equalize:
        flat, done = equalized(flat, seen, losses, images)
        notes += done
        if done:
            seen = observed(flat, images, progress, str(model.path))
            ranges, _ = chosen(flat, seen, images, method, progress)
    return Prepared(model, flat, ranges, notes)


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
    ranges = {name: each for name, each in prepared.ranges.items() if name not in floats}
    quantized = int8_twin(flat, ranges, output, str(model.path), stages.dense_per_tensor)
    if stages.correct:
        steps = Steps(round=stages.round)
        count = reconstruct(flat, quantized, images, steps, progress)
        notes.append(f"corrected weights and biases of {counted(count, 'layer')}")
    _write(quantized, model, path)
    notes += [f"stayed in float: {each}" for each in float_operators(path)]
    return Quantized(TFLiteModel(path, "int8", model.normalization), ranges, notes, flat)


def chosen(
    flat: flatbuffer.ModelT,
    seen: Mapping[str, Statistics],
    images: Sequence[Image],
    method: str,
    progress: Progress = QUIET,
) -> tuple[dict[str, Range], dict[str, float]]:
    """The range of each activation by `method`, and with `auto` what each then costs the scores."""
    graph = Graph(flat)
    ranges, losses = selected(graph, seen, usable(graph, seen), images, method, progress)
    if method == "auto":
        ranges.update(scores_range(graph, ranges, images))
    return ranges, losses


def equalized(
    flat: flatbuffer.ModelT,
    seen: Mapping[str, Statistics],
    losses: Mapping[str, float],
    images: Sequence[Image],
) -> tuple[flatbuffer.ModelT, list[str]]:
    """The model with its channels equalized wherever that leaves the scores alone, and notes."""
    few = list(images[:: max(1, len(images) // 8)])
    before = _scores(flat, few)
    names = Graph(flat).unique_names()
    notes, done = [], 0
    for name in [names[pair.layer.output] for pair in equalize.pairs(Graph(flat))]:
        changed = copy.deepcopy(flat)
        graph = Graph(changed)
        named = graph.unique_names()
        pair = next(each for each in equalize.pairs(graph) if named[each.layer.output] == name)
        cost = sum(losses.get(named[each], 0) for each in pair.scaled)
        if cost < (GATE_PAYS if pair.gates else PAYS):
            continue
        factor = equalize.factors(pair, seen[name])
        if factor.max() < equalize.WORTHWHILE:
            continue
        equalize.equalize(graph, pair, factor)
        difference = np.abs(_scores(changed, few) - before).max() / np.abs(before).max()
        if difference < UNCHANGED:
            flat, done = changed, done + 1
        else:
            notes.append(f"not equalized: {name} (scores would change by {difference:.1e})")
    return flat, [f"equalized the channels of {counted(done, 'layer')}"] * bool(done) + notes


def _one_grid(graph: Graph, tensors: Collection[str]) -> set[str]:
    """The activations and all that share a grid with them, but for the model's own ends."""
    names = graph.unique_names()
    groups = ({names[each] for each in group} for group in scale_groups(graph))
    found = set[str]().union(*(group for group in groups if group & set(tensors)))
    return found - {names[int(each)] for each in [*graph.subgraph.inputs, *graph.subgraph.outputs]}


def _scores(flat: flatbuffer.ModelT, images: Sequence[Image]) -> np.ndarray[Any, Any]:
    """What a float model answers for each image."""
    tensor = int(Graph(flat).subgraph.outputs[0])
    return np.stack([answer(tensor).ravel() for answer in activations(flat, [tensor], images)])


def _write(quantized: flatbuffer.ModelT, model: TFLiteModel, path: Path) -> None:
    """Write the int8 model with the labels of the float one, once the runtime has taken it."""
    Graph(quantized).tidy()
    runtime.load(flatbuffer.serialized(quantized))
    flatbuffer.write(quantized, path)
    if known := metadata.read(model.path):
        metadata.attach(path, known, archive.text_files(model.path))
