"""Magnitude pruning by tensorflow-model-optimization: the smallest weights become zero, gradually.

Zhu and Gupta 2017, "To prune, or not to prune", arXiv:1710.01878. `2:4` zeroes two of every four
weights along the input channels, as the .tflite stores them; `xnnpack` zeroes the 1x1 convolutions
that XNNPACK's float32 sparse kernels can take.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import tensorflow as tf
import tensorflow_model_optimization as tfmot
import tf_keras
from tf_keras import layers

from edgecv.errors import UnsupportedModelError
from edgecv.recipe import PruneOptions

SPARSITY = {"magnitude": 0.5, "xnnpack": 0.75, "2:4": 0.5}  # where the recipe names none
RISING = 0.6  # share of the training in which sparsity rises; then weights settle
UPDATES = 20  # of the mask, while sparsity rises
sparsity = tfmot.sparsity.keras


class TrainingPlan(NamedTuple):
    """A model that is pruned as it is trained, what must be called then, and how it is finished."""

    model: tf_keras.Model
    callback: tf_keras.callbacks.Callback


def sparse_twin(model: tf_keras.Model, options: PruneOptions, steps: int) -> TrainingPlan:
    """A model with the weights of `model` whose smallest ones become zero in `steps` steps."""
    chosen = set(pruned_layers(model, options))
    params = _params(options, steps)

    def wrapped(layer: layers.Layer) -> layers.Layer:
        copy = type(layer).from_config(layer.get_config())
        return sparsity.prune_low_magnitude(copy, **params) if layer.name in chosen else copy

    twin = tf_keras.models.clone_model(model, clone_function=wrapped)
    for old, new in zip(model.layers, twin.layers, strict=True):
        getattr(new, "layer", new).set_weights(old.get_weights())
    return TrainingPlan(twin, sparsity.UpdatePruningStep())


def strip_twin(twin: tf_keras.Model) -> tf_keras.Model:
    """The plain model inside a twin, its zeros in place."""
    inside = sparsity.strip_pruning(twin)  # its layers remember their wrappers' graph, too
    plain = tf_keras.models.clone_model(inside)
    plain.set_weights(inside.get_weights())
    return plain


def pruned_layers(model: tf_keras.Model, options: PruneOptions) -> list[str]:
    """The layers whose weights become zero. Raises UnsupportedModelError when there is none.

    Convolutions and fully connected layers, but for the first and the last one and those of
    squeeze-and-excite, unless `options.include` names them; depthwise kernels never.
    """
    policy = sparsity.PruneForLatencyOnXNNPack()
    if options.kind == "xnnpack":
        _check_xnnpack(model, policy)
    weighted = [
        layer
        for layer in model.layers
        if isinstance(layer, (layers.Conv2D, layers.Dense))
        and not isinstance(layer, layers.DepthwiseConv2D)
    ]
    left_alone = {weighted[0].name: "first", weighted[-1].name: "last"} if weighted else {}
    left_alone |= {layer.name: "se" for layer in weighted if _squeezes(layer)}
    chosen = [
        layer.name
        for layer in weighted
        if left_alone.get(layer.name) in (None, *options.include)
        and (options.kind != "xnnpack" or policy.allow_pruning(layer))
        and (options.kind != "2:4" or layer.kernel.shape[-2] >= 4)
    ]
    if not chosen:
        raise UnsupportedModelError(f"{model.name}: no convolution whose weights could be pruned")
    return chosen


def pad_strides(model: tf_keras.Model) -> tf_keras.Model:
    """`model` with strided layers padded alike on all sides, which XNNPACK's sparse kernels need.

    At odd sizes, and where its padding is symmetric, it is the same function; else what a strided
    layer sees moves by a pixel.
    """
    image = tf_keras.Input(model.input_shape[1:], name="image")
    made = {id(model.input): image}
    for layer in model.layers[1:]:
        inputs = [made[id(tensor)] for tensor in tf.nest.flatten(layer.input)]
        if isinstance(layer, layers.ZeroPadding2D):  # its reader gets zeros on all sides
            made[id(layer.output)] = inputs[0]
            continue
        config = layer.get_config()
        if getattr(layer, "strides", None) == (2, 2) and hasattr(layer, "kernel_size"):
            config["padding"], side = "valid", layer.kernel_size[0] // 2
            pad = layers.ZeroPadding2D(((side, side), (side, side)), name=f"{layer.name}_pad")
            inputs = [pad(inputs[0])]
        copy = type(layer).from_config(config)
        made[id(layer.output)] = copy(inputs[0] if len(inputs) == 1 else inputs)
    twin = tf_keras.Model(image, made[id(model.output)], name=model.name)
    twin.set_weights(model.get_weights())
    return twin


def _params(options: PruneOptions, steps: int) -> dict[str, Any]:
    """The schedule, and the pattern, as tfmot takes them; the last update is at its very end."""
    every = max(1, round(steps * RISING / UPDATES))
    end = every * max(1, min(UPDATES, steps // every))
    final = SPARSITY[options.kind] if options.sparsity is None else options.sparsity
    if options.kind == "2:4":
        schedule = sparsity.ConstantSparsity(0.5, 0, end, every)
        return {"pruning_schedule": schedule, "sparsity_m_by_n": (2, 4)}
    return {"pruning_schedule": sparsity.PolynomialDecay(0.0, final, 0, end, 3, every)}


def _squeezes(layer: layers.Layer) -> bool:
    """Whether a convolution belongs to squeeze-and-excite: it sees one pixel, and ends in a gate.

    The classifier's own 1x1 convolutions on pooled channels end in no product.
    """
    waiting: Sequence[Any] = [layer]
    while waiting and tuple(layer.output.shape[1:3]) == (1, 1):
        readers = [node.layer for merge in waiting for node in merge.outbound_nodes]
        if any(isinstance(reader, layers.Multiply) for reader in readers):
            return True
        waiting = readers
    return False


def _check_xnnpack(model: tf_keras.Model, policy: Any) -> None:
    """Raise UnsupportedModelError where tfmot's policy finds no sparse subgraph."""
    try:
        policy.ensure_model_supports_pruning(model)
    except ValueError as error:
        raise UnsupportedModelError(
            f"{model.name}: --prune xnnpack: {' '.join(str(error).split())};"
            " mobilenet_v1, mobilenet_v2, efficientnet_lite* have what it needs"
        ) from error
