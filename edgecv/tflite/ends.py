"""What a classifier takes and gives, read from its file: also of one that runs elsewhere only.

A model compiled for an Edge TPU cannot be loaded on a machine that has none.
"""

from typing import Any, NamedTuple

import numpy as np

from edgecv.errors import UnsupportedModelError
from edgecv.tflite.flatbuffer import ModelT
from edgecv.tflite.graph import Graph
from edgecv.tflite.schema import DTYPES

Details = dict[str, Any]  # dtype, shape and quantization, as interpreters give them


class Ends(NamedTuple):
    """The image that goes in, and the scores that come out first."""

    image: Details
    scores: Details


def ends(model: ModelT, name: str = "the model") -> Ends:
    """Both ends of a model; messages call it `name`.

    Raises UnsupportedModelError unless it takes one RGB image and gives something for it.
    """
    graph = Graph(model)
    inputs, outputs = (
        [*map(int, each)] for each in (graph.subgraph.inputs, graph.subgraph.outputs)
    )
    if len(inputs) != 1 or not outputs:
        raise UnsupportedModelError(
            f"{name}: has {len(inputs)} inputs and {len(outputs)} outputs; 1 input is allowed"
        )
    for tensor in (inputs[0], outputs[0]):
        if graph.dtype(tensor) not in DTYPES.values():
            raise UnsupportedModelError(f"{name}: {graph.dtype(tensor)} tensors cannot be used")
    image, scores = _details(graph, inputs[0]), _details(graph, outputs[0])
    shape = image["shape"]
    if len(shape) != 4 or shape[0] != 1 or shape[3] != 3:
        raise UnsupportedModelError(
            f"{name}: the input must be one RGB image [1, height, width, 3], got {[*shape]}"
        )
    if not np.issubdtype(image["dtype"], np.floating) and not image["quantization"][0] > 0:
        raise UnsupportedModelError(f"{name}: the input is {image['dtype']} without a scale")
    return Ends(image, scores)


def _details(graph: Graph, tensor: int) -> Details:
    """What an interpreter says of a tensor."""
    grid = graph.tensors[tensor].quantization
    scaled = grid is not None and grid.scale is not None and len(grid.scale) > 0
    return {
        "dtype": np.dtype(graph.dtype(tensor)),
        "shape": graph.shape(tensor),
        "quantization": (float(grid.scale[0]), int(grid.zeroPoint[0])) if scaled else (0.0, 0),
    }
