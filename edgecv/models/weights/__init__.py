"""Weights from a file: published ImageNet ones, or those of a model that was trained before.

A file is only ever read as arrays: nothing in it is run, and no model is rebuilt from it.
"""

from pathlib import Path
from typing import TYPE_CHECKING

from edgecv.artifacts import CENTERED, IMAGENET, Normalization
from edgecv.errors import WeightsError
from edgecv.models import CUSTOM, Architecture, foreign, names, network, published, resolve
from edgecv.models.foreign import keras_archive
from edgecv.models.weights import anybody, download, keras_file, ported
from edgecv.models.weights.keras_file import KINDS, shapes
from edgecv.models.weights.labels import IMAGENET_CLASSES, Labels, imagenet_labels
from edgecv.models.weights.loading import assign, of_head, weight_layers
from edgecv.progress import Progress
from edgecv.recipe import ModelOptions

if TYPE_CHECKING:
    import tf_keras

__all__ = ["KINDS", "Labels", "imagenet_labels", "shapes"]
OF_RANDOM = (
    "weights random: batch norms are given the statistics of images, so that size and latency are"
    " a trained model's; accuracy is not"
)


def load(model: "tf_keras.Model", options: ModelOptions, progress: Progress) -> None:
    """Set `model`'s weights from what `options.weights` names: imagenet, or a .keras or .h5 file.

    Where the file knows other classes than the model, the last layer keeps its fresh weights.
    """
    if published.is_imagenet(options.weights):
        _load_published(model, published.find(resolve(options)), progress)
    elif options.arch == CUSTOM:
        anybody.load_by_name(model, Path(options.weights), progress)
    elif is_foreign(Path(options.weights)):
        anybody.load_whole(model, options, pixels(options), progress)
    else:
        _load_keras(model, Path(options.weights), progress)


def _load_published(model: "tf_keras.Model", source: published.Source, progress: Progress) -> None:
    """Set the weights from a published file, which is fetched first where it is not there."""
    path = download.fetch_source(source, progress)
    if source.layout == published.KERAS:
        _load_keras(model, path, progress, str(source))
        return
    rows = ported.arrange(model, source, path)
    new_head = assign(model, rows, f"{path}: not the weights of {model.name}")
    progress.line(f"weights: {source}" + of_head(model, rows, new_head))


def _load_keras(model: "tf_keras.Model", path: Path, progress: Progress, name: str = "") -> None:
    """Set the weights from a file of Keras's own, or of ours."""
    kinds = [KINDS[type(layer).__name__] for layer in weight_layers(model)]
    with keras_file.open_group(path) as file:
        stored = keras_file.layers(file, kinds)
        new_head = assign(model, stored, f"{path}: not the weights of {model.name}")
        progress.line(f"weights: {name or path}" + of_head(model, stored, new_head))


def classes_of(options: ModelOptions) -> int | None:
    """How many classes the weights that `options` names know; None when it names no file."""
    if options.weights in ("", "random"):
        return None
    if published.is_imagenet(options.weights):
        return IMAGENET_CLASSES
    if options.arch == CUSTOM or is_foreign(Path(options.weights)):
        return foreign.classes(foreign.read(Path(options.weights)))
    with keras_file.open_group(Path(options.weights)) as file:
        return int(keras_file.head(file).shapes[-1][-1])


def is_foreign(path: Path) -> bool:
    """Whether a file holds a whole model, and one that edgecv did not write."""
    with keras_archive.open_file(path) as file:
        described = "config" in file.description
    return described and not names.parse(path)


def check_file(path: Path) -> None:
    """Raise WeightsError when a file of weights is not there, or is no file at all."""
    if not path.exists():
        raise WeightsError(
            f"weights: no file '{path}' (imagenet | imagenet:SOURCE | random | a .keras or .h5)"
        )
    if not path.is_dir():
        names.model_name(path)


def pixels(options: ModelOptions | Architecture) -> Normalization:
    """The scaling of pixels in front of a model with the weights that `options` names.

    The name of a model of ours says it, the layers of another's; weights alone are taken for
    [-1, 1], but for Keras's own EfficientNets. Raises EdgecvError where a file cannot be read, or
    scales pixels in a way that it does not say.
    """
    if options.weights in ("", "random"):
        return CENTERED
    if published.is_imagenet(options.weights):
        return published.find(resolve(options)).pixels
    path, official = Path(options.weights), options.arch.startswith("efficientnet_b")
    ours = names.parse(path)
    if ours:
        return names.pixels_of(ours)
    if is_foreign(path):
        return names.nearest_usual(foreign.read(path).scale or CENTERED)
    with keras_file.open_group(path) as file:
        if official and keras_file.stock_pixels(path, file):
            return IMAGENET
        keras_file.check_weights_alone(path, file)
    return CENTERED


def assumptions(options: ModelOptions) -> list[str]:
    """The assumptions about the weights that `options` names, a sentence each."""
    if options.weights == "random":
        layers = network(options, IMAGENET_CLASSES).layers
        return [OF_RANDOM] if any(layer.kind == "BatchNormalization" for layer in layers) else []
    if not options.weights or published.is_imagenet(options.weights):
        return []
    path = Path(options.weights)
    if options.arch == CUSTOM or is_foreign(path):
        notes = foreign.assumptions(foreign.read(path))
    else:
        plain = not names.parse(path) and pixels(options) == CENTERED
        notes = [foreign.ASSUMED_SCALE] if plain else []
    return [f"{path}: {note}" for note in notes]
