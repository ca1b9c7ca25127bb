"""Untrained models that are alive: batch-norm statistics from data, so that no layer is dead.

With its initial statistics an untrained network's activations fade to nothing half way, and any
quantization of them looks right.
"""

import functools

import numpy as np
import tf_keras

from edgecv import models
from edgecv.artifacts import TFLiteModel
from edgecv.recipe import ModelOptions
from tests.shared import make_once

SIZE = 64


def smooth_images(count, size, seed=0):
    """RGB images [count, size, size, 3] with structure at every scale, which noise has not."""
    steps = np.random.default_rng(seed).normal(size=(count, size, size, 3)).astype(np.float32)
    walk = np.cumsum(np.cumsum(steps, axis=1), axis=2)
    walk /= np.abs(walk).max(axis=(1, 2, 3), keepdims=True)
    return np.round((walk + 1) * 127.5).astype(np.uint8)


def centered(images):
    """Pixels in [-1, 1], as every model of ours takes them."""
    return (images.astype(np.float32) - 127.5) / 127.5


def enliven(model, images):
    """Set the model's moving means and variances as the images make them."""
    for layer in model.layers:
        if isinstance(layer, tf_keras.layers.BatchNormalization):
            layer.momentum = 0.0
    model(centered(images), training=True)
    return model


@functools.cache
def live_model(arch, width=0.35, resolution=SIZE, classes=10):
    """A small model of an architecture, alive; built once in a test run."""
    tf_keras.utils.set_random_seed(1)
    depth = 0.5 if arch.startswith("efficientnet") else None  # a block less of each kind
    options = ModelOptions(arch=arch, width=width, resolution=resolution, depth=depth)
    model = models.build(options, classes)
    return enliven(model, smooth_images(32, resolution, seed=1))


@functools.cache
def live_tflite(arch):
    """The float .tflite of `live_model(arch)`, converted once in a test run."""
    from edgecv.convert.keras import convert

    folder = make_once(f"live-{arch}", lambda to: convert(live_model(arch), to / f"{arch}.tflite"))
    return TFLiteModel(folder / f"{arch}.tflite", "float32")


def live_int8(arch):
    """What the quantizer makes of `live_tflite(arch)` and 8 images, with all its defaults."""
    from edgecv.quantize.engine import post_training

    def quantize(folder):
        images = list(smooth_images(8, SIZE))
        post_training(live_tflite(arch), images, folder / f"{arch}.tflite")

    return make_once(f"live-int8-{arch}", quantize) / f"{arch}.tflite"
