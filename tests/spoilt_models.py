"""An untrained classifier of which one layer does not fit into 8 bits, though its answers are fine.

The classes of the images are the model's own answers, so that whatever int8 changes is a loss.
"""

import cv2
import numpy as np
import tf_keras
from tf_keras import layers

from edgecv.convert.keras import convert
from edgecv.tflite import metadata
from tests.live_models import centered, smooth_images

SIDE = 16
LABELS = ("east", "north", "south", "west")
DECIDED = 0.5  # standard deviations between the best score and the next


def classifier(factor=1.0, offset=0.0):
    """conv, conv, dense; half of what the second makes is `factor` times as large as the rest."""
    tf_keras.utils.set_random_seed(2)
    image = layers.Input((SIDE, SIDE, 3), name="image")
    x = layers.Conv2D(8, 3, 2, activation="relu", name="plain")(image)
    x = layers.Conv2D(8, 3, 2, activation="relu", name="spoilt")(x)
    model = tf_keras.Model(image, layers.Dense(len(LABELS), name="scores")(layers.Flatten()(x)))
    kernel, bias = model.get_layer("scores").get_weights()
    found = model(centered(smooth_images(200, SIDE, seed=3))).numpy()
    kernel, bias = kernel / found.std(0), -found.mean(0) / found.std(0) + offset
    hot = np.where(np.arange(8) % 2, factor, 1.0)
    conv, shift = model.get_layer("spoilt").get_weights()
    model.get_layer("spoilt").set_weights([conv * hot, shift * hot])
    readers = np.tile(hot, len(kernel) // 8)[:, np.newaxis]
    model.get_layer("scores").set_weights([kernel / readers, bias])
    return model


def write(folder, factor=1.0, offset=0.0):
    """The float .tflite, which knows its labels, and the folders `photos` and `labeled`."""
    model = classifier(factor, offset)
    path = convert(model, folder / "float32.tflite").path
    metadata.attach(path, metadata.Metadata(LABELS))
    (folder / "photos").mkdir()
    for index, image in enumerate(smooth_images(40, SIDE, seed=4)):
        cv2.imwrite(str(folder / "photos" / f"{index}.png"), image[..., ::-1])
    images = smooth_images(200, SIDE, seed=5)
    scores = model(centered(images)).numpy()
    best = np.sort(scores, axis=1)
    for index in np.flatnonzero(best[:, -1] - best[:, -2] > DECIDED):
        named = folder / "labeled" / LABELS[scores[index].argmax()]
        named.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(named / f"{index}.png"), images[index][..., ::-1])
    return path
