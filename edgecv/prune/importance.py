"""Which channels of each group matter least, by one of three criteria."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import tensorflow as tf
import tf_keras
from numpy.typing import NDArray
from tf_keras import layers

from edgecv.models.channel_groups import Coupling

Scores: TypeAlias = list[NDArray[np.float64]]  # one value a channel, for each group
BATCH = 16  # images whose gradients are taken together; their squares are averaged


class LabeledArrays(NamedTuple):
    """Normalized images [n, height, width, 3] and their classes, one-hot [n, classes]."""

    images: NDArray[np.float32]
    labels: NDArray[np.float32]


class Carrier(NamedTuple):
    """The layer that scales one writer's channels: its batch norm, else the convolution itself."""

    conv: layers.Layer
    norm: layers.Layer | None


def taylor(model: tf_keras.Model, coupling: Coupling, data: LabeledArrays) -> Scores:
    """The squared change of the loss, to first order, if a channel of the group were silent.

    Molchanov et al. 2019, "Importance Estimation for Neural Network Pruning", arXiv:1906.10771, of
    a gate on all writers of a group at once. The gradient by a gate is that by what it scales,
    times what it scales: a batch norm's gamma and beta, or a filter and its bias.
    """
    carriers = [_carriers(model, group.writers) for group in coupling.groups]
    scaled = [[_scaled(carrier) for carrier in group] for group in carriers]
    variables = [variable for group in scaled for weights in group for variable in weights]

    @tf.function  # type: ignore[untyped-decorator]
    def gradients(images: Any, labels: Any) -> Any:
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(variables)
            loss = _loss(model(images, training=False), labels)
        return tape.gradient(loss, variables)

    scores = [np.zeros(group.channels) for group in coupling.groups]
    for start in range(0, len(data.images), BATCH):
        part = slice(start, start + BATCH)
        flat = iter(gradients(tf.constant(data.images[part]), tf.constant(data.labels[part])))
        for index, group in enumerate(scaled):
            gate = sum(
                _by_channel(variable * next(flat)) for weights in group for variable in weights
            )
            scores[index] += np.square(gate)
    return scores


def batchnorm(model: tf_keras.Model, coupling: Coupling, _: LabeledArrays) -> Scores:
    """The scale that batch-norm gives a channel, over all writers; without one, its filter's.

    Liu et al. 2017, "Learning Efficient Convolutional Networks through Network Slimming",
    arXiv:1708.06519.
    """
    return _summed(
        model, coupling, lambda carrier: carrier.norm.gamma if carrier.norm else carrier.conv.kernel
    )


def norm(model: tf_keras.Model, coupling: Coupling, _: LabeledArrays) -> Scores:
    """The length of the filter that makes a channel, over all writers.

    Li et al. 2017, "Pruning Filters for Efficient ConvNets", arXiv:1608.08710.
    """
    return _summed(model, coupling, lambda carrier: carrier.conv.kernel)


CRITERIA: dict[str, Callable[[tf_keras.Model, Coupling, LabeledArrays], Scores]] = {
    "taylor": taylor,
    "batchnorm": batchnorm,
    "norm": norm,
}


def loss_of(model: tf_keras.Model) -> Callable[[LabeledArrays], float]:
    """A function of labeled images: the model's mean cross-entropy, with its weights by then."""

    @tf.function  # type: ignore[untyped-decorator]
    def loss(images: Any, labels: Any) -> Any:
        return _loss(model(images, training=False), labels)

    return lambda data: float(loss(tf.constant(data.images), tf.constant(data.labels)))


def _loss(scores: Any, labels: Any) -> Any:
    return tf.reduce_mean(tf_keras.losses.categorical_crossentropy(labels, scores))


def _carriers(model: tf_keras.Model, writers: Sequence[str]) -> list[Carrier]:
    """The writers of a group, without the gates of squeeze-and-excite, which only scale it."""
    carriers = [Carrier(layer, _norm_after(layer)) for layer in map(model.get_layer, writers)]
    return [carrier for carrier in carriers if carrier.norm] or carriers


def _norm_after(layer: layers.Layer) -> layers.Layer | None:
    readers = [node.layer for node in layer.outbound_nodes]
    return next((e for e in readers if isinstance(e, layers.BatchNormalization)), None)


def _scaled(carrier: Carrier) -> list[Any]:
    """The variables that a gate on the carrier's channels multiplies."""
    if carrier.norm is not None:
        return [carrier.norm.gamma, carrier.norm.beta]
    return [carrier.conv.kernel, carrier.conv.bias]


def _by_channel(values: Any) -> NDArray[np.float64]:
    """A sum over all axes but the last, the channels."""
    array = np.asarray(values, np.float64)
    total: NDArray[np.float64] = array.reshape(-1, array.shape[-1]).sum(0)
    return total


def _summed(model: tf_keras.Model, coupling: Coupling, of: Callable[[Carrier], Any]) -> Scores:
    """Squares of a variable, by channel, over the writers of each group."""
    return [
        np.sum(
            [_by_channel(np.square(of(carrier))) for carrier in _carriers(model, g.writers)], axis=0
        )
        for g in coupling.groups
    ]
