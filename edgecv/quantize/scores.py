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
from edgecv.tflite.graph import Graph

Floats = npt.NDArray[np.floating[Any]]
CLASSES = 2  # fewer scores are not a choice among classes
LOWS = np.linspace(1, 0, 9)  # shares of what was observed
HIGHS = np.linspace(1, 0.7, 7)


def scores_range(
    graph: Graph, ranges: Mapping[str, Range], images: Sequence[Image]
) -> dict[str, Range]:
    """The range of the scores and of what shares their grid, by name; empty if there are none."""
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


def divergence(exact: Floats, found: Floats) -> float:
    """The mean relative entropy of the probabilities behind two sets of scores."""
    wanted, given = _log_softmax(exact), _log_softmax(found)
    return float((np.exp(wanted) * (wanted - given)).sum(1).mean())


def _log_softmax(scores: Floats) -> Floats:
    shifted = scores.astype(np.float64) - scores.max(1, keepdims=True)
    logs: Floats = shifted - np.log(np.exp(shifted).sum(1, keepdims=True))
    return logs
