"""Which channels of an architecture belong together, and the architecture with fewer of them.

Nothing is listed by hand: the groups are read off a model's layers. A convolution makes a group of
its own; what works channel by channel (depthwise, batch-norm, activations, pooling) passes it on;
ADD and MULTIPLY make one group of two, which is how residual streams and the gates of
squeeze-and-excite come together; CONCATENATE lays groups side by side.
"""

import dataclasses
from collections.abc import Sequence
from typing import Any, NamedTuple

from edgecv.errors import RecipeError, UnsupportedModelError
from edgecv.models.blocks import make_divisible
from edgecv.models.shapes import Layer, Network

WRITING = {"InputLayer", "Conv2D", "Dense"}
PASSING = {
    "DepthwiseConv2D",
    "BatchNormalization",
    "ReLU",
    "Activation",
    "MaxPooling2D",
    "GlobalAveragePooling2D",
    "Dropout",
    "ZeroPadding2D",
}
JOINING = {"Add", "Multiply"}


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

    def with_counts(self, counts: Sequence[int]) -> "Coupling":
        """The coupling of the same architecture with so many channels in each group."""
        pairs = zip(self.groups, counts, strict=True)
        groups = tuple(group._replace(channels=int(count)) for group, count in pairs)
        return dataclasses.replace(self, groups=groups)


def layers_of(model: Any) -> Sequence[Layer]:
    """The layers of a Network, or of a Keras model, which are described for that."""
    if isinstance(model, Network):
        return model.layers
    from edgecv.models.keras_layers import describe_layers

    return describe_layers(model)


def coupling(model: Any) -> Coupling:
    """The groups of a Network or a Keras model.

    Raises UnsupportedModelError at a layer that mixes channels in a way that cannot be followed.
    """
    traced = _Traced()
    for layer in layers_of(model):
        traced.follow(layer)
    return traced.coupling()


class _Traced:
    """A model followed from the image to the scores; marks that meet are joined."""

    def __init__(self) -> None:
        self.parent: list[int] = []
        self.channels: list[int] = []
        self.writers: list[str] = []
        self.read: dict[str, tuple[int, ...]] = {}  # marks side by side, by the layer's name
        self.written: dict[str, tuple[int, ...]] = {}

    def follow(self, layer: Layer) -> None:
        """Mark what a layer makes."""
        inputs = [self.written[name] for name in layer.inputs]
        first = inputs[0] if inputs else ()
        made = first
        if layer.kind in WRITING:
            made = self._new(layer)
        elif layer.kind in JOINING and len({len(marks) for marks in inputs}) == 1:
            self._join(inputs)
        elif layer.kind == "Concatenate":
            first = made = tuple(mark for marks in inputs for mark in marks)
        elif layer.kind not in PASSING and not self._is_flat(layer):
            raise UnsupportedModelError(
                f"layer '{layer.name}' ({layer.kind}): channels cannot be followed through it"
            )
        self.read[layer.name], self.written[layer.name] = first, made

    def coupling(self) -> Coupling:
        """The joined marks as groups, numbered in the order they are first written."""
        ends = (next(iter(self.written)), next(reversed(self.written)))  # the image, the scores
        fixed = {self._root(mark) for end in ends for mark in self.written[end]}
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
                name: tuple(order.get(self._root(mark), -1) for mark in side_by_side)
                for name, side_by_side in marks.items()
            }

        return Coupling(groups, numbered(self.written), numbered(self.read))

    def _new(self, layer: Layer) -> tuple[int, ...]:
        """A mark of its own for what a layer makes."""
        self.parent.append(len(self.parent))
        self.channels.append(layer.shape[-1])
        self.writers.append(layer.name)
        return (len(self.parent) - 1,)

    def _join(self, inputs: Sequence[tuple[int, ...]]) -> None:
        for marks in zip(*inputs, strict=True):
            for other in marks[1:]:
                self.parent[self._root(other)] = self._root(marks[0])

    def _is_flat(self, layer: Layer) -> bool:
        """Whether a layer flattens what has no height and width left."""
        width = sum(self.channels[mark] for mark in self.written[layer.inputs[0]])
        return layer.kind == "Flatten" and layer.shape[-1] == width

    def _root(self, mark: int) -> int:
        while self.parent[mark] != mark:
            mark = self.parent[mark]
        return mark


def resize(network: Network, coupling: Coupling, counts: Sequence[int]) -> Network:
    """The network with so many channels in each group. Raises RecipeError as `filters` does."""
    writers = filters(network.name, coupling, counts)
    channels: dict[str, int] = {}
    for layer in network.layers:
        read = [channels[name] for name in layer.inputs]
        if layer.kind in WRITING:
            made = writers.get(layer.name, layer.shape[-1])
        else:
            made = sum(read) if layer.kind == "Concatenate" else read[0]
        channels[layer.name] = made
    return Network(
        network.name,
        tuple(
            layer._replace(shape=(*layer.shape[:-1], channels[layer.name]))
            for layer in network.layers
        ),
    )


def filters(name: str, coupling: Coupling, counts: Sequence[int]) -> dict[str, int]:
    """How many channels each convolution writes, with so many in each group of the model `name`.

    Raises RecipeError where the counts are not one for each group.
    """
    if len(counts) != len(coupling.groups):
        raise RecipeError(
            f"model.channels: {name} has {len(coupling.groups)} groups of channels,"
            f" got {len(counts)} counts"
        )
    return {
        writer: count
        for count, group in zip(counts, coupling.groups, strict=True)
        for writer in group.writers
    }


def round_channels(counts: Sequence[int]) -> tuple[int, ...]:
    """The counts that fill the Edge TPU's lanes, of 16 up to 64 channels and of 64 above.

    Others are stored and computed as if they did. The nearest is taken, never 10 % fewer.
    """
    return tuple(make_divisible(count, 16 if count <= 64 else 64) for count in counts)
