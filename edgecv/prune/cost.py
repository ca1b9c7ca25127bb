"""What a model costs at any channel counts, without building it."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import tensorflow as tf
import tf_keras
from tf_keras import layers

from edgecv.models.channels import Coupling


class Side(NamedTuple):
    """Channels of an activation: the groups that lie side by side, and those that never go."""

    groups: tuple[int, ...]
    fixed: int

    def width(self, counts: Sequence[int]) -> int:
        """How many there are, at these counts."""
        return self.fixed + sum(counts[group] for group in self.groups)


class Part(NamedTuple):
    """One layer's share: `factor` for each pair of a channel read and one made."""

    factor: int
    read: Side
    made: Side

    def cost(self, counts: Sequence[int]) -> int:
        """The share at these counts."""
        return self.factor * self.read.width(counts) * self.made.width(counts)


ONE = Side((), 1)


class Cost:
    """Multiply-accumulates and activations of a model as functions of its channel counts."""

    def __init__(self, model: tf_keras.Model, found: Coupling) -> None:
        self._macs, self._activations = [], []
        for layer in model.layers:
            if isinstance(layer, layers.InputLayer):
                continue
            made = _side(found.outputs[layer.name], layer.output)
            read = _side(found.inputs[layer.name], tf.nest.flatten(layer.input)[0])
            pixels = math.prod(layer.output.shape[1:-1])
            if isinstance(layer, layers.DepthwiseConv2D):
                self._macs.append(Part(pixels * math.prod(layer.kernel_size), ONE, made))
            elif isinstance(layer, layers.Conv2D):
                self._macs.append(Part(pixels * math.prod(layer.kernel_size), read, made))
            elif isinstance(layer, layers.Dense):
                self._macs.append(Part(1, read, made))
            if not isinstance(layer, (layers.BatchNormalization, layers.ReLU, layers.Dropout)):
                self._activations.append(Part(pixels, ONE, made))

    def macs(self, counts: Sequence[int]) -> int:
        """Multiply-accumulates of one inference in convolutions and fully connected layers."""
        return sum(part.cost(counts) for part in self._macs)

    def activations(self, counts: Sequence[int]) -> int:
        """Values that one inference writes, as far as a runtime does not fuse them away."""
        return sum(part.cost(counts) for part in self._activations)


def _side(groups: tuple[int, ...], tensor: object) -> Side:
    """The channels of a tensor; those of no group stay."""
    width = int(tensor.shape[-1])  # type: ignore[attr-defined]
    free = tuple(group for group in groups if group >= 0)
    return Side(free, 0 if free else width)
