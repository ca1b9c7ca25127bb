"""Weights from a whole model that somebody else made with Keras."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgecv.artifacts import Normalization
from edgecv.errors import WeightsError
from edgecv.models import OTHER_WAYS, foreign
from edgecv.models.weights.loading import Stored, assign, of_head, weight_layers
from edgecv.progress import Progress
from edgecv.recipe import ModelOptions

if TYPE_CHECKING:
    import tf_keras


def load_whole(
    model: "tf_keras.Model", options: ModelOptions, scale: Normalization, progress: Progress
) -> None:
    """Set the weights of one of our architectures from a whole model of anybody's.

    `scale` is what pixels go through before it. Raises WeightsError where its
    layers are others, UnsupportedModelError where its answers are.
    """
    from edgecv.models.foreign.agreement import check_agreement

    path = Path(options.weights)
    shapes = [[tuple(weight.shape) for weight in layer.weights] for layer in weight_layers(model)]
    stored = _described(path, shapes)
    try:
        new_head = assign(model, stored, f"{path}: not the weights of {model.name}")
    except WeightsError as error:
        raise WeightsError(f"{error}; {OTHER_WAYS}") from error
    check_agreement(model, options, scale, new_head)
    progress.line(f"weights: {path}" + of_head(model, stored, new_head))
    if foreign.read(path).scale:
        progress.line(f"pixels: (pixel - {scale.mean}) / {scale.std}, as {path} scales them itself")


def _described(path: Path, needed: Sequence[Sequence[tuple[int, ...]]]) -> list[Stored]:
    """The layers with weights of a whole model, in its order, their arrays as `needed`."""
    source = foreign.read(path)
    places = {node.place.path: node.name for node in source.network.nodes}
    rows = [
        (name, source.arrays[place]) for place, name in places.items() if place in source.arrays
    ]
    if len(rows) != len(needed):
        return [Stored(name, arrays) for name, arrays in rows]
    return [
        Stored(name, foreign.fit_classes(_ranked(arrays, shapes), shapes))
        for (name, arrays), shapes in zip(rows, needed, strict=True)
    ]


def _ranked(arrays: Sequence[Any], shapes: Sequence[tuple[int, ...]]) -> list[Any]:
    """Arrays with as many axes as `shapes`, where there are as many of them."""
    if len(arrays) != len(shapes):
        return [*arrays]
    pairs = zip(arrays, shapes, strict=True)
    return [foreign.reshape_kernel(array, len(shape)) for array, shape in pairs]


def load_by_name(model: "tf_keras.Model", path: Path, progress: Progress) -> None:
    """Set the weights of a model of anybody's, whose layers are called as in its file."""
    source = foreign.read(path)
    stored = {node.name: source.arrays.get(node.place.path, []) for node in source.network.nodes}
    for layer in model.layers:
        if layer.weights:
            needed = [tuple(weight.shape) for weight in layer.weights]
            arrays = foreign.fit_classes(stored.get(layer.name, []), needed)
            if [array.shape for array in arrays] != needed:
                raise WeightsError(f"{path}: not the weights of {model.name}: no {layer.name}")
            layer.set_weights(arrays)
    progress.line(f"weights: {path}")
