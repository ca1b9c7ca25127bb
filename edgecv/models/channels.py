"""Which channels of an architecture belong together, and the architecture with fewer of them.

Nothing is listed by hand: the groups are read off a built model. A convolution makes a group of its
own; what works channel by channel (depthwise, batch-norm, activations, pooling) passes it on; ADD
and MULTIPLY make one group of two, which is how residual streams and the gates of
squeeze-and-excite come together; CONCATENATE lays groups side by side.
"""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, TypeAlias

import tensorflow as tf
import tf_keras
from tf_keras import layers

from edgecv.errors import RecipeError, UnsupportedModelError
from edgecv.models.blocks import make_divisible

Layer: TypeAlias = Any
PASSING = (
    layers.DepthwiseConv2D,
    layers.BatchNormalization,
    layers.ReLU,
    layers.Activation,
    layers.MaxPooling2D,
    layers.GlobalAveragePooling2D,
    layers.Dropout,
    layers.ZeroPadding2D,
)
JOINING = (layers.Add, layers.Multiply)


class Group(NamedTuple):
    """Channels that only go together: how many, and the convolutions that write them."""

    channels: int
    writers: tuple[str, ...]


@dataclasses.dataclass(frozen=True)
class Coupling:
    """The groups of a model in the order they are first written, and where each layer has them.

    `outputs` and `inputs` name, for each layer, the groups that lie side by side in what it makes
    and reads; an index of -1 stands for channels that stay: the image's and the classes'.
    """

    groups: tuple[Group, ...]
    outputs: dict[str, tuple[int, ...]]
    inputs: dict[str, tuple[int, ...]]

    @property
    def counts(self) -> tuple[int, ...]:
        """The channels of each group: a recipe's `model.channels`."""
        return tuple(group.channels for group in self.groups)


def coupling(model: tf_keras.Model) -> Coupling:
    """The groups of a model. Raises UnsupportedModelError at a layer that mixes them otherwise."""
    traced = _Traced()
    for layer in model.layers:
        traced.follow(layer)
    return traced.coupling(model)


class _Traced:
    """A model followed from the image to the scores; marks that meet are joined."""

    def __init__(self) -> None:
        self.parent: list[int] = []
        self.channels: list[int] = []
        self.writers: list[str] = []
        self.made: dict[int, tuple[int, ...]] = {}  # marks side by side, by the tensor's id
        self.read: dict[str, tuple[int, ...]] = {}
        self.written: dict[str, tuple[int, ...]] = {}

    def follow(self, layer: Layer) -> None:
        """Mark what a layer makes."""
        if isinstance(layer, layers.InputLayer):
            self._keep(layer, (), self._new(layer))
            return
        inputs = [self.made[id(tensor)] for tensor in tf.nest.flatten(layer.input)]
        first = inputs[0]
        if isinstance(layer, layers.DepthwiseConv2D) and layer.depth_multiplier != 1:
            raise _unsupported(layer)
        if isinstance(layer, PASSING) or (isinstance(layer, layers.Flatten) and _flat(layer)):
            self._keep(layer, first, first)
        elif isinstance(layer, (layers.Conv2D, layers.Dense)):
            self._keep(layer, first, self._new(layer))
        elif isinstance(layer, JOINING) and len({len(each) for each in inputs}) == 1:
            for marks in zip(*inputs, strict=True):
                for other in marks[1:]:
                    self.parent[self._root(other)] = self._root(marks[0])
            self._keep(layer, first, first)
        elif isinstance(layer, layers.Concatenate):
            joined = tuple(mark for marks in inputs for mark in marks)
            self._keep(layer, joined, joined)
        else:
            raise _unsupported(layer)

    def coupling(self, model: tf_keras.Model) -> Coupling:
        """The joined marks as groups, numbered in the order they are first written."""
        ends = {id(model.input), id(model.output)}
        fixed = {self._root(mark) for end in ends for mark in self.made[end]}
        order: dict[int, int] = {}
        writers: dict[int, list[str]] = {}
        for mark, writer in enumerate(self.writers):
            root = self._root(mark)
            if root not in fixed:
                order.setdefault(root, len(order))
                writers.setdefault(root, []).append(writer)
        groups = tuple(Group(self.channels[root], tuple(writers[root])) for root in order)

        def numbered(marks: dict[str, tuple[int, ...]]) -> dict[str, tuple[int, ...]]:
            return {
                name: tuple(order.get(self._root(mark), -1) for mark in each)
                for name, each in marks.items()
            }

        return Coupling(groups, numbered(self.written), numbered(self.read))

    def _new(self, layer: Layer) -> tuple[int, ...]:
        """A mark of its own for what a layer makes."""
        self.parent.append(len(self.parent))
        self.channels.append(int(layer.output.shape[-1]))
        self.writers.append(layer.name)
        return (len(self.parent) - 1,)

    def _keep(self, layer: Layer, read: tuple[int, ...], made: tuple[int, ...]) -> None:
        self.made[id(layer.output)] = made
        self.read[layer.name], self.written[layer.name] = read, made

    def _root(self, mark: int) -> int:
        while self.parent[mark] != mark:
            mark = self.parent[mark]
        return mark


def resized(model: tf_keras.Model, counts: Sequence[int]) -> tf_keras.Model:
    """The architecture of `model` with so many channels in each group, and fresh weights.

    Raises RecipeError where the counts are not one for each group.
    """
    found = coupling(model)
    if len(counts) != len(found.groups):
        raise RecipeError(
            f"model.channels: {model.name} has {len(found.groups)} groups of channels,"
            f" got {len(counts)} counts"
        )
    filters = {
        writer: count
        for count, group in zip(counts, found.groups, strict=True)
        for writer in group.writers
    }

    def copied(layer: Layer) -> Layer:
        config = layer.get_config()
        if layer.name in filters:
            config["filters"] = filters[layer.name]
        return type(layer).from_config(config)

    clone: Callable[..., Any] = tf_keras.models.clone_model
    return clone(model, clone_function=copied)


def filled(counts: Sequence[int]) -> tuple[int, ...]:
    """The counts that fill the Edge TPU's lanes, of 16 up to 64 channels and of 64 above.

    Others are stored and computed as if they did. The nearest is taken, never 10 % fewer.
    """
    return tuple(make_divisible(each, 16 if each <= 64 else 64) for each in counts)


def _flat(layer: Layer) -> bool:
    """Whether a layer flattens what has no height and width left."""
    return int(layer.output.shape[-1]) == int(layer.input.shape[-1])


def _unsupported(layer: Layer) -> UnsupportedModelError:
    return UnsupportedModelError(
        f"layer '{layer.name}' ({type(layer).__name__}): channels cannot be followed through it"
    )
