"""A foreign Keras file, built again in tf_keras out of edgecv's own list of layers."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import tensorflow as tf
import tf_keras

from edgecv.errors import UnsupportedModelError
from edgecv.models import keras_layers
from edgecv.models.foreign.arrays import Array, Arrays, shapes
from edgecv.models.foreign.description import ForeignNetwork
from edgecv.models.foreign.nodes import LayerNode

MERGING = {"Add", "Subtract", "Multiply", "Average", "Maximum", "Minimum"}
FUNCTIONS = {
    "hard_sigmoid": keras_layers.hard_sigmoid,
    "hard_swish": keras_layers.hard_swish,
    "keras2_hard_sigmoid": "hard_sigmoid",
}
FAILURES = (ValueError, TypeError, LookupError, AttributeError, ArithmeticError, tf.errors.OpError)


def build(network: ForeignNetwork, arrays: Arrays, path: Path) -> tf_keras.Model:
    """The float32 model with its arrays, from `image` [batch, height, width, channels].

    Raises UnsupportedModelError, naming the layer, where layers or arrays do not go together.
    """
    image = tf_keras.Input(network.shape, name="image")
    tensors: list[Any] = [image]
    layers: dict[str, Any] = {}
    for node in network.nodes[1:]:
        inputs = [tensors[index] for index in node.inputs]
        try:
            layer, output = _called(node, inputs, layers.get(node.place.path), arrays)
        except FAILURES as error:
            reason = str(error).splitlines()[0][:200] if str(error) else type(error).__name__
            raise UnsupportedModelError(f"{path}: layer '{node.name}': {reason}") from error
        if node.place.path:
            layers[node.place.path] = layer
        tensors.append(output)
    return tf_keras.Model(image, tensors[-1], name=network.name)


def _called(node: LayerNode, inputs: Sequence[Any], layer: Any, arrays: Arrays) -> tuple[Any, Any]:
    """A node's layer, fresh or made by an earlier call of it, and what it makes of its inputs."""
    stored = arrays.get(node.place.path, [])
    _check_inputs(node, inputs, stored)
    if layer is not None:
        return layer, layer(_single(inputs))
    layer = _layer(node)
    output = layer(_single(inputs))
    if layer.weights:
        layer.set_weights(stored)
    return layer, output


def _layer(node: LayerNode) -> Any:
    settings = dict(node.settings)
    if node.kind == "Activation":
        name = settings["activation"]
        settings["activation"] = FUNCTIONS.get(name, name)
    return getattr(tf_keras.layers, node.kind)(**settings, name=node.name)


def _check_inputs(node: LayerNode, inputs: Sequence[Any], stored: Sequence[Array]) -> None:
    """Raise ValueError where a node's arrays or inputs do not fit; before Keras takes memory."""
    if len(inputs) > 1 and node.kind not in {*MERGING, "Concatenate"}:
        raise ValueError(f"reads {len(inputs)} tensors; one is allowed")
    if node.kind in MERGING and len({len(tensor.shape) for tensor in inputs}) > 1:
        raise ValueError(f"reads {' and '.join(str(tensor.shape) for tensor in inputs)}")
    shape = inputs[0].shape
    expected, there = shapes(node, shape), [array.shape for array in stored]
    if there != expected:
        raise ValueError(f"has the arrays {there}, where {expected} are described")
    if node.kind == "Rescaling":
        counts = [len(value) for value in node.settings.values() if isinstance(value, list)]
        if any(count != shape[-1] for count in counts):
            raise ValueError(f"scales {counts} channels of {shape[-1]}")


def _single(inputs: Sequence[Any]) -> Any:
    return inputs[0] if len(inputs) == 1 else [*inputs]
