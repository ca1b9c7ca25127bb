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

from edgecv.artifacts import CENTERED, Normalization
from edgecv.errors import WeightsError
from edgecv.models import (
    CUSTOM,
    OTHER_WAYS,
    Architecture,
    foreign,
    names,
    published,
    resolve,
)
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


SCALING = ("rescaling", "normalization", "lambda")  # how Keras calls layers that scale pixels


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
    if options.weights != "imagenet" and is_foreign(path):
        _load_foreign(model, options, progress)
        return
    layers = [layer for layer in model.layers if layer.weights]
    with _opened(path) as file:
        stored = _layers(file, [KINDS[type(layer).__name__] for layer in layers])
        new_head = _check_fit(layers, stored, f"{path}: not the weights of {model.name}")
        for layer, found in zip(layers[:-1] if new_head else layers, stored, strict=False):
            layer.set_weights([np.asarray(array, np.float32) for array in found.arrays])
        progress.line(f"weights: {path}" + _of_head(model, stored, new_head))


def classes_of(options: ModelOptions) -> int | None:
    """How many classes the weights that `options` names know; None when it names no file."""
    if options.weights in ("", "random"):
        return None
    if options.weights == "imagenet":
        return IMAGENET_CLASSES
    if options.arch == CUSTOM or is_foreign(Path(options.weights)):
        return foreign.classes(foreign.read(Path(options.weights)))
    with _opened(Path(options.weights)) as file:
        return int(_head(file).shapes[-1][-1])


def is_foreign(path: Path) -> bool:
    """Whether a file holds a whole model, and one that edgecv did not write."""
    with archive.opened(path) as file:
        described = "config" in file.description
    return described and not names.parse(path)


def check_file(path: Path) -> None:
    """Raise WeightsError when a file of weights is not there, or is no file at all."""
    if not path.exists():
        raise WeightsError(f"weights: no file '{path}' (imagenet | random | a .keras or .h5)")
    if not path.is_dir():
        names.model_name(path)


def shapes(path: Path, kinds: Sequence[str]) -> list[list[tuple[int, ...]]]:
    """The shapes of each layer's arrays, in the order of a model with layers of these `kinds`."""
    with _opened(path) as file:
        return [each.shapes for each in _layers(file, kinds)]


class Labels(NamedTuple):
    """The names of the classes, in the order of the scores, and what to warn of."""

    names: tuple[str, ...]
    warnings: tuple[str, ...] = ()


def imagenet_labels(progress: Progress) -> Labels:
    """The names of ImageNet's classes, in the order of the official weights.

    Numbers, and a warning, where the list cannot be fetched: the weights work without it.
    """
    try:
        path = fetch(published.CLASSES.url, published.CLASSES.md5, cache_folder(), progress)
    except WeightsError as error:
        numbers = tuple(str(number) for number in range(IMAGENET_CLASSES))
        return Labels(numbers, (f"labels.txt numbers the classes: {error}",))
    index = json.loads(path.read_text(encoding="utf-8"))
    return Labels(tuple(index[str(number)][1] for number in range(IMAGENET_CLASSES)))


def pixels(options: ModelOptions | Architecture) -> Normalization:
    """What pixels go through before they enter a model with the weights that `options` names.

    The name of a model of ours says it, the layers of another's; weights alone are taken for
    [-1, 1], but for the official EfficientNets. Raises EdgecvError where a file cannot be read, or
    scales pixels in a way that it does not say.
    """
    official = options.arch.startswith("efficientnet_b")
    if options.weights in ("", "random"):
        return CENTERED
    if options.weights == "imagenet":
        return published.NORMALIZATION if official else CENTERED
    path = Path(options.weights)
    ours = names.parse(path)
    if ours:
        return names.pixels_of(ours)
    if is_foreign(path):
        return names.nearest_usual(foreign.read(path).scale or CENTERED)
    with _opened(path) as file:
        if official and _stock_pixels(path, file):
            return published.NORMALIZATION
        _check_weights_alone(path, file)
    return CENTERED


def assumptions(options: ModelOptions) -> list[str]:
    """What has to be assumed of the file of weights that `options` names, a sentence each."""
    if options.weights in ("", "random", "imagenet"):
        return []
    path = Path(options.weights)
    if options.arch == CUSTOM or is_foreign(path):
        notes = foreign.assumptions(foreign.read(path))
    else:
        plain = not names.parse(path) and pixels(options) == CENTERED
        notes = [foreign.ASSUMED_SCALE] if plain else []
    return [f"{path}: {note}" for note in notes]


def _load_foreign(model: "tf_keras.Model", options: ModelOptions, progress: Progress) -> None:
    """Set the weights of one of our architectures from a whole model of anybody's.

    Raises WeightsError where its layers are others, UnsupportedModelError where its answers are.
    """
    from edgecv.models.foreign.agreement import check_agreement

    path = Path(options.weights)
    layers = [layer for layer in model.layers if layer.weights]
    stored = _described(path, [[tuple(each.shape) for each in layer.weights] for layer in layers])
    try:
        new_head = _check_fit(layers, stored, f"{path}: not the weights of {model.name}")
    except WeightsError as error:
        raise WeightsError(f"{error}; {OTHER_WAYS}") from error
    for layer, found in zip(layers[:-1] if new_head else layers, stored, strict=False):
        layer.set_weights(found.arrays)
    scale = pixels(options)
    check_agreement(model, options, scale, new_head)
    progress.line(f"weights: {path}" + _of_head(model, stored, new_head))
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
        Stored(name, foreign.fitted(_ranked(arrays, shapes), shapes))
        for (name, arrays), shapes in zip(rows, needed, strict=True)
    ]


def _ranked(arrays: Sequence[Any], shapes: Sequence[tuple[int, ...]]) -> list[Any]:
    """Arrays with as many axes as `shapes`, where there are as many of them."""
    if len(arrays) != len(shapes):
        return [*arrays]
    pairs = zip(arrays, shapes, strict=True)
    return [foreign.of_rank(array, len(shape)) for array, shape in pairs]


def _of_head(model: "tf_keras.Model", stored: Sequence[Stored], new_head: bool) -> str:
    """Words on a last layer that keeps its fresh weights; "" where it does not."""
    if not new_head:
        return ""
    return f" (last layer new: {model.output_shape[-1]} classes, not {stored[-1].shapes[-1][-1]})"


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


def _check_weights_alone(path: Path, file: h5py.Group) -> None:
    """Raise WeightsError where layers scaled pixels of which a file has nothing but the names."""
    layers = archive.names(file, "layer_names") or file.get("layers", ())
    scaling = [name for name in layers if name.startswith(SCALING)]
    if scaling:
        raise WeightsError(
            f"{path}: holds weights alone, and does not say how its layer '{scaling[0]}' scales"
            " pixels; save the whole model: model.save('model.keras')"
        )


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
