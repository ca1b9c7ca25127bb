"""Quantization-aware training: a few more epochs in which every number is rounded as int8 will.

Jacob et al. 2018, "Quantization and Training of Neural Networks for Efficient Integer-Arithmetic-
Only Inference", arXiv:1712.05877. What is kept of it are the weights: they go back into the float
architecture and the same way to int8 as any other.

A kernel is rounded before the batch-norm that follows it. With a grid for each channel that is the
rounding of the folded kernel: the norm scales a channel and its grid alike.
"""

from collections import defaultdict
from typing import Any

import tensorflow as tf
import tensorflow_model_optimization as tfmot
import tf_keras as keras

from edgecv.train.rounding import rounding


def add_rounding(model: keras.Model) -> keras.Model:
    """A model with the weights of `model` that computes, and learns, on int8's grids."""
    readers: dict[str, list[Any]] = defaultdict(list)
    makers = {id(layer.output): layer.name for layer in model.layers}
    for layer in model.layers:
        for tensor in tf.nest.flatten(layer.input):
            readers[makers[id(tensor)]].append(layer)

    def wrapped(layer: keras.layers.Layer) -> keras.layers.Layer:
        copy = type(layer).from_config(layer.get_config())
        config = rounding(layer, readers[layer.name])
        if config is None:
            return copy
        return tfmot.quantization.keras.QuantizeWrapperV2(copy, config, name=layer.name)

    twin = keras.models.clone_model(model, clone_function=wrapped)
    _carry_over(model, twin)
    return twin


def remove_rounding(twin: keras.Model, model: keras.Model) -> keras.Model:
    """A float model like `model` with the weights that its twin has learned."""
    trained = keras.models.clone_model(model)
    _carry_over(twin, trained)
    return trained


def _carry_over(source: keras.Model, target: keras.Model) -> None:
    """Give `target` the weights that it has in common with `source`, in place, by their names."""
    values = {weight.name: weight for weight in source.weights}
    for weight in target.weights:
        if weight.name in values:
            weight.assign(values[weight.name])
