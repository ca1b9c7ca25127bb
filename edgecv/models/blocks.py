"""The building blocks that the families share, in real Keras layers only.

No bare `+` or `*` and no preprocessing: pruning and quantisation-aware training clone a model layer
by layer, and know only layers.

Kernels start as Keras draws them. He's initialisation, with depthwise kernels counted right, learnt
more slowly: after four epochs of 3,000 road signs MobileNetV1 0.5 at 64 pixels stood at 48 % (at a
learning rate of 0.002) and 71 % (0.008) with it, at 64 % and 84 % without.
"""

from collections.abc import Callable
from typing import Any, NamedTuple, TypeAlias

import tensorflow as tf
import tf_keras
from tf_keras import layers

KerasTensor: TypeAlias = Any

EPSILON = 1e-3  # of every published file here
# The published models were trained for hundreds of thousands of steps, with 0.99 to 0.999. A short
# training has hundreds: at 0.9 the moving statistics follow it. Inference does not see the value.
MOMENTUM = 0.9


class SqueezeExcite(NamedTuple):
    """How a block weighs its channels: squeeze to `ratio`, and expand to one gate a channel."""

    ratio: float
    of_input: bool  # the ratio is of the block's input (EfficientNet), or of its expanded width
    act: str
    gate: str


class Bottleneck(NamedTuple):
    """One row of a paper's table of inverted residual blocks."""

    expand: float  # expansion factor, t
    out: int  # output channels before the width multiplier, c
    repeats: int = 1  # n
    stride: int = 1  # of the first repeat, s
    kernel: int = 3
    se: SqueezeExcite | None = None
    act: str = "relu6"


def hard_sigmoid(x: KerasTensor) -> KerasTensor:
    """A sigmoid of three straight lines: relu6(x + 3) / 6."""
    return tf.nn.relu6(x + 3.0) * (1.0 / 6.0)


def hard_swish(x: KerasTensor) -> KerasTensor:
    """The swish of three pieces: x * relu6(x + 3) / 6; the converter knows it in this form."""
    return x * tf.nn.relu6(x + 3.0) * (1.0 / 6.0)


for _function in (hard_sigmoid, hard_swish):  # so that a .keras file finds them by name
    tf_keras.saving.register_keras_serializable("edgecv")(_function)

ACTIVATIONS: dict[str, Callable[[str], Any]] = {
    "relu": lambda name: layers.ReLU(name=name),
    "relu6": lambda name: layers.ReLU(6.0, name=name),
    "swish": lambda name: layers.Activation("swish", name=name),
    "sigmoid": lambda name: layers.Activation("sigmoid", name=name),
    "hard_swish": lambda name: layers.Activation(hard_swish, name=name),
    "hard_sigmoid": lambda name: layers.Activation(hard_sigmoid, name=name),
}


def make_divisible(channels: float, divisor: int = 8) -> int:
    """The multiple of `divisor` nearest to `channels`, never more than 10 % below it."""
    nearest = max(divisor, int(channels + divisor / 2) // divisor * divisor)
    return nearest + divisor if nearest < 0.9 * channels else nearest


def activate(x: KerasTensor, act: str, name: str) -> KerasTensor:
    """`x` through the activation of that name."""
    return ACTIVATIONS[act](f"{name}_{act}")(x)


def conv_bn_act(
    x: KerasTensor, out: int, kernel: int, stride: int, act: str | None, name: str
) -> KerasTensor:
    """Convolve, normalise the batch, activate; without `act` the result is linear."""
    conv = layers.Conv2D(out, kernel, stride, padding="same", use_bias=False, name=f"{name}_conv")
    return _bn_act(conv(x), act, name)


def depthwise_bn_act(
    x: KerasTensor, kernel: int, stride: int, act: str, name: str, padding: str = "same"
) -> KerasTensor:
    """Filter each channel on its own, normalise the batch, activate."""
    depthwise = layers.DepthwiseConv2D(
        kernel, stride, padding=padding, use_bias=False, name=f"{name}_conv"
    )
    return _bn_act(depthwise(x), act, name)


def _bn_act(x: KerasTensor, act: str | None, name: str) -> KerasTensor:
    x = layers.BatchNormalization(momentum=MOMENTUM, epsilon=EPSILON, name=f"{name}_bn")(x)
    return activate(x, act, name) if act else x


def squeeze_excite(x: KerasTensor, squeezed: int, se: SqueezeExcite, name: str) -> KerasTensor:
    """`x` with each channel multiplied by a gate computed from the means of all channels."""
    gate = layers.GlobalAveragePooling2D(keepdims=True, name=f"{name}_pool")(x)
    gate = layers.Conv2D(squeezed, 1, name=f"{name}_squeeze")(gate)
    gate = activate(gate, se.act, f"{name}_squeeze")
    gate = layers.Conv2D(x.shape[-1], 1, name=f"{name}_excite")(gate)
    gate = activate(gate, se.gate, f"{name}_excite")
    return layers.Multiply(name=f"{name}_scale")([x, gate])


def inverted_residual(
    x: KerasTensor, row: Bottleneck, out: int, stride: int, name: str
) -> KerasTensor:
    """Expand 1x1, filter depthwise, project 1x1; add the input where the shapes agree."""
    inputs, channels = x, x.shape[-1]
    expanded = make_divisible(channels * row.expand)
    if row.expand != 1:
        x = conv_bn_act(x, expanded, 1, 1, row.act, f"{name}_expand")
    x = depthwise_bn_act(x, row.kernel, stride, row.act, f"{name}_depthwise")
    if row.se:
        ratio = row.se.ratio
        squeezed = (
            max(1, int(channels * ratio)) if row.se.of_input else make_divisible(expanded * ratio)
        )
        x = squeeze_excite(x, squeezed, row.se, f"{name}_se")
    x = conv_bn_act(x, out, 1, 1, None, f"{name}_project")
    if stride != 1 or channels != out:
        return x
    return layers.Add(name=f"{name}_add")([inputs, x])


def dense_scores(x: KerasTensor, classes: int, dropout: float = 0.0) -> KerasTensor:
    """Probabilities from the mean of each channel, through a fully connected layer."""
    x = layers.GlobalAveragePooling2D(name="pool")(x)
    if dropout:
        x = layers.Dropout(dropout, name="dropout")(x)
    return layers.Dense(classes, activation="softmax", name="scores")(x)


def conv_scores(x: KerasTensor, classes: int, dropout: float) -> KerasTensor:
    """Probabilities from pooled channels [1, 1, C], through a 1x1 convolution."""
    x = layers.Dropout(dropout, name="dropout")(x)
    x = layers.Conv2D(classes, 1, name="logits")(x)
    x = layers.Flatten(name="flatten")(x)
    return layers.Activation("softmax", name="scores")(x)
