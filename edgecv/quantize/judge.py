"""The loss of an int8 model against the float one, and whether a step of the quantizer pays.

A step (ranges cut, channels equalized, weights corrected) is made on some of the calibration images
and judged on the others: it stays only if the loss on those falls by more than its noise.
"""

from collections.abc import Sequence
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from edgecv.quantize.activations import Image, activations, dequantized
from edgecv.tflite import contract
from edgecv.tflite.flatbuffer import ModelT
from edgecv.tflite.graph import Graph
from edgecv.tflite.scores import SIGMOID, Output

Floats = npt.NDArray[np.floating[Any]]
T = TypeVar("T")
MOST = 16  # images that ranges are searched on; more take time and change little
FOLD = 8  # every so many-th image, at most, judges what weights were fitted on the others
# Standard errors per image that a step must gain beyond the first. Without it, five images kept an
# equalization of SqueezeNet 1.1 that costs .0100 on 1,050 others instead of .0072; with
# Student's test at 90 % throughout, a hundred undo what brings it from .0087 to .0072.
DOUBT = 4
LEAST = 1e-6  # nats: no loss of an image counts as smaller, in a ratio of losses
JUDGES = 16  # at least, where there are twice as many images
NO_OPERATION = {"SOFTMAX", "RESHAPE", "SQUEEZE", "QUANTIZE", "DEQUANTIZE"}  # behind the scores


def spread(images: Sequence[T]) -> tuple[list[T], list[T]]:
    """A few of the images, evenly from half of all at most, and the others."""
    step = max(2, -(-len(images) // MOST))
    return [*images[::step]], [image for place, image in enumerate(images) if place % step]


def held_out(images: Sequence[T]) -> tuple[list[T], list[T]]:
    """Most of the images, and every so many-th of them, which judge what is made on the most."""
    step = max(2, min(FOLD, len(images) // JUDGES))
    made_on = [image for place, image in enumerate(images) if (place + 1) % step]
    return made_on, [*images[step - 1 :: step]]


class Judge:
    """The float model's scores on images that no step has seen."""

    def __init__(self, flat: ModelT, images: Sequence[Image]) -> None:
        self.images, self.output = images, contract.read_model(flat).output
        self.exact = scores(flat, images) if images else np.zeros((0, 1))

    def losses(self, model: ModelT) -> Floats:
        """The loss of a model's scores for each image."""
        if not self.images:
            return np.zeros(0)
        return losses(self.exact, scores(model, self.images), self.output)


def pays(before: Floats, after: Floats) -> bool:
    """Whether losses [images] fall by more than noise, in their mean or on most images.

    A few images carry most of a mean: a step that helps nearly all may not be told from noise
    there, but in the logarithms of the losses it is.
    """
    if len(before) < 2 or after.mean() >= before.mean():
        return False
    shares = np.log(np.maximum(before, LEAST) / np.maximum(after, LEAST))
    return _above_noise(before - after) or _above_noise(shares)


def _above_noise(gains: Floats) -> bool:
    """Whether the mean is above its noise: a standard error, and more of few images."""
    count = len(gains)
    noise = gains.std(ddof=1) / np.sqrt(count) * (1 + DOUBT / count)
    return bool(gains.mean() > noise)


def scores_tensor(graph: Graph) -> int:
    """The tensor that holds the model's scores, before a SOFTMAX or copy that ends the model."""
    tensor = int(graph.subgraph.outputs[0])
    makers = {int(output): maker for maker in graph.operators for output in maker.outputs}
    while tensor in makers and graph.code(makers[tensor]) in NO_OPERATION:
        tensor = int(makers[tensor].inputs[0])
    return tensor


def scores(flat: ModelT, images: Sequence[Image]) -> Floats:
    """The real scores of a float or int8 model [images, outputs], before a softmax."""
    graph = Graph(flat)
    tensor = scores_tensor(graph)
    rows = [value(tensor) for value in activations(flat, [tensor], images)]
    return np.stack([dequantized(graph, tensor, row).ravel() for row in rows])


def losses(exact: Floats, actual: Floats, output: Output) -> Floats:
    """The losses of scores [images, outputs], by image.

    Of classes: the relative entropy of the probabilities, in nats. Of other numbers: the squared
    error as a share of the variance.
    """
    if not output.is_of_classes:
        error: Floats = np.square(actual - exact).mean(1) / (exact.var() + 1e-20)
        return error
    return divergences(logits(exact, output), logits(actual, output))


def logits(scores: Floats, output: Output) -> Floats:
    """Scores as logits of each class."""
    if output.kind != SIGMOID:
        return scores
    logs: Floats = np.log(np.maximum(output.of_each_class(scores.astype(np.float32)), 1e-6))
    return logs


def divergences(exact: Floats, actual: Floats) -> Floats:
    """The relative entropy of the probabilities behind two sets of logits, by row."""
    wanted, given = _log_softmax(exact), _log_softmax(actual)
    entropies: Floats = (np.exp(wanted) * (wanted - given)).sum(1)
    return entropies


def _log_softmax(scores: Floats) -> Floats:
    shifted = scores.astype(np.float64) - scores.max(1, keepdims=True)
    logs: Floats = shifted - np.log(np.exp(shifted).sum(1, keepdims=True))
    return logs
