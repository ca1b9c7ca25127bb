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
from edgecv.quantize.activations import Image, activations
from edgecv.quantize.probe import in_8_bits, scores_tensor
from edgecv.quantize.ranges import FIXED, scale_groups
from edgecv.tflite import contract
from edgecv.tflite.graph import Graph
from edgecv.tflite.scores import SIGMOID, Output

Floats = npt.NDArray[np.floating[Any]]
CLASSES = 2  # fewer scores are not a choice among classes
LOWS = np.linspace(1, 0, 9)  # shares of what was observed
HIGHS = np.linspace(1, 0.7, 7)


def scores_range(
    graph: Graph, ranges: Mapping[str, Range], images: Sequence[Image]
) -> dict[str, Range]:
    """The range of the scores and of what shares their grid, by name; empty if there are none."""
    if not contract.of(graph.model).output.is_of_classes:
        return {}  # low numbers of an embedding or a measure are answers as well
    tensor = scores_tensor(graph)
    names = graph.unique_names()
    maker = next(each for each in graph.operators if tensor in set(map(int, each.outputs)))
    if graph.code(maker) in FIXED or np.prod(graph.shape(tensor)) < CLASSES:
        return {}
    answers = activations(graph.model, [tensor], images)
    exact = np.stack([answer(tensor).ravel() for answer in answers])
    whole = ranges[names[tensor]]
    candidates = [
        Range(whole.low * low, whole.high * high)
        for low in LOWS
        for high in HIGHS
        if whole.high * high > whole.low * low
    ]
    best = min(candidates, key=lambda each: divergence(exact, in_8_bits(exact, each)))
    group = next(each for each in scale_groups(graph) if tensor in each)
    return {names[each]: best for each in group if names[each] in ranges}


def loss_and_likeness(exact: Floats, found: Floats, output: Output) -> tuple[float, float]:
    """What scores [n, outputs] lose, and how alike they are.

    Of classes: the relative entropy, and the share of images with the same answer. Of other
    numbers: the squared error as a share of the variance, and the mean cosine.
    """
    if not output.is_of_classes:
        lengths = np.linalg.norm(exact, axis=1) * np.linalg.norm(found, axis=1)
        cosines = (exact * found).sum(1) / np.maximum(lengths, 1e-12)
        error = np.square(found - exact).mean() / (exact.var() + 1e-20)
        return float(error), float(cosines.mean())
    one, other = (_logs(side, output) for side in (exact, found))
    return divergence(one, other), float((one.argmax(1) == other.argmax(1)).mean())


def _logs(scores: Floats, output: Output) -> Floats:
    """Scores as logits of each class."""
    if output.kind != SIGMOID:
        return scores
    logs: Floats = np.log(np.maximum(output.of_each_class(scores.astype(np.float32)), 1e-6))
    return logs


def divergence(exact: Floats, found: Floats) -> float:
    """The mean relative entropy of the probabilities behind two sets of scores."""
    wanted, given = _log_softmax(exact), _log_softmax(found)
    return float((np.exp(wanted) * (wanted - given)).sum(1).mean())


def _log_softmax(scores: Floats) -> Floats:
    shifted = scores.astype(np.float64) - scores.max(1, keepdims=True)
    logs: Floats = shifted - np.log(np.exp(shifted).sum(1, keepdims=True))
    return logs
