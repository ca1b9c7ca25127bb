"""Keras models from elsewhere: read as data, and built again from edgecv's own list of layers."""

import functools
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from edgecv.artifacts import Normalization
from edgecv.errors import UnsupportedModelError
from edgecv.models.foreign.arrays import Array, Arrays, read_arrays
from edgecv.models.foreign.description import ForeignNetwork, network
from edgecv.models.foreign.keras_archive import open_file
from edgecv.models.foreign.scale import BYTES, pixel_scale, simplify

__all__ = ["ASSUMED_SCALE", "BYTES", "Foreign", "assumptions", "classes", "fitted", "read"]

ASSUMED_SCALE = "does not say how it scales pixels; taken for [-1, 1]"


class Foreign(NamedTuple):
    """A model as it stands in a file: its layers, their arrays, and what it does to pixels."""

    network: ForeignNetwork
    arrays: Arrays
    scale: Normalization | None  # of pixels of 0..255, by the model itself; None: nothing inside


def read(path: Path) -> Foreign:
    """The model in a .keras or .h5 file. Needs no TensorFlow.

    Raises WeightsError when the file is damaged or holds weights alone; UnsupportedModelError when
    it is made of anything but Keras's own layers for images.
    """
    try:
        state = path.stat()
    except OSError:
        return _read(path, 0, 0)
    return _read(path, state.st_mtime_ns, state.st_size)


@functools.lru_cache(maxsize=2)
def _read(path: Path, _modified: int, _bytes: int) -> Foreign:
    """As `read`; several stages ask for the same file."""
    with open_file(path) as file:
        if "config" not in file.description:
            raise UnsupportedModelError(
                f"{path}: holds weights alone, and no model that they belong to;"
                " save the whole model: model.save('model.keras')"
            )
        graph = network(file.description, file.keras, path)
        stored = read_arrays(file, graph)
        simple = simplify(graph, stored)
    return Foreign(simple, stored, pixel_scale(simple))


def classes(model: Foreign) -> int:
    """How many classes a model tells apart; one output is two of them."""
    for node in reversed(model.network.nodes):
        outputs = node.settings.get("units", node.settings.get("filters"))
        if outputs:
            return max(2, int(outputs))
    raise UnsupportedModelError(f"{model.network.name}: has no layer that tells classes apart")


def fit_classes(arrays: Sequence[Array], shapes: Sequence[tuple[int, ...]]) -> list[Array]:
    """`arrays`, those of one output as those of two classes where `shapes` has two.

    The first class scores 0: a softmax over [0, x] is a sigmoid of x.
    """
    return [
        np.stack([np.zeros_like(array[..., 0]), array[..., 0]], -1)
        if array.shape[-1:] == (1,) and shape == (*array.shape[:-1], 2)
        else array
        for array, shape in zip(arrays, shapes, strict=False)
    ]


def reshape_kernel(array: Array, rank: int) -> Array:
    """A kernel of a fully connected layer as that of a 1x1 convolution, or the other way round."""
    while array.ndim < rank:
        array = array[None]
    while array.ndim > rank and array.shape[0] == 1:
        array = array[0]
    return array


def assumptions(model: Foreign) -> list[str]:
    """The assumptions about a model that does not state its scale, a sentence for each."""
    if model.scale is None:
        return [ASSUMED_SCALE]
    return []
