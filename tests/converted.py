"""Architectures really built, converted and quantized: what counting on shapes is held to."""

import functools
import tempfile
from pathlib import Path
from typing import NamedTuple

from edgecv import models
from edgecv.artifacts import Range
from edgecv.tflite import flatbuffer, lowering
from edgecv.tflite.graph import Graph
from tests.test_models import randomize


class Converted(NamedTuple):
    parameters: int
    bytes: int
    flat: object


@functools.cache
def converted(options, classes):
    """The architecture with weights as a training leaves them; equal zeros would be merged."""
    from edgecv.convert.keras import convert

    model = models.build(options, classes)
    randomize(model)
    with tempfile.TemporaryDirectory() as folder:
        path = convert(model, Path(folder) / "model.tflite").path
        return Converted(model.count_params(), path.stat().st_size, flatbuffer.read(path))


def quantized(flat, name="the model"):
    """The int8 twin of a float model with made-up ranges, as it would be for the Edge TPU."""
    from edgecv.quantize.int8 import int8_twin

    twin = flatbuffer.parse(flatbuffer.serialized(flat))
    lowering.lower_hard_swish(twin)
    ranges = dict.fromkeys(Graph(twin).unique_names().values(), Range(-1.0, 1.0))
    return int8_twin(twin, ranges, "uint8", name, dense_per_tensor=True)


OPTIONS = {"strideW", "strideH", "padding", "axis", "keepDims", "filterWidth", "depthMultiplier"}


def described(flat):
    """Every operator with all that decides its cost: options, types, shapes, what is constant."""
    graph = Graph(flat)

    def tensors(indices):
        return [(graph.shape(t), graph.dtype(t), graph.is_constant(t)) for t in map(int, indices)]

    return [
        (
            graph.code(operator),
            flat.operatorCodes[operator.opcodeIndex].version,
            graph.fused(operator),
            graph.name(int(operator.outputs[0])),
            tensors(operator.inputs),
            tensors(operator.outputs),
            {k: v for k, v in vars(operator.builtinOptions or operator).items() if k in OPTIONS},
        )
        for operator in graph.operators
    ]
