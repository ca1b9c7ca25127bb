"""Float models that were trained on pixels of another scale than [-1, 1]."""

import copy
import dataclasses
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from edgecv.artifacts import CENTERED, Normalization, TFLiteModel
from edgecv.quantize.checks import check_quantizable
from edgecv.tflite import flatbuffer, metadata, open_batch
from edgecv.tflite.flatbuffer import ModelT, schema
from edgecv.tflite.graph import Graph


@contextmanager
def given(model: Path, asked: Normalization | None) -> Iterator[TFLiteModel]:
    """The float model with what pixels must go through: as asked, else as its metadata says.

    Unless that is [-1, 1], it is a copy that lives as long as the block, whose metadata say so. A
    normalisation of its own for each channel has no int8 grid; it becomes the copy's first layer.
    Raises UnsupportedModelError when the model cannot be quantised.
    """
    flat = flatbuffer.read(model)
    wanted = asked or metadata.normalization(flat)
    if wanted == CENTERED:
        yield TFLiteModel(model, "float32")
        return
    settled = copy.deepcopy(flat)
    open_batch.settle(settled)
    check_quantizable(settled, str(model))
    if not on_a_grid(wanted):
        normalize_inside(flat, wanted)
        wanted = CENTERED
    known = metadata.known(flat, str(model)) or metadata.Metadata()
    metadata.put(flat, dataclasses.replace(known, normalization=wanted))
    with tempfile.TemporaryDirectory() as folder:
        written = flatbuffer.write(flat, Path(folder) / model.name)
        yield TFLiteModel(written, "float32", wanted)


def on_a_grid(normalization: Normalization) -> bool:
    """Whether bytes so normalised are one int8 grid with zero on it."""
    (mean, *means), (std, *stds) = normalization
    return {mean} == set(means) and {std} == set(stds) and 0 <= mean <= 255


def normalize_inside(flat: ModelT, normalization: Normalization) -> None:
    """Make a model take [-1, 1], by a 1x1 depthwise convolution before all else, in place."""
    graph = Graph(flat)
    image, options = int(graph.subgraph.inputs[0]), schema().DepthwiseConv2DOptionsT()
    options.padding = schema().Padding.VALID
    options.strideW = options.strideH = options.depthMultiplier = 1
    options.dilationWFactor = options.dilationHFactor = 1
    mean, std = (np.array(each, np.float32) for each in normalization)
    kernel = graph.add_constant((127.5 / std).reshape(1, 1, 1, 3), "normalization/weights")
    bias = graph.add_constant((127.5 - mean) / std, "normalization/bias")
    normalized = graph.add_activation(image, "normalization")
    for operator in graph.operators:
        inputs = [normalized if each == image else each for each in operator.inputs]
        operator.inputs = np.array(inputs, np.int32)
    first = graph.new_operator("DEPTHWISE_CONV_2D", [image, kernel, bias], [normalized], options)
    graph.subgraph.operators = [first, *graph.operators]
