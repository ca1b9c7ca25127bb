"""Which architecture a .keras or .h5 file holds: one of ours, by its name and its shapes."""

import dataclasses
import re
from pathlib import Path

from edgecv.errors import UnsupportedModelError, WeightsError
from edgecv.models import CUSTOM, foreign, names, network, resolve, weights
from edgecv.models.channel_groups import coupling
from edgecv.recipe import ModelOptions


def identify(path: Path, depth: float | None = None) -> ModelOptions:
    """The options that build a file's architecture and load its weights.

    A model that lost channels gets its table from the shapes in the file. Raises WeightsError when
    the file cannot be read, or has other layers than the architecture that its name says.
    """
    name = _named(path)
    if not name:
        return ModelOptions(arch=CUSTOM, weights=str(path))
    options = ModelOptions(
        arch=name["arch"],
        width=float(name["width"]),
        resolution=int(name["side"]),
        depth=depth,
        padding=names.padding_of(name),
        weights=str(path),
    )
    return _with_channels(options, path)


def check_readable(path: Path) -> None:
    """Raise as `identify` and `foreign.read` where that needs no TensorFlow."""
    if not _named(path):
        foreign.read(path)


def check_format(path: Path) -> None:
    """Raise UnsupportedModelError for a .tflite and for a folder, which cannot be trained on."""
    if path.suffix == ".tflite" or (path.is_file() and path.read_bytes()[4:8] == b"TFL3"):
        raise UnsupportedModelError(
            f"{path}: is a .tflite, whose numbers are final; prune the .keras file it was made from"
        )
    if path.is_dir():
        raise UnsupportedModelError(
            f"{path}: is a folder, and the graph of a SavedModel cannot be trained on;"
            " prune the .keras or .h5 file of its model"
        )


def _named(path: Path) -> re.Match[str] | None:
    """The architecture in the name of a file's model; None where it is not one of edgecv."""
    check_format(path)
    return names.parse(path)


def check_own(options: ModelOptions, what: str) -> None:
    """Raise UnsupportedModelError when a model is not one of ours, which `what` needs."""
    if options.arch == CUSTOM:
        raise UnsupportedModelError(
            f"{options.weights}: {what} needs an architecture of edgecv, whose groups of channels"
            " are known; magnitude, 2:4 and xnnpack take any model of convolutions"
        )


def _with_channels(options: ModelOptions, path: Path) -> ModelOptions:
    """The options with the file's own table of channels, where it is not the published one."""
    model = network(resolve(options)._replace(weights=""), 2)
    coupled = coupling(model)
    layers = [layer for layer in model.layers if layer.kind in weights.KINDS]
    kinds = [weights.KINDS[layer.kind] for layer in layers]
    shapes = weights.shapes(path, kinds)
    if len(shapes) != len(layers):
        raise WeightsError(
            f"{path}: {len(shapes)} layers with weights, where {model.name} has {len(layers)}"
            + ("; say its --depth" if options.arch.startswith("efficientnet") else "")
        )
    made = {layer.name: shape[0][-1] for layer, shape in zip(layers, shapes, strict=True)}
    counts = tuple(made[group.writers[0]] for group in coupled.groups)
    return dataclasses.replace(options, channels=None if counts == coupled.counts else counts)
