"""Weights from a file: the official ImageNet ones, or those of a model that was trained before.

A file is only ever read as arrays: nothing in it is run, and no model is rebuilt from it. Layers
are matched by their order, so it does not matter what they are called.
"""

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import h5py
import numpy as np

from edgecv.errors import WeightsError
from edgecv.models import CUSTOM, foreign, published, resolve
from edgecv.models.download import cache_folder, fetch
from edgecv.models.foreign import archive
from edgecv.progress import Progress
from edgecv.recipe import ModelOptions

if TYPE_CHECKING:
    import tf_keras

IMAGENET_CLASSES = 1000
KINDS = {  # what a .keras file calls the layers that have weights; a counter tells them apart
    "Conv2D": "conv2d",
    "DepthwiseConv2D": "depthwise_conv2d",
    "BatchNormalization": "batch_normalization",
    "Dense": "dense",
}


class Stored(NamedTuple):
    """The arrays of one layer in a file, not yet read."""

    name: str
    arrays: list[Any]

    @property
    def shapes(self) -> list[tuple[int, ...]]:
        """The shape of each array."""
        return [tuple(array.shape) for array in self.arrays]


def load(model: "tf_keras.Model", options: ModelOptions, progress: Progress) -> None:
    """Set `model`'s weights from what `options.weights` names: imagenet, or a .keras or .h5 file.

    Where the file knows other classes than the model, the last layer keeps its fresh weights.
    """
    if options.arch == CUSTOM:
        _load_by_name(model, Path(options.weights), progress)
        return
    path = _imagenet(options, progress) if options.weights == "imagenet" else Path(options.weights)
    layers = [layer for layer in model.layers if layer.weights]
    with _opened(path) as file:
        stored = _layers(file, [KINDS[type(layer).__name__] for layer in layers])
        new_head = _check_fit(layers, stored, f"{path}: not the weights of {model.name}")
        for layer, found in zip(layers[:-1] if new_head else layers, stored, strict=False):
            layer.set_weights([np.asarray(array, np.float32) for array in found.arrays])
        classes = f"{model.output_shape[-1]} classes, not {stored[-1].shapes[-1][-1]}"
    progress.line(f"weights: {path}" + (f" (last layer new: {classes})" if new_head else ""))


def classes_of(options: ModelOptions) -> int | None:
    """How many classes the weights that `options` names know; None when it names no file."""
    if options.weights in ("", "random"):
        return None
    if options.weights == "imagenet":
        return IMAGENET_CLASSES
    if options.arch == CUSTOM:
        return foreign.classes(foreign.read(Path(options.weights)))
    with _opened(Path(options.weights)) as file:
        return int(_head(file).shapes[-1][-1])


def model_name(path: Path) -> str:
    """The name of the model that a file was saved from; "" where it holds weights alone."""
    with archive.opened(path) as file:
        config = file.description.get("config")
    return str(config.get("name", "")) if isinstance(config, dict) else ""


def check_file(path: Path) -> None:
    """Raise WeightsError when a file of weights is not there, or is no file at all."""
    if not path.exists():
        raise WeightsError(f"weights: no file '{path}' (imagenet | random | a .keras or .h5)")
    if not path.is_dir():
        model_name(path)


def shapes(path: Path, kinds: Sequence[str]) -> list[list[tuple[int, ...]]]:
    """The shapes of each layer's arrays, in the order of a model with layers of these `kinds`."""
    with _opened(path) as file:
        return [each.shapes for each in _layers(file, kinds)]


def imagenet_labels(progress: Progress) -> tuple[str, ...]:
    """The names of ImageNet's classes, in the order of the official weights.

    Numbers, and a warning, where the list cannot be fetched: the weights work without it.
    """
    try:
        path = fetch(published.CLASSES.url, published.CLASSES.md5, cache_folder(), progress)
    except WeightsError as error:
        progress.warn(f"labels.txt numbers the classes: {error}")
        return tuple(str(number) for number in range(IMAGENET_CLASSES))
    index = json.loads(path.read_text(encoding="utf-8"))
    return tuple(index[str(number)][1] for number in range(IMAGENET_CLASSES))


def imagenet_pixels(options: ModelOptions) -> bool:
    """Whether the weights that `options` names were trained on `published.NORMALIZATION`.

    The official EfficientNets were, and every model that started from them; its name says so.
    """
    if not options.arch.startswith("efficientnet_b") or options.weights in ("", "random"):
        return False
    if options.weights == "imagenet":
        return True
    path = Path(options.weights)
    if model_name(path).endswith(published.NAME_SUFFIX):
        return True
    with _opened(path) as file:
        return _stock_pixels(path, file)


