"""The cost of a model at any channel counts, without building it."""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

from edgecv.models.channel_groups import Coupling, layers_of

UNWRITTEN = {"BatchNormalization", "ReLU", "Dropout"}  # a runtime fuses them


class SideBySide(NamedTuple):
    """Channels of an activation: the groups that lie side by side, and those that never go."""

    groups: tuple[int, ...]
    fixed: int

    def width(self, counts: Sequence[int]) -> int:
        """How many there are, at these counts."""
        return self.fixed + sum(counts[group] for group in self.groups)


class LayerFactor(NamedTuple):
    """One layer's share: `factor` for each pair of a channel read and one made."""

    factor: int
    read: SideBySide
    made: SideBySide

    def cost(self, counts: Sequence[int]) -> int:
        """The share at these counts."""
        return self.factor * self.read.width(counts) * self.made.width(counts)


ONE = SideBySide((), 1)


class ModelCost:
    """Multiply-accumulates and activations of a Network or Keras model, by its channel counts."""

    def __init__(self, model: Any, coupling: Coupling) -> None:
        self._macs, self._activations = [], []
        channels: dict[str, int] = {}
        for layer in layers_of(model):
            channels[layer.name] = layer.shape[-1]
            if not layer.inputs:
                continue
            made = _side(coupling.outputs[layer.name], layer.shape[-1])
            read = _side(coupling.inputs[layer.name], channels[layer.inputs[0]])
            taps = layer.pixels * math.prod(layer.kernel)
            if layer.kind == "DepthwiseConv2D":
                self._macs.append(LayerFactor(taps, ONE, made))
            elif layer.kind in ("Conv2D", "Dense"):
                self._macs.append(LayerFactor(taps, read, made))
            if layer.kind not in UNWRITTEN:
                self._activations.append(LayerFactor(layer.pixels, ONE, made))

    def macs(self, counts: Sequence[int]) -> int:
        """Multiply-accumulates of one inference in convolutions and fully connected layers."""
        return sum(part.cost(counts) for part in self._macs)

    def activations(self, counts: Sequence[int]) -> int:
        """Values that one inference writes, as far as a runtime does not fuse them away."""
        return sum(part.cost(counts) for part in self._activations)


def _side(groups: tuple[int, ...], width: int) -> SideBySide:
    """The `width` channels of a tensor; those of no group stay."""
    free = tuple(group for group in groups if group >= 0)
    return SideBySide(free, 0 if free else width)
