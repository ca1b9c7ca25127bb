"""A family as layers with shapes alone, for counting without TensorFlow.

Kinds are called as Keras's classes are, so that the layers of a real model can be described alike.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

from edgecv.models.blocks import Layers

CLASSES = {"relu": "ReLU", "relu6": "ReLU"}  # of activations; the others are an Activation


class Layer(NamedTuple):
    """One layer: what it is, the layers that it reads, and the shape of what it makes."""

    name: str
    kind: str  # Conv2D, DepthwiseConv2D, Dense, BatchNormalization, ReLU, Activation, Add ...
    inputs: tuple[str, ...]
    shape: tuple[int, ...]  # [1, height, width, channels] or [1, channels]
    kernel: tuple[int, int] = (1, 1)
    stride: int = 1
    padding: str = "same"
    bias: bool = False
    act: str = ""  # of activations: relu6, swish ...; of Dense: softmax
    zeros: tuple[int, int] = (0, 0)  # of padding: rows before and after, and as many columns

    @property
    def pixels(self) -> int:
        """Height times width of what it makes."""
        return math.prod(self.shape[1:-1])


@dataclass(frozen=True)
class Network:
    """An architecture from the image to the scores; a layer comes after those that it reads."""

    name: str
    layers: tuple[Layer, ...]

    @cached_property
    def by_name(self) -> dict[str, Layer]:
        """Each layer by its name."""
        return {layer.name: layer for layer in self.layers}

    def channels_read(self, layer: Layer) -> int:
        """The channels of a layer's first input; 0 of the image, which reads nothing."""
        return self.by_name[layer.inputs[0]].shape[-1] if layer.inputs else 0

    @property
    def parameters(self) -> int:
        """Weights of all layers, the moving statistics of batch normalization among them."""
        return sum(self._parameters(layer) for layer in self.layers)

    def macs(self, layer: Layer) -> int:
        """Multiply-accumulates of one layer for one image: every pixel takes all of its kernel."""
        return self._kernel(layer) * layer.pixels

    def _parameters(self, layer: Layer) -> int:
        made = layer.shape[-1]
        norm = 4 * made if layer.kind == "BatchNormalization" else 0
        return self._kernel(layer) + norm + layer.bias * made

    def _kernel(self, layer: Layer) -> int:
        """Weights of a layer's kernel; 0 where it has none."""
        made, read = layer.shape[-1], self.channels_read(layer)
        by_kind = {
            "Conv2D": math.prod(layer.kernel) * read * made,
            "DepthwiseConv2D": math.prod(layer.kernel) * made,
            "Dense": read * made,
        }
        return by_kind.get(layer.kind, 0)


class ShapeLayers(Layers):
    """Layers that are only noted down, in the order in which they are called."""

    def __init__(self, padding: str = "same") -> None:
        super().__init__(padding)
        self.layers: list[Layer] = []

    def image(self, side: int) -> Layer:
        """The input, [1, side, side, 3]."""
        return self._append(Layer("image", "InputLayer", (), (1, side, side, 3)))

    def conv(
        self, x: Layer, out: int, kernel: int, stride: int, name: str, **options: Any
    ) -> Layer:
        """A convolution, with "same" borders unless `options` say otherwise."""
        kept = {"bias": options.get("bias", False), "padding": options.get("padding", "same")}
        return self._filter(x, "Conv2D", out, name, kernel, stride, **kept)

    def depthwise(self, x: Layer, kernel: int, stride: int, padding: str, name: str) -> Layer:
        """A filter for each channel on its own."""
        kind = "DepthwiseConv2D"
        return self._filter(x, kind, x.shape[-1], name, kernel, stride, padding=padding)

    def dense(self, x: Layer, classes: int, name: str) -> Layer:
        """A fully connected layer with a softmax."""
        return self._append(Layer(name, "Dense", (x.name,), (1, classes), bias=True, act="softmax"))

    def batch_norm(self, x: Layer, name: str) -> Layer:
        """Each channel normalized over the batch."""
        return self._like(x, "BatchNormalization", name)

    def activation(self, x: Layer, act: str, name: str) -> Layer:
        """`x` through the activation `act`."""
        kind = CLASSES.get(act, "Activation")
        return self._append(Layer(name, kind, (x.name,), x.shape, act=act))

    def add(self, terms: Sequence[Layer], name: str) -> Layer:
        """The sum of two tensors."""
        return self._join(terms, "Add", terms[0].shape, name)

    def multiply(self, factors: Sequence[Layer], name: str) -> Layer:
        """The product of a tensor and its gates."""
        return self._join(factors, "Multiply", factors[0].shape, name)

    def concatenate(self, parts: Sequence[Layer], name: str) -> Layer:
        """Channels side by side."""
        shape = (*parts[0].shape[:-1], sum(part.shape[-1] for part in parts))
        return self._join(parts, "Concatenate", shape, name)

    def mean(self, x: Layer, name: str, keepdims: bool = False) -> Layer:
        """The mean of each channel."""
        shape = (1, 1, 1, x.shape[-1]) if keepdims else (1, x.shape[-1])
        return self._append(Layer(name, "GlobalAveragePooling2D", (x.name,), shape))

    def max_pool(self, x: Layer, kernel: int, stride: int, padding: str, name: str) -> Layer:
        """The greatest value of each window."""
        kind = "MaxPooling2D"
        return self._filter(x, kind, x.shape[-1], name, kernel, stride, padding=padding)

    def zero_pad(self, x: Layer, before: int, after: int, name: str) -> Layer:
        """`x` with zeros around it."""
        _, height, width, channels = x.shape
        shape = (1, before + height + after, before + width + after, channels)
        return self._append(Layer(name, "ZeroPadding2D", (x.name,), shape, zeros=(before, after)))

    def dropout(self, x: Layer, rate: float, name: str) -> Layer:  # noqa: ARG002
        """`x`, of which training leaves out a share."""
        return self._like(x, "Dropout", name)

    def flatten(self, x: Layer, name: str) -> Layer:
        """All channels in one row."""
        return self._append(Layer(name, "Flatten", (x.name,), (1, math.prod(x.shape))))

    def _filter(
        self, x: Layer, kind: str, out: int, name: str, kernel: int, stride: int, **options: Any
    ) -> Layer:
        """A layer with a window that moves over the image."""
        same = options.get("padding", "same") == "same"
        sides = (
            -(-side // stride) if same else (side - kernel) // stride + 1 for side in x.shape[1:3]
        )
        shape = (1, *sides, out)
        return self._append(
            Layer(name, kind, (x.name,), shape, (kernel, kernel), stride, **options)
        )

    def _like(self, x: Layer, kind: str, name: str) -> Layer:
        return self._append(Layer(name, kind, (x.name,), x.shape))

    def _join(self, parts: Sequence[Layer], kind: str, shape: tuple[int, ...], name: str) -> Layer:
        return self._append(Layer(name, kind, tuple(part.name for part in parts), shape))

    def _append(self, layer: Layer) -> Layer:
        self.layers.append(layer)
        return layer
