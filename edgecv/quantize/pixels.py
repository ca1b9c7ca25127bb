"""A float model whose file says what pixels must go through, and which can be put on a grid."""

import copy
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from edgecv.artifacts import CENTERED, Normalization, TFLiteModel
from edgecv.files import write_bytes
from edgecv.quantize.checks import check_quantizable
from edgecv.tflite import archive, flatbuffer, metadata, open_batch
from edgecv.tflite.contract import Contract, ImageInput
from edgecv.tflite.flatbuffer import ModelT, schema
from edgecv.tflite.graph import Graph


@contextmanager
def saying(model: Path, contract: Contract) -> Iterator[TFLiteModel]:
    """The float model with a file that says its contract: labels, crop, normalization.

    Unless it does already, it is a copy that lives as long as the block. A normalization of its own
    for each channel has no int8 grid; it becomes the copy's first layer. Raises
    UnsupportedModelError when the model cannot be quantized.
    """
    flat = flatbuffer.read(model)
    image, labels = contract.image, contract.output.labels
    inside = not on_a_grid(image.normalization)
    taken = CENTERED if inside else image.normalization
    said = metadata.Metadata(labels, contract.arch, image.crop, taken)
    if not inside and metadata.read_model(flat, str(model)) == said:
        yield TFLiteModel(model, "float32", taken)
        return
    settled = copy.deepcopy(flat)
    open_batch.set_batch(settled)
    check_quantizable(settled, str(model))
    if inside:
        normalize_inside(flat, image)
    metadata.write_model(flat, said)
    with tempfile.TemporaryDirectory() as folder:
        data = archive.append_files(flatbuffer.serialized(flat), archive.text_files(model))
        yield TFLiteModel(write_bytes(Path(folder) / model.name, data), "float32", taken)


def on_a_grid(normalization: Normalization) -> bool:
    """Whether bytes so normalized are one int8 grid with zero on it."""
    (mean, *means), (std, *stds) = normalization
    return {mean} == set(means) and {std} == set(stds) and 0 <= mean <= 255


def normalize_inside(flat: ModelT, taken: ImageInput) -> None:
    """Make a model take [-1, 1], by a 1x1 depthwise convolution before all else, in place."""
    graph = Graph(flat)
    image, options = int(graph.subgraph.inputs[0]), schema().DepthwiseConv2DOptionsT()
    options.padding = schema().Padding.VALID
    options.strideW = options.strideH = options.depthMultiplier = 1
    options.dilationWFactor = options.dilationHFactor = 1
    mean, std = (np.array(figures[: taken.channels], np.float32) for figures in taken.normalization)
    kernel = graph.add_constant((127.5 / std).reshape(1, 1, 1, -1), "normalization/weights")
    bias = graph.add_constant((127.5 - mean) / std, "normalization/bias")
    normalized = graph.add_activation(image, "normalization")
    for operator in graph.operators:
        inputs = [normalized if t == image else t for t in operator.inputs]
        operator.inputs = np.array(inputs, np.int32)
    first = graph.new_operator("DEPTHWISE_CONV_2D", [image, kernel, bias], [normalized], options)
    graph.subgraph.operators = [first, *graph.operators]
