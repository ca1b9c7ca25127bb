"""A family as a Keras model, in real layers only.

No bare `+` or `*` and no preprocessing: pruning and quantization-aware training clone a model layer
by layer, and know only layers.

Kernels start as Keras draws them. He's initialization, with depthwise kernels counted right,
learned more slowly: after four epochs of 3,000 road signs MobileNetV1 0.5 at 64 pixels stood at
48 % (at a learning rate of 0.002) and 71 % (0.008) with it, at 64 % and 84 % without.
"""

from collections.abc import Callable, Sequence
from typing import Any

import tensorflow as tf
import tf_keras
from tf_keras import layers

from edgecv.models.blocks import EPSILON, GLOROT, Layers, Tensor
from edgecv.models.channel_groups import Coupling, filters
from edgecv.models.shapes import Layer

# The published models were trained for hundreds of thousands of steps, with 0.99 to 0.999. A short
# training has hundreds: at 0.9 the moving statistics follow it. Inference does not see the value.
MOMENTUM = 0.9


def hard_sigmoid(x: Tensor) -> Tensor:
    """A sigmoid of three straight lines: relu6(x + 3) / 6."""
    return tf.nn.relu6(x + 3.0) * (1.0 / 6.0)


def hard_swish(x: Tensor) -> Tensor:
    """The piecewise swish: x * relu6(x + 3) / 6; the converter knows it in this form."""
    return x * tf.nn.relu6(x + 3.0) * (1.0 / 6.0)


for _function in (hard_sigmoid, hard_swish):  # so that a .keras file finds them by name
    tf_keras.saving.register_keras_serializable("edgecv")(_function)

ACTIVATIONS: dict[str, Callable[[str], Any]] = {
    "relu": lambda name: layers.ReLU(name=name),
    "relu6": lambda name: layers.ReLU(6.0, name=name),
    "swish": lambda name: layers.Activation("swish", name=name),
    "sigmoid": lambda name: layers.Activation("sigmoid", name=name),
    "softmax": lambda name: layers.Activation("softmax", name=name),
    "hard_swish": lambda name: layers.Activation(hard_swish, name=name),
    "hard_sigmoid": lambda name: layers.Activation(hard_sigmoid, name=name),
}


class KerasLayers(Layers):
    """The layers of `tf_keras`."""

    def image(self, side: int) -> Tensor:
        """The input, [batch, side, side, 3]."""
        return tf_keras.Input((side, side, 3), name="image")

    def conv(
        self, x: Tensor, out: int, kernel: int, stride: int, name: str, **options: Any
    ) -> Tensor:
        """A convolution, with "same" borders unless `options` say otherwise."""
        layer = layers.Conv2D(
            out,
            kernel,
            stride,
            padding=options.get("padding", "same"),
            use_bias=options.get("bias", False),
            kernel_initializer=options.get("initializer", GLOROT),
            name=name,
        )
        return layer(x)

    def depthwise(self, x: Tensor, kernel: int, stride: int, padding: str, name: str) -> Tensor:
        """A filter for each channel on its own."""
        layer = layers.DepthwiseConv2D(kernel, stride, padding=padding, use_bias=False, name=name)
        return layer(x)

    def dense(self, x: Tensor, classes: int, name: str) -> Tensor:
        """A fully connected layer with a softmax."""
        return layers.Dense(classes, activation="softmax", name=name)(x)

    def batch_norm(self, x: Tensor, name: str) -> Tensor:
        """Each channel normalized over the batch."""
        return layers.BatchNormalization(momentum=MOMENTUM, epsilon=EPSILON, name=name)(x)

    def activation(self, x: Tensor, act: str, name: str) -> Tensor:
        """`x` through the activation `act`."""
        return ACTIVATIONS[act](name)(x)

    def add(self, terms: Sequence[Tensor], name: str) -> Tensor:
        """The sum of two tensors."""
        return layers.Add(name=name)(terms)

    def multiply(self, factors: Sequence[Tensor], name: str) -> Tensor:
        """The product of a tensor and its gates."""
        return layers.Multiply(name=name)(factors)

    def concatenate(self, parts: Sequence[Tensor], name: str) -> Tensor:
        """Channels side by side."""
        return layers.Concatenate(name=name)(parts)

    def mean(self, x: Tensor, name: str, keepdims: bool = False) -> Tensor:
        """The mean of each channel."""
        return layers.GlobalAveragePooling2D(keepdims=keepdims, name=name)(x)

    def max_pool(self, x: Tensor, kernel: int, stride: int, padding: str, name: str) -> Tensor:
        """The greatest value of each window."""
        return layers.MaxPooling2D(kernel, stride, padding=padding, name=name)(x)

    def zero_pad(self, x: Tensor, before: int, after: int, name: str) -> Tensor:
        """`x` with zeros around it."""
        return layers.ZeroPadding2D(((before, after), (before, after)), name=name)(x)

    def dropout(self, x: Tensor, rate: float, name: str) -> Tensor:
        """`x`, of which training leaves out a share."""
        return layers.Dropout(rate, name=name)(x)

    def flatten(self, x: Tensor, name: str) -> Tensor:
        """All channels in one row."""
        return layers.Flatten(name=name)(x)


def describe_layers(model: tf_keras.Model) -> list[Layer]:
    """The layers of a Keras model with their shapes, each after those that it reads."""
    makers: dict[int, str] = {}
    table = []
    for layer in model.layers:
        inputs = tuple(makers[id(x)] for x in tf.nest.flatten(layer.input) if id(x) in makers)
        kernel = getattr(layer, "kernel_size", (1, 1))
        kind = type(layer).__name__
        if getattr(layer, "depth_multiplier", 1) != 1:
            kind += " with a depth multiplier"
        shape = (1, *(int(side) for side in layer.output.shape[1:]))
        table.append(Layer(layer.name, kind, inputs, shape, kernel))
        makers[id(layer.output)] = layer.name
    return table


def resize_model(
    model: tf_keras.Model, coupling: Coupling, counts: Sequence[int]
) -> tf_keras.Model:
    """The architecture of `model` with so many channels in each group, and fresh weights.

    Raises RecipeError where the counts are not one for each group.
    """
    writers = filters(model.name, coupling, counts)

    def copied(layer: Any) -> Any:
        config = layer.get_config()
        if layer.name in writers:
            config["filters"] = writers[layer.name]
        return type(layer).from_config(config)

    clone: Callable[..., Any] = tf_keras.models.clone_model
    return clone(model, clone_function=copied)
