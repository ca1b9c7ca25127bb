"""The rounding of int8 in training: numbers rounded forwards, gradients passed on backwards.

tfmot's own scheme knows neither hard-swish nor swish nor the gates of squeeze-and-excite, gives a
depthwise kernel one grid for all its channels, and starts each range at [-6, 6]. So only its
wrapper is used here, with the grids that the int8 file will have.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias

import tensorflow as tf
import tensorflow_model_optimization as tfmot
from tf_keras import layers

Layer: TypeAlias = Any

RANGE_MOMENTUM = 0.99  # of the moving ends of an activation's range
NARROWEST = 1e-6  # of a weight's range: an all-zero channel must have a grid, too
GATE_BEGINS = -3.0  # below this a hard-swish and a hard-sigmoid are 0 whatever they read


class PerChannel(tfmot.quantization.keras.quantizers.Quantizer):  # type: ignore[misc]
    """Weights on symmetric grids of 255 steps, one for each output channel."""

    def __init__(self, depthwise: bool) -> None:
        self.depthwise = depthwise  # a kernel [height, width, channels, 1]

    def build(self, tensor_shape: Any, name: str, layer: Layer) -> dict[str, Any]:  # noqa: ARG002
        """Nothing to remember: the grid is that of the weights as they are."""
        return {}

    def __call__(self, inputs: Any, training: Any, weights: Any, **_: Any) -> Any:  # noqa: ARG002
        """The weights, rounded to their grids."""
        channels = inputs.shape[-2] if self.depthwise else inputs.shape[-1]
        rows = tf.reshape(inputs, [-1, channels])
        reach = tf.maximum(tf.reduce_max(tf.abs(tf.stop_gradient(rows)), 0), NARROWEST)
        rounded = tf.quantization.fake_quant_with_min_max_vars_per_channel(
            rows, -reach, reach, narrow_range=True
        )
        return tf.reshape(rounded, inputs.shape)

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {"depthwise": self.depthwise}


class Observed(tfmot.quantization.keras.quantizers.Quantizer):  # type: ignore[misc]
    """Activations on a grid of 256 steps whose ends follow those of the last batches."""

    def __init__(self, lowest: float) -> None:
        self.lowest = lowest  # what lies below makes no difference to any reader

    def build(self, tensor_shape: Any, name: str, layer: Layer) -> dict[str, Any]:  # noqa: ARG002
        """The two ends; both are 0 until the first batch."""
        return {
            end: layer.add_weight(f"{name}_{end}", initializer="zeros", trainable=False)
            for end in ("low", "high")
        }

    def __call__(self, inputs: Any, training: Any, weights: Mapping[str, Any], **_: Any) -> Any:
        """The activations, rounded to the grid; in training the grid moves first."""
        low, high = weights["low"], weights["high"]
        if training:
            kept = tf.where(tf.equal(low, high), 0.0, RANGE_MOMENTUM)
            lowest = tf.clip_by_value(tf.reduce_min(inputs), self.lowest, 0.0)
            highest = tf.maximum(tf.reduce_max(inputs), 0.0)
            low = low.assign(kept * low + (1 - kept) * lowest)
            high = high.assign(kept * high + (1 - kept) * highest)
        return tf.quantization.fake_quant_with_min_max_vars(inputs, low, high)

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {"lowest": self.lowest}


def _gate(x: Any) -> Any:
    """relu6(x + 3) on the grid of a saturating ReLU6."""
    gate = tf.nn.relu6(x + 3.0)
    return tf.quantization.fake_quant_with_min_max_args(gate, min=0.0, max=6.0)


def _logistic(x: Any) -> Any:
    """The sigmoid in 256ths, as the int8 kernel stores it."""
    return tf.quantization.fake_quant_with_min_max_args(tf.sigmoid(x), min=0.0, max=255 / 256)


def _hard_swish(x: Any) -> Any:
    return x * _gate(x) * (1.0 / 6.0)


def _hard_sigmoid(x: Any) -> Any:
    return _gate(x) * (1.0 / 6.0)


def _swish(x: Any) -> Any:
    return x * _logistic(x)


class Form(NamedTuple):
    """How the int8 graph computes an activation, and whether its result needs a grid of its own."""

    function: Callable[[Any], Any]
    own_grid: bool


FORMS = {  # by the name of the Keras activation
    "hard_swish": Form(_hard_swish, own_grid=True),
    "hard_sigmoid": Form(_hard_sigmoid, own_grid=False),
    "swish": Form(_swish, own_grid=True),
    "sigmoid": Form(_logistic, own_grid=False),
}
KERNELS = {  # the weights that are stored in 8 bits
    layers.Conv2D: "kernel",
    layers.DepthwiseConv2D: "depthwise_kernel",
    layers.Dense: "kernel",
}
COPYING = (  # the grid of what they read
    layers.Dropout,
    layers.Flatten,
    layers.MaxPooling2D,
    layers.ZeroPadding2D,
)
JOINING = (  # these take what they read before it is stored, or decide its grid
    layers.BatchNormalization,
    layers.ReLU,
    layers.Concatenate,
)


class Rounding(tfmot.quantization.keras.QuantizeConfig):  # type: ignore[misc]
    """Which numbers of one layer are rounded; made for each layer by `rounding`."""

    def __init__(self, kernel: str, activation: str, output: Observed | None) -> None:
        self.kernel, self.activation, self.output = kernel, activation, output

    def get_weights_and_quantizers(self, layer: Layer) -> list[tuple[Any, PerChannel]]:
        """The kernel; biases have 32 bits."""
        depthwise = isinstance(layer, layers.DepthwiseConv2D)
        return [(getattr(layer, self.kernel), PerChannel(depthwise))] if self.kernel else []

    def set_quantize_weights(self, layer: Layer, quantize_weights: Sequence[Any]) -> None:
        """Let the layer compute with the rounded kernel."""
        for weight in quantize_weights:
            setattr(layer, self.kernel, weight)

    def get_activations_and_quantizers(self, layer: Layer) -> list[tuple[Any, Observed]]:
        """A softmax, which tfmot's wrapper rounds before it is computed."""
        wanted = self.kernel and self.activation == "softmax"
        return [(layer.activation, Observed(float("-inf")))] if wanted else []

    def set_quantize_activations(self, layer: Layer, quantize_activations: Sequence[Any]) -> None:
        """Let the layer compute its activation as the int8 graph does."""
        for activation in quantize_activations:
            layer.activation = activation
        if self.activation in FORMS:
            layer.activation = FORMS[self.activation].function

    def get_output_quantizers(self, layer: Layer) -> list[Observed]:  # noqa: ARG002
        """The grid of the result, where it has one."""
        return [self.output] if self.output else []

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {"kernel": self.kernel, "activation": self.activation, "output": self.output}


def rounding(layer: Layer, readers: Sequence[Layer]) -> Rounding | None:
    """The rounding of a layer whose result `readers` read; None where nothing is rounded."""
    kernel, activation = KERNELS.get(type(layer), ""), _activation(layer)
    form = FORMS.get(activation)
    stored = not isinstance(layer, COPYING) and activation != "softmax"
    stored &= (form is None or form.own_grid) and not any(isinstance(e, JOINING) for e in readers)
    gated = all(_activation(reader).startswith("hard_") for reader in readers)
    output = Observed(GATE_BEGINS if gated else float("-inf")) if stored else None
    if not kernel and not form and not output:
        return None
    return Rounding(kernel, activation, output)


def _activation(layer: Layer) -> str:
    """The name of the activation that a layer applies; "" for none."""
    return getattr(getattr(layer, "activation", None), "__name__", "")
