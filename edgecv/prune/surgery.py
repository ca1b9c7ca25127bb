"""Cutting channels out of a trained model, or silencing them in place."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeAlias

import numpy as np
import tf_keras
from numpy.typing import NDArray
from tf_keras import layers

from edgecv.models.channel_groups import Coupling
from edgecv.models.keras_layers import resize_model

Kept: TypeAlias = Sequence[NDArray[np.intp]]  # the channels that stay, ascending, of each group


def cut(model: tf_keras.Model, coupling: Coupling, kept: Kept) -> tf_keras.Model:
    """The smaller model that computes what `model` does with all but the kept channels silent."""
    smaller = resize_model(model, coupling, [len(channels) for channels in kept])
    for old, new in zip(model.layers, smaller.layers, strict=True):
        if old.weights:
            new.set_weights(_gathered(old, coupling, kept))
    return smaller


@contextmanager
def silence_channels(model: tf_keras.Model, coupling: Coupling, kept: Kept) -> Iterator[None]:
    """Within the block, every channel that is not kept is zero wherever its group appears.

    A convolution's filter and bias, a batch norm's gamma and beta become zero; every activation
    that follows one maps zero to zero, but for gates, whose zero is multiplied by zero.
    """
    before = {}
    for layer in model.layers:
        places = _places(coupling, coupling.outputs[layer.name], kept)
        width = int(layer.output.shape[-1])
        if not layer.weights or places is None or len(places) == width:
            continue
        if isinstance(layer, layers.DepthwiseConv2D):  # reads zeros, and makes zeros
            continue
        before[layer.name] = layer.get_weights()
        count = 2 if isinstance(layer, layers.BatchNormalization) else len(layer.weights)
        gate = np.zeros(width, np.float32)
        gate[places] = 1
        values = [value * gate for value in before[layer.name][:count]]
        layer.set_weights(values + before[layer.name][count:])
    try:
        yield
    finally:
        for name, values in before.items():
            model.get_layer(name).set_weights(values)


def _gathered(layer: layers.Layer, coupling: Coupling, kept: Kept) -> list[NDArray[Any]]:
    """A layer's weights at the channels that it still reads and makes."""
    made = _places(coupling, coupling.outputs[layer.name], kept)
    read = _places(coupling, coupling.inputs[layer.name], kept)
    every = slice(None)
    out, into = every if made is None else made, every if read is None else read
    values = layer.get_weights()
    if isinstance(layer, layers.DepthwiseConv2D):
        return [values[0][:, :, out], *(value[out] for value in values[1:])]
    if isinstance(layer, (layers.Conv2D, layers.Dense)):
        return [values[0][..., into, :][..., out], *(value[out] for value in values[1:])]
    return [value[out] for value in values]


def _places(
    coupling: Coupling, side_by_side: tuple[int, ...], kept: Kept
) -> NDArray[np.intp] | None:
    """Where the kept channels of groups lie that are laid side by side; None: all stay."""
    if not side_by_side or -1 in side_by_side:
        return None
    offsets = np.cumsum([0, *(coupling.groups[group].channels for group in side_by_side)])
    parts = [kept[group] + offset for group, offset in zip(side_by_side, offsets, strict=False)]
    joined: NDArray[np.intp] = np.concatenate(parts)
    return joined
