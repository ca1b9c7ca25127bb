"""A float .tflite and ranges as an int8 .tflite, by TensorFlow's quantizer.

The one place that knows how: TensorFlow announces the end of `tf.lite`, and ai-edge-quantizer, its
successor, takes the same two things.
"""

import copy
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from edgecv.artifacts import Range, TFLiteModel
from edgecv.errors import UnsupportedModelError
from edgecv.tflite import archive, flatbuffer, metadata, tf_logging
from edgecv.tflite.graph import Graph

OUTPUTS = ("uint8", "int8", "float32")
BORDERS = {"QUANTIZE", "DEQUANTIZE"}  # between int8 and the types of the input and the output


def quantize(
    model: TFLiteModel, ranges: Mapping[str, Range], path: Path, output: str = "uint8"
) -> TFLiteModel:
    """Write the int8 twin of a float model: camera bytes in, scores of type `output` out.

    Weights are symmetric, with a scale for each output channel. `ranges` holds every activation of
    the model by its name, as `calibrate` returns them; labels and normalization are taken along.
    """
    described = metadata.read(model.path)
    twin = int8_twin(flatbuffer.read(model.path), ranges, output, str(model.path))
    flatbuffer.write(twin, path)
    if described:
        metadata.attach(path, described, archive.text_files(model.path))
    return TFLiteModel(path, "int8")


def int8_twin(
    flat: flatbuffer.ModelT,
    ranges: Mapping[str, Range],
    output: str,
    name: str,
    dense_per_tensor: bool = False,
) -> flatbuffer.ModelT:
    """A float model in int8, its weights rounded to the nearest; messages call it `name`.

    With `dense_per_tensor`, fully connected layers have one scale for all their weights.
    """
    flat = copy.deepcopy(flat)
    _attach(Graph(flat), ranges)
    data = _quantized(flatbuffer.serialized(flat), output, name, dense_per_tensor)
    return flatbuffer.parse(data, name)


def full_int8(path: Path) -> bool:
    """Whether every operator of a file computes in integers."""
    return not float_operators(path)


def float_operators(path: Path) -> list[str]:
    """The operators of a file that compute in floating point: `SOFTMAX (scores)`.

    Conversions to and from a float input or output do not count.
    """
    graph = Graph(flatbuffer.read(path))
    return [
        f"{graph.code(operator)} ({graph.name(int(operator.outputs[0]))})"
        for operator in graph.operators
        if graph.code(operator) not in BORDERS
        and any(
            graph.dtype(int(tensor)).startswith("float")
            for tensor in [*operator.inputs, *operator.outputs]
            if tensor >= 0
        )
    ]


def _attach(graph: Graph, ranges: Mapping[str, Range]) -> None:
    """Write the ranges where the quantizer looks for them."""
    names = graph.unique_names()
    for tensor in graph.activations():
        if names[tensor] in ranges:
            parameters = flatbuffer.schema().QuantizationParametersT()
            low, high = ranges[names[tensor]]
            parameters.min = np.array([low], np.float32)
            parameters.max = np.array([high], np.float32)
            graph.tensors[tensor].quantization = parameters


def _quantized(data: bytes, output: str, name: str, dense_per_tensor: bool) -> bytes:
    """The bytes of the int8 file; uint8 comes in through one QUANTIZE, which only shifts bytes."""
    with tf_logging.silence_tensorflow():
        import tensorflow as tf
        from tensorflow.lite.python.convert import mlir_quantize
        from tensorflow.lite.python.convert_phase import ConverterError

        try:
            quantized: bytes = mlir_quantize(
                data,
                input_data_type=tf.uint8,
                output_data_type=tf.dtypes.as_dtype(output),
                disable_per_channel_for_dense_layers=dense_per_tensor,
            )
        except (ConverterError, RuntimeError) as error:
            reason = " ".join(str(error).split())[:200]
            raise UnsupportedModelError(f"{name}: cannot be quantized: {reason}") from error
    return quantized
