"""A Keras model as a .tflite file: batch 1, frozen, hard-swish lowered, pixels in [-1, 1]."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras
from tensorflow.lite.python.convert_phase import ConverterError
from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

from edgecv.artifacts import CENTERED, Normalization, TFLiteModel
from edgecv.errors import UnsupportedModelError
from edgecv.tflite import flatbuffer, lowering, tf_logging
from edgecv.tflite.flatbuffer import ModelT
from edgecv.tflite.graph import Graph

SCHEMES = ("float32", "float32_sparse", "float16", "dynamic")
OPTIMIZATIONS = {"float32_sparse": tf.lite.Optimize.EXPERIMENTAL_SPARSITY}


def convert(
    model: tf_keras.Model,
    path: Path,
    normalization: Normalization = CENTERED,
    scheme: str = "float32",
) -> TFLiteModel:
    """Write `model` as a .tflite from `image` [1, H, W, 3] in [-1, 1] to `scores` [1, classes].

    `normalization` is what the Keras model itself expects of pixels. Where that, with what the
    model does to them first, is not [-1, 1], one depthwise 1x1 convolution before the trunk turns
    the one into the other, exactly.
    `float32_sparse` stores the weights of mostly-zero layers without their zeros.
    Raises UnsupportedModelError, naming the operators that TFLite lacks.
    """
    return write_frozen(_frozen(model, normalization), path, model.name, scheme)


def write_frozen(function: Any, path: Path, name: str, scheme: str = "float32") -> TFLiteModel:
    """Write a frozen function of one image as a .tflite; messages call it `name`.

    Raises as `convert`.
    """
    converter = tf.lite.TFLiteConverter.from_concrete_functions([function])
    if scheme != "float32":
        converter.optimizations = [OPTIMIZATIONS.get(scheme, tf.lite.Optimize.DEFAULT)]
    if scheme == "float16":
        converter.target_spec.supported_types = [tf.float16]
    try:
        with tf_logging.silence_tensorflow():
            data = converter.convert()
    except ConverterError as error:
        raise UnsupportedModelError(f"{name}: {_reason(error)}") from error
    flat = flatbuffer.parse(data, name)
    _name_tensors(flat)
    if scheme == "float32":
        lowering.lower_hard_swish(flat)
    return TFLiteModel(flatbuffer.write(flat, path), scheme)


def _frozen(model: tf_keras.Model, normalization: Normalization) -> Any:
    """The model as a function of one image, its variables turned into constants."""
    shape = model.input_shape
    if not isinstance(shape, tuple) or None in shape[1:] or shape[3:] not in ((3,), (1,)):
        raise UnsupportedModelError(
            f"{model.name}: the input must be one RGB image, or a gray one, of fixed size,"
            f" got {shape}"
        )
    inside, trunk = split_scale(model)
    expected = _composed(normalization, inside)

    def scores(image: Any) -> Any:
        if expected != CENTERED:
            image = _renormalized(image, expected)
        return trunk(image, training=False)

    return freeze(scores, (1, *shape[1:]))


def freeze(scores: Callable[[Any], Any], shape: tuple[int, ...]) -> Any:
    """A function of an image of that shape, its variables turned into constants."""
    signature = tf.TensorSpec(shape, tf.float32, name="image")
    with tf_logging.silence_tensorflow():
        concrete = tf.function(scores).get_concrete_function(signature)
        return convert_variables_to_constants_v2(concrete)


def split_scale(model: tf_keras.Model) -> tuple[Normalization | None, tf_keras.Model]:
    """The normalization in a model's own Rescaling, and the model behind it.

    None, and the model as it is, where it begins with something else.
    """
    image, *layers = model.layers
    if len(layers) < 2 or not isinstance(layers[0], tf_keras.layers.Rescaling):
        return None, model
    scale, offset = (np.asarray(value, float) for value in (layers[0].scale, layers[0].offset))
    if len(image.outbound_nodes) > 1 or (scale <= 0).any():
        return None, model
    mean, std = np.broadcast_to(0 - offset / scale, 3), np.broadcast_to(1 / scale, 3)
    trunk = tf_keras.Model(layers[0].output, model.output, name=model.name)
    return Normalization(_rounded(mean), _rounded(std)), trunk


def _rounded(values: Any) -> tuple[float, float, float]:
    """To 9 digits: 1 / (1 / 127.5) is meant to be 127.5."""
    red, green, blue = (float(f"{value:.9g}") for value in values)
    return red, green, blue


def _composed(first: Normalization, second: Normalization | None) -> Normalization:
    """Two normalizations, one after the other, as one."""
    if second is None:
        return first
    (mean, std), (then, by) = np.array(first), np.array(second)
    return Normalization(_rounded(mean + then * std), _rounded(std * by))


def _renormalized(image: Any, normalization: Normalization) -> Any:
    """Pixels in [-1, 1] as (pixel - mean) / std, by one depthwise 1x1 convolution."""
    channels = image.shape[-1]
    mean, std = (np.array(values[:channels]) for values in normalization)
    scale = (127.5 / std).astype(np.float32).reshape(1, 1, channels, 1)
    offset = ((127.5 - mean) / std).astype(np.float32)
    scaled = tf.nn.depthwise_conv2d(image, scale, strides=[1, 1, 1, 1], padding="VALID")
    return tf.nn.bias_add(scaled, offset)


def _reason(error: ConverterError) -> str:
    """The converter's error in one line."""
    lacking = sorted(set(re.findall(r"'tf\.(\w+)' op is neither a custom op", str(error))))
    if lacking:
        return f"TFLite has no operator for {', '.join(lacking)}"
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return f"cannot be converted: {lines[0] if lines else type(error).__name__}"[:300]


def _name_tensors(flat: ModelT) -> None:
    """Call the ends `image` and `scores`, and every other tensor after its layer.

    The converter joins the paths of all it fused: `net/a_relu/Relu;net/a_bn/...;net/a_conv/...`.
    """
    graph = Graph(flat)
    ends = {int(graph.subgraph.inputs[0]): "image", int(graph.subgraph.outputs[0]): "scores"}
    taken = set(ends.values())
    constants = (index for index in range(len(graph.tensors)) if graph.is_constant(index))
    for tensor in [*graph.activations(), *constants]:
        path = graph.name(tensor).split(";")[0]
        layer, inside = (path.split("/", 2)[1:2] or [path])[0], path.partition("/")[2]
        choices = (layer, inside, path, f"{path}#{tensor}")
        name = ends.get(tensor) or next(
            choice for choice in choices if choice and choice not in taken
        )
        taken.add(name)
        graph.tensors[tensor].name = name.encode()
