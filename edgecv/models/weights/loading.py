"""Arrays put into the layers of a model, where they fit."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from edgecv.errors import WeightsError

if TYPE_CHECKING:
    import tf_keras


class Stored(NamedTuple):
    """The arrays of one layer in a file, not yet read."""

    name: str
    arrays: list[Any]

    @property
    def shapes(self) -> list[tuple[int, ...]]:
        """The shape of each array."""
        return [tuple(array.shape) for array in self.arrays]


def weight_layers(model: "tf_keras.Model") -> list[Any]:
    """The layers of a model that have weights, in its order."""
    return [layer for layer in model.layers if layer.weights]


def assign(model: "tf_keras.Model", stored: Sequence[Stored], what: str) -> bool:
    """Set the weights of a model's layers; whether the last one is for other classes, and stays.

    Raises WeightsError, which begins with `what`, where anything else differs.
    """
    layers = weight_layers(model)
    new_head = _check_fit(layers, stored, what)
    for layer, arrays in zip(layers[:-1] if new_head else layers, stored, strict=False):
        layer.set_weights([np.asarray(array, np.float32) for array in arrays.arrays])
    return new_head


def of_head(model: "tf_keras.Model", stored: Sequence[Stored], new_head: bool) -> str:
    """Words on a last layer that keeps its fresh weights; "" where it does not."""
    if not new_head:
        return ""
    return f" (last layer new: {model.output_shape[-1]} classes, not {stored[-1].shapes[-1][-1]})"


def _check_fit(layers: Sequence[Any], stored: Sequence[Stored], what: str) -> bool:
    """Whether all fits but the number of classes; WeightsError where anything else differs."""
    if len(layers) != len(stored):
        raise WeightsError(f"{what}: {len(stored)} layers with weights, not {len(layers)}")
    for number, (layer, row) in enumerate(zip(layers, stored, strict=True), start=1):
        needed = [tuple(weight.shape) for weight in layer.weights]
        if needed == row.shapes:
            continue
        if number == len(layers) and _but_last(needed) == _but_last(row.shapes):
            return True
        raise WeightsError(
            f"{what}: layer {number}, {row.name}, has the shapes {row.shapes}, not {needed}"
        )
    return False


def _but_last(shapes: Sequence[tuple[int, ...]]) -> list[tuple[int, ...]]:
    return [shape[:-1] for shape in shapes]
