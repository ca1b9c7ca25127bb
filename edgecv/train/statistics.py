"""Batch norms of a model that nobody trains: their statistics from images, so that it is alive.

With a mean of 0 and a variance of 1 in every batch norm, an untrained network's activations fade to
a millionth half way: int8 scales then are none that kernels are for, and floats too small to be
normal. The latency would not be a trained model's.
"""

from typing import Any

import numpy as np

from edgecv import data
from edgecv.artifacts import Normalization
from edgecv.data.batches import normalize
from edgecv.progress import QUIET
from edgecv.recipe import DataOptions

IMAGES = 16
BATCH = 4  # of EfficientNet-B7 at 600 pixels, that is a gigabyte


def set_statistics(
    model: Any, images: data.Dataset | None, normalization: Normalization, seed: int
) -> None:
    """Set a model's moving means and variances as images make them, the mean of a few batches.

    They are training images, or where there are none, the built-in road signs.
    """
    import tf_keras as keras

    norms = [layer for layer in model.layers if isinstance(layer, keras.layers.BatchNormalization)]
    if not norms:
        return
    source = images or data.open(DataOptions(), seed, QUIET)
    samples = source.calibration(model.input_shape[1], IMAGES)
    inputs = normalize(np.stack([sample.image for sample in samples]), normalization)
    momenta = [layer.momentum for layer in norms]
    for count, start in enumerate(range(0, len(inputs), BATCH)):
        for layer in norms:
            layer.momentum = count / (count + 1)
        model(inputs[start : start + BATCH], training=True)
    for layer, momentum in zip(norms, momenta, strict=True):
        layer.momentum = momentum
