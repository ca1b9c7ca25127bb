"""The grid of the scores that a classifier ends with.

What reads them is a softmax, or someone who looks for the highest. So the range is the one whose
probabilities differ least from the float model's (relative entropy): low scores, which are nobody's
answer, need no steps of their own, and the answers get finer ones.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from edgecv.artifacts import Range
from edgecv.quantize.activations import Image
from edgecv.quantize.judge import divergences, logits, losses, scores, scores_tensor
from edgecv.quantize.probe import in_8_bits
from edgecv.quantize.ranges import FIXED, scale_groups
from edgecv.tflite import contract
from edgecv.tflite.graph import Graph
from edgecv.tflite.scores import Output

Floats = npt.NDArray[np.floating[Any]]
CLASSES = 2  # fewer scores are not a choice among classes
LOWS = np.linspace(1, 0, 9)  # shares of what was observed
HIGHS = np.linspace(1, 0.7, 7)


def scores_range(
    graph: Graph, ranges: Mapping[str, Range], images: Sequence[Image]
) -> dict[str, Range]:
    """The range of the scores and of what shares their grid, by name; empty if there are none."""
    if not contract.read_model(graph.model).output.is_of_classes:
        return {}  # low numbers of an embedding or a measure are answers as well
    tensor = scores_tensor(graph)
    names = graph.unique_names()
    maker = next(op for op in graph.operators if tensor in set(map(int, op.outputs)))
    if graph.code(maker) in FIXED or np.prod(graph.shape(tensor)) < CLASSES:
        return {}
    exact = scores(graph.model, images)
    whole = ranges[names[tensor]]
    candidates = [
        Range(whole.low * low, whole.high * high)
        for low in LOWS
        for high in HIGHS
        if whole.high * high > whole.low * low
    ]
    best = min(candidates, key=lambda cut: divergences(exact, in_8_bits(exact, cut)).mean())
    group = next(group for group in scale_groups(graph) if tensor in group)
    return {names[t]: best for t in group if names[t] in ranges}


def loss_and_likeness(exact: Floats, actual: Floats, output: Output) -> tuple[float, float]:
    """The loss of scores [images, outputs] (see `judge.losses`), and how alike they are.

    Alike: of classes, the share of images with the same answer; of other numbers, the mean cosine.
    """
    loss = float(losses(exact, actual, output).mean())
    if output.is_of_classes:
        sides = (logits(side, output).argmax(1) for side in (exact, actual))
        return loss, float(np.equal(*sides).mean())
    lengths = np.linalg.norm(exact, axis=1) * np.linalg.norm(actual, axis=1)
    cosines = (exact * actual).sum(1) / np.maximum(lengths, 1e-12)
    return loss, float(cosines.mean())
