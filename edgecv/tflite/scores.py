"""The outputs of a model: probabilities, logits, one sigmoid, or numbers that are no classes."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from edgecv.errors import DataError
from edgecv.tflite import pixels
from edgecv.tflite.graph import Graph
from edgecv.tflite.pixels import Grid

Floats = npt.NDArray[np.float32]
SOFTMAX, SIGMOID, SIGMOIDS, LOGITS, VALUES = "softmax", "sigmoid", "sigmoids", "logits", "values"
KINDS = {
    SOFTMAX: "probabilities that sum to 1",
    SIGMOID: "one probability, of the second of two classes",
    SIGMOIDS: "a probability for each class, on its own",
    LOGITS: "scores of classes before a softmax",
    VALUES: "numbers of which nothing says that they are scores of classes",
}
OF_CLASSES = (SOFTMAX, SIGMOID, SIGMOIDS, LOGITS)
COPIES = {"QUANTIZE", "DEQUANTIZE", "RESHAPE", "SQUEEZE", "CAST"}
WORDS = ("logit", "score", "prob", "class", "predict", "softmax")  # in the name of such an output
FEATURES = {"AVERAGE_POOL_2D", "MAX_POOL_2D", "MEAN", "L2_NORMALIZATION"}  # make embeddings
IMAGENET_SIZES = (1000, 1001)
PROBABILITY_STEP = 1 / 256  # the scale that TFLite prescribes for a softmax or sigmoid


@dataclass(frozen=True)
class Output:
    """The scores that come out: the first output, as the commands read it."""

    shape: tuple[int, ...]  # of one image
    grid: Grid
    kind: str  # one of KINDS
    labels: tuple[str, ...] = ()
    origin: str = ""  # where the labels are known from

    @property
    def size(self) -> int:
        """How many numbers come out for an image."""
        return int(np.prod(self.shape))

    @property
    def classes(self) -> int:
        """How many classes the numbers tell apart: two, where there is one number."""
        return 2 if self.size == 1 else self.size

    @property
    def is_of_classes(self) -> bool:
        """Whether the numbers are scores of classes."""
        return self.kind in OF_CLASSES

    def decode(self, values: npt.NDArray[Any]) -> Floats:
        """Stored values [n, ...] as real numbers [n, size]."""
        return pixels.decode(values.reshape(len(values), -1), self.grid)

    def of_each_class(self, real: Floats) -> Floats:
        """Real numbers [n, size] as scores [n, classes]: a single one speaks of two classes."""
        if real.shape[1] != 1:
            return real
        second = real if self.kind == SIGMOID else sigmoid(real)
        return np.hstack([1 - second, second])

    def check_labels(self, name: str) -> None:
        """Raise DataError when there are more or fewer labels than classes."""
        if self.labels and len(self.labels) != self.classes:
            raise DataError(
                f"{name}: gives {self.size} scores, but there are {len(self.labels)} labels"
                f" ({self.origin}); name the file of its own with --labels"
            )


def kind(graph: Graph, tensor: int, output: Output) -> str:
    """The kind of the numbers in an output tensor, by the operator that makes them."""
    size, grid = output.size, output.grid
    name, last = graph.name(tensor).lower(), _maker(graph, tensor)
    if len([size for size in output.shape if size > 1]) > 1:
        return VALUES  # a map, boxes
    if last == "SOFTMAX":
        return SOFTMAX
    if last == "LOGISTIC":
        return SIGMOID if size == 1 else SIGMOIDS
    if grid.is_integer and abs(grid.scale - PROBABILITY_STEP) < 1e-6 and _at_the_end(grid):
        return SIGMOID if size == 1 else SOFTMAX
    if size in IMAGENET_SIZES:
        return LOGITS
    of_features = last in FEATURES or "pool" in name
    named = any(word in name for word in WORDS)
    return LOGITS if size > 1 and named and not of_features else VALUES


def _at_the_end(grid: Grid) -> bool:
    return grid.zero_point == int(np.iinfo(grid.dtype).min)


def _maker(graph: Graph, tensor: int) -> str:
    """The operator that makes a tensor, before all that only copies."""
    makers = {int(output): operator for operator in graph.operators for output in operator.outputs}
    while tensor in makers and graph.code(makers[tensor]) in COPIES:
        tensor = int(makers[tensor].inputs[0])
    return graph.code(makers[tensor]) if tensor in makers else ""


def sigmoid(values: Floats) -> Floats:
    """Logits as probabilities."""
    raised: Floats = 1 / (1 + np.exp(-np.clip(values, -60, 60)))
    return raised.astype(np.float32)


def softmax(values: Floats) -> Floats:
    """Logits [n, classes] as probabilities."""
    raised = np.exp(values - values.max(1, keepdims=True))
    shares: Floats = raised / raised.sum(1, keepdims=True)
    return shares
