"""Whether an architecture with the arrays of a foreign model gives that model's answers."""

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import tf_keras

from edgecv import models
from edgecv.artifacts import CENTERED, Normalization
from edgecv.errors import UnsupportedModelError
from edgecv.models import foreign
from edgecv.models.foreign.classifier import classifier
from edgecv.models.foreign.rebuild import build
from edgecv.recipe import ModelOptions

ANY_SIDE = 64  # of images for a model of any size; halved five times, no side is odd before the end
IMAGES = 2
# Of the largest number. Float32 summed in another order differs by some 1e-6 of it; another stride
# or activation by more than a hundredth.
MAX_DIFFERENCE = 1e-3


def check_agreement(
    model: tf_keras.Model, options: ModelOptions, scale: Normalization, new_head: bool
) -> None:
    """Raise UnsupportedModelError where `model` and the file of its weights differ on images.

    What enters the last layer is compared, and the scores unless that layer is new. `scale` is
    what pixels go through before they enter `model`.
    """
    path = Path(options.weights)
    source, classes = foreign.read(path), model.output_shape[-1]
    side = source.network.shape[0] or ANY_SIDE
    theirs = _theirs(path, side, None if new_head else classes)
    ours = models.build(dataclasses.replace(options, resolution=side), classes)
    ours.set_weights(model.get_weights())
    pixels = np.random.default_rng(0).uniform(0, 255, (IMAGES, side, side, 3)).astype(np.float32)
    first = _answers(ours, _scaled(pixels, scale), new_head)
    inputs = pixels if source.scale else _scaled(pixels, CENTERED)
    for mine, other in zip(first, _answers(theirs, inputs, new_head), strict=True):
        difference = np.abs(mine - other).max() if mine.shape == other.shape else np.inf
        if not difference <= MAX_DIFFERENCE * np.abs(other).max():
            raise UnsupportedModelError(
                f"{path}: has the weights of {model.name}, but computes something else with them"
                f" (strides, activations, or what it does to pixels); {models.OTHER_WAYS}"
            )


def _theirs(path: Path, side: int, classes: int | None) -> tf_keras.Model:
    """The model in a file for square images; as a classifier, where `classes` are said."""
    if classes:
        return classifier(path, classes, side)
    source = foreign.read(path)
    return build(source.network._replace(shape=(side, side, 3)), source.arrays, path)


def _answers(model: tf_keras.Model, images: Any, new_head: bool) -> list[Any]:
    """The inputs of the last layer with weights, a row for each image; and the scores."""
    head = [layer for layer in model.layers if layer.weights][-1]
    ends = [head.input] if new_head else [head.input, model.output]
    answers = tf_keras.Model(model.input, ends)(images, training=False)
    rows = answers if isinstance(answers, list) else [answers]
    return [np.asarray(row).reshape(len(images), -1) for row in rows]


def _scaled(pixels: Any, scale: Normalization) -> Any:
    mean, std = np.array(scale)
    return ((pixels - mean) / std).astype(np.float32)