def _load_by_name(model: "tf_keras.Model", path: Path, progress: Progress) -> None:
    """Set the weights of a model of anybody's, whose layers are called as in its file."""
    source = foreign.read(path)
    stored = {node.name: source.arrays.get(node.place.path, []) for node in source.network.nodes}
    for layer in model.layers:
        if layer.weights:
            needed = [tuple(weight.shape) for weight in layer.weights]
            arrays = foreign.fitted(stored.get(layer.name, []), needed)
            if [array.shape for array in arrays] != needed:
                raise WeightsError(f"{path}: not the weights of {model.name}: no {layer.name}")
            layer.set_weights(arrays)
    progress.line(f"weights: {path}")
    for note in foreign.assumptions(source):
        progress.warn(f"{path}: {note}")


def _imagenet(options: ModelOptions, progress: Progress) -> Path:
    file = published.find(resolve(options))
    return fetch(file.url, file.md5, cache_folder(), progress)


@contextmanager
def _opened(path: Path) -> Iterator[h5py.Group]:
    """The group that holds a file's layers: of a .h5, or of the .h5 inside a .keras."""
    with archive.opened(path) as file:
        yield file.arrays


def _layers(file: h5py.Group, kinds: Sequence[str]) -> list[Stored]:
    """The layers with weights that a file holds, in the order of a model with these `kinds`."""
    names = archive.names(file, "layer_names")
    if not names:
        return _by_class(file["layers"], kinds)
    found = [
        Stored(name, [file[name][w] for w in archive.names(file[name], "weight_names")])
        for name in names
    ]
    return [layer for layer in found if layer.arrays and not _is_preprocessing(layer.name)]


def _by_class(layers: h5py.Group, kinds: Sequence[str]) -> list[Stored]:
    """As `_layers`, where the file orders layers only within each class."""
    found = {
        name: Stored(name, [group["vars"][str(index)] for index in range(len(group["vars"]))])
        for name, group in layers.items()
        if not _is_preprocessing(name) and len(group.get("vars", ()))
    }
    wanted = []
    for index, kind in enumerate(kinds):
        count = kinds[:index].count(kind)
        wanted.append(f"{kind}_{count}" if count else kind)
    ordered = [found.pop(name) for name in wanted if name in found]
    return ordered + list(found.values())


def _is_preprocessing(name: str) -> bool:
    return name.startswith("normalization")


def _head(file: h5py.Group) -> Stored:
    """The last layer of any model of ours: dense, or else the last convolution."""
    if archive.names(file, "layer_names"):
        return _layers(file, ())[-1]
    found = {layer.name: layer for layer in _by_class(file["layers"], ())}
    last_conv = f"conv2d_{sum(name.startswith('conv2d') for name in found) - 1}"
    return found.get("dense") or found[last_conv]


def _check_fit(layers: Sequence[Any], stored: Sequence[Stored], what: str) -> bool:
    """Whether all fits but the number of classes; WeightsError where anything else differs."""
    if len(layers) != len(stored):
        raise WeightsError(f"{what}: {len(stored)} layers with weights, not {len(layers)}")
    for number, (layer, found) in enumerate(zip(layers, stored, strict=True), start=1):
        needed = [tuple(weight.shape) for weight in layer.weights]
        if needed == found.shapes:
            continue
        if number == len(layers) and _but_last(needed) == _but_last(found.shapes):
            return True
        raise WeightsError(
            f"{what}: layer {number}, {found.name}, has the shapes {found.shapes}, not {needed}"
        )
    return False


def _but_last(shapes: Sequence[tuple[int, ...]]) -> list[tuple[int, ...]]:
    return [shape[:-1] for shape in shapes]


def _stock_pixels(path: Path, file: h5py.Group) -> bool:
    """Whether a file of Keras's own EfficientNet has ImageNet's means before the first layer."""
    layers = file.get("layers", file)
    group = next((layers[name] for name in layers if _is_preprocessing(name)), None)
    if group is None:
        return False
    mean = group["vars/0"] if "vars" in group else group[archive.names(group, "weight_names")[0]]
    if np.allclose(255 * mean[()], published.NORMALIZATION.mean, rtol=1e-3):
        return True
    raise WeightsError(f"{path}: expects pixels less {255 * mean[()]}, which edgecv cannot give it")
