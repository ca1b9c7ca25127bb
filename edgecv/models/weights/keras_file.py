"""A file of Keras as weights: the arrays of its layers, in the order of a model.

Layers are matched by their order, so it does not matter what they are called.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import h5py
import numpy as np

from edgecv.artifacts import IMAGENET
from edgecv.errors import WeightsError
from edgecv.models.foreign import keras_archive
from edgecv.models.weights.loading import Stored

KINDS = {  # what a .keras file calls the layers that have weights; a counter tells them apart
    "Conv2D": "conv2d",
    "DepthwiseConv2D": "depthwise_conv2d",
    "BatchNormalization": "batch_normalization",
    "Dense": "dense",
}
SCALING = ("rescaling", "normalization", "lambda")  # how Keras calls layers that scale pixels


def shapes(path: Path, kinds: Sequence[str]) -> list[list[tuple[int, ...]]]:
    """The shapes of each layer's arrays, in the order of a model with layers of these `kinds`."""
    with open_group(path) as file:
        return [layer.shapes for layer in layers(file, kinds)]


@contextmanager
def open_group(path: Path) -> Iterator[h5py.Group]:
    """The group that holds a file's layers: of a .h5, or of the .h5 inside a .keras."""
    with keras_archive.open_file(path) as file:
        yield file.arrays


def layers(file: h5py.Group, kinds: Sequence[str]) -> list[Stored]:
    """The layers with weights that a file holds, in the order of a model with these `kinds`."""
    names = keras_archive.names(file, "layer_names")
    if not names:
        return _by_class(file["layers"], kinds)
    stored = [
        Stored(name, [file[name][w] for w in keras_archive.names(file[name], "weight_names")])
        for name in names
    ]
    return [layer for layer in stored if layer.arrays and not _is_preprocessing(layer.name)]


def _by_class(layers: h5py.Group, kinds: Sequence[str]) -> list[Stored]:
    """As `layers`, where the file orders layers only within each class."""
    stored = {
        name: Stored(name, [group["vars"][str(index)] for index in range(len(group["vars"]))])
        for name, group in layers.items()
        if not _is_preprocessing(name) and len(group.get("vars", ()))
    }
    order = []
    for index, kind in enumerate(kinds):
        count = kinds[:index].count(kind)
        order.append(f"{kind}_{count}" if count else kind)
    ordered = [stored.pop(name) for name in order if name in stored]
    return ordered + list(stored.values())


def _is_preprocessing(name: str) -> bool:
    return name.startswith("normalization")


def head(file: h5py.Group) -> Stored:
    """The last layer of any model of ours: dense, or else the last convolution."""
    if keras_archive.names(file, "layer_names"):
        return layers(file, ())[-1]
    by_name = {layer.name: layer for layer in _by_class(file["layers"], ())}
    last_conv = f"conv2d_{sum(name.startswith('conv2d') for name in by_name) - 1}"
    return by_name.get("dense") or by_name[last_conv]


def check_weights_alone(path: Path, file: h5py.Group) -> None:
    """Raise WeightsError where layers scaled pixels of which a file has nothing but the names."""
    layers = keras_archive.names(file, "layer_names") or file.get("layers", ())
    scaling = [name for name in layers if name.startswith(SCALING)]
    if scaling:
        raise WeightsError(
            f"{path}: holds weights alone, and does not say how its layer '{scaling[0]}' scales"
            " pixels; save the whole model: model.save('model.keras')"
        )


def stock_pixels(path: Path, file: h5py.Group) -> bool:
    """Whether a file of Keras's own EfficientNet has ImageNet's means before the first layer."""
    layers = file.get("layers", file)
    group = next((layers[name] for name in layers if _is_preprocessing(name)), None)
    if group is None:
        return False
    mean = (
        group["vars/0"] if "vars" in group else group[keras_archive.names(group, "weight_names")[0]]
    )
    if np.allclose(255 * mean[()], IMAGENET.mean, rtol=1e-3):
        return True
    raise WeightsError(f"{path}: expects pixels less {255 * mean[()]}, which edgecv cannot give it")
