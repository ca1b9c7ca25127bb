"""The layers that families are made of, and the blocks that they share.

A family calls `Layers` and nothing else, so that one description has two readings: real Keras
layers (`keras_layers`), and layers of which only the shapes are known (`shapes`).
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, NamedTuple, TypeAlias

Tensor: TypeAlias = Any  # what a reading makes of a layer; its `shape` is [batch, ..., channels]

GLOROT = "glorot_uniform"  # of every kernel, unless a family says otherwise
EPSILON = 1e-3  # of batch normalization in TensorFlow's published files


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


def make_divisible(channels: float, divisor: int = 8) -> int:
    """The multiple of `divisor` nearest to `channels`, never more than 10 % below it."""
    nearest = max(divisor, int(channels + divisor / 2) // divisor * divisor)
    return nearest + divisor if nearest < 0.9 * channels else nearest


class Layers(ABC):
    """Layers of one reading: the abstract methods are single layers, the others are blocks.

    `padding` is what lies around an image that is filtered in steps: "same", as TensorFlow has it;
    "symmetric", as many zeros on each side, as PyTorch does; or "valid", none.
    """

    def __init__(self, padding: str = "same") -> None:
        self.padding = padding

    @abstractmethod
    def image(self, side: int) -> Tensor:
        """The input, [batch, side, side, 3]."""

    @abstractmethod
    def conv(
        self, x: Tensor, out: int, kernel: int, stride: int, name: str, **options: Any
    ) -> Tensor:
        """A convolution; of `options`, `bias`, `initializer`, and `padding`, which is "same"."""

    @abstractmethod
    def depthwise(self, x: Tensor, kernel: int, stride: int, padding: str, name: str) -> Tensor:
        """A filter for each channel on its own, without a bias."""

    @abstractmethod
    def dense(self, x: Tensor, classes: int, name: str) -> Tensor:
        """A fully connected layer with a softmax."""

    @abstractmethod
    def batch_norm(self, x: Tensor, name: str) -> Tensor:
        """Each channel normalized over the batch."""

    @abstractmethod
    def activation(self, x: Tensor, act: str, name: str) -> Tensor:
        """`x` through relu, relu6, swish, sigmoid, hard_swish, hard_sigmoid or softmax."""

    @abstractmethod
    def add(self, terms: Sequence[Tensor], name: str) -> Tensor:
        """The sum of two tensors of one shape."""

    @abstractmethod
    def multiply(self, factors: Sequence[Tensor], name: str) -> Tensor:
        """The product of a tensor and one gate for each of its channels."""

    @abstractmethod
    def concatenate(self, parts: Sequence[Tensor], name: str) -> Tensor:
        """Channels side by side."""

    @abstractmethod
    def mean(self, x: Tensor, name: str, keepdims: bool = False) -> Tensor:
        """The mean of each channel: [batch, channels], or [batch, 1, 1, channels]."""

    @abstractmethod
    def max_pool(self, x: Tensor, kernel: int, stride: int, padding: str, name: str) -> Tensor:
        """The greatest value of each window."""

    @abstractmethod
    def zero_pad(self, x: Tensor, before: int, after: int, name: str) -> Tensor:
        """`x` with rows and columns of zeros above and left of it, and below and right of it."""

    @abstractmethod
    def dropout(self, x: Tensor, rate: float, name: str) -> Tensor:
        """`x`, of which training leaves out a share."""

    @abstractmethod
    def flatten(self, x: Tensor, name: str) -> Tensor:
        """[batch, 1, 1, channels] as [batch, channels]."""

    def activate(self, x: Tensor, act: str, name: str) -> Tensor:
        """`x` through the activation of that name."""
        return self.activation(x, act, f"{name}_{act}")

    def conv_bn_act(
        self, x: Tensor, out: int, kernel: int, stride: int, act: str | None, name: str
    ) -> Tensor:
        """Convolve, normalize the batch, activate; without `act` the result is linear."""
        x, padding = self.pad_for_stride(x, kernel, stride, name)
        x = self.conv(x, out, kernel, stride, f"{name}_conv", padding=padding)
        return self._bn_act(x, act, name)

    def depthwise_bn_act(
        self, x: Tensor, kernel: int, stride: int, act: str, name: str, padding: str = ""
    ) -> Tensor:
        """Filter each channel on its own, normalize the batch, activate."""
        if not padding:
            x, padding = self.pad_for_stride(x, kernel, stride, name)
        return self._bn_act(self.depthwise(x, kernel, stride, padding, f"{name}_conv"), act, name)

    def pad_for_stride(self, x: Tensor, kernel: int, stride: int, name: str) -> tuple[Tensor, str]:
        """`x` with zeros around it where the filter's own padding does not put them, and that.

        Of an odd side, "same" pads both ends alike; of an even one, a step reads one row less at
        its end.
        """
        half, is_even = kernel // 2, x.shape[1] % 2 == 0
        if self.padding != "symmetric" or stride == 1 or not is_even:
            return x, "same"
        return self.zero_pad(x, half, half - 1, f"{name}_zeros"), "valid"

    def squeeze_excite(self, x: Tensor, squeezed: int, se: SqueezeExcite, name: str) -> Tensor:
        """`x` with each channel multiplied by a gate computed from the means of all channels."""
        gate = self.mean(x, f"{name}_pool", keepdims=True)
        gate = self.conv(gate, squeezed, 1, 1, f"{name}_squeeze", bias=True)
        gate = self.activate(gate, se.act, f"{name}_squeeze")
        gate = self.conv(gate, x.shape[-1], 1, 1, f"{name}_excite", bias=True)
        gate = self.activate(gate, se.gate, f"{name}_excite")
        return self.multiply([x, gate], f"{name}_scale")

    def inverted_residual(
        self, x: Tensor, row: Bottleneck, out: int, stride: int, name: str
    ) -> Tensor:
        """Expand 1x1, filter depthwise, project 1x1; add the input where the shapes agree."""
        inputs, channels = x, x.shape[-1]
        expanded = make_divisible(channels * row.expand)
        if row.expand != 1:
            x = self.conv_bn_act(x, expanded, 1, 1, row.act, f"{name}_expand")
        x = self.depthwise_bn_act(x, row.kernel, stride, row.act, f"{name}_depthwise")
        if row.se:
            ratio = row.se.ratio
            input_share = max(1, int(channels * ratio))
            squeezed = input_share if row.se.of_input else make_divisible(expanded * ratio)
            x = self.squeeze_excite(x, squeezed, row.se, f"{name}_se")
        x = self.conv_bn_act(x, out, 1, 1, None, f"{name}_project")
        if stride != 1 or channels != out:
            return x
        return self.add([inputs, x], f"{name}_add")

    def dense_scores(self, x: Tensor, classes: int, dropout: float = 0.0) -> Tensor:
        """Probabilities from the mean of each channel, through a fully connected layer."""
        x = self.mean(x, "pool")
        if dropout:
            x = self.dropout(x, dropout, "dropout")
        return self.dense(x, classes, "scores")

    def conv_scores(self, x: Tensor, classes: int, dropout: float) -> Tensor:
        """Probabilities from pooled channels [batch, 1, 1, C], through a 1x1 convolution."""
        x = self.dropout(x, dropout, "dropout")
        x = self.conv(x, classes, 1, 1, "logits", bias=True)
        x = self.flatten(x, "flatten")
        return self.activation(x, "softmax", "scores")

    def _bn_act(self, x: Tensor, act: str | None, name: str) -> Tensor:
        x = self.batch_norm(x, f"{name}_bn")
        return self.activate(x, act, name) if act else x
