"""A small classifier of road signs that is neither perfect nor lost, and an int8 twin that differs.

The twin's activations are clipped to an eighth, so that it loses some of the images.
"""

import functools
import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np

from edgecv.artifacts import Range, TFLiteModel
from edgecv.data import Sample, Signs
from edgecv.tflite import metadata
from tests.shared import make_once

RESOLUTION = 32
FLOAT32, INT8 = "model_float32.tflite", "model_int8.tflite"


class Tiny(NamedTuple):
    float32: TFLiteModel
    int8: TFLiteModel
    ranges: dict[str, Range]
    samples: list[Sample]
    labels: tuple[str, ...]


@functools.cache
def tiny() -> Tiny:
    """Trained, converted and quantized once in a test run."""
    signs = Signs(seed=1, validation_size=100)
    folder = make_once("tiny", lambda to: _make(signs, to))
    ranges = json.loads((folder / "ranges.json").read_text())
    return Tiny(
        TFLiteModel(folder / FLOAT32, "float32"),
        TFLiteModel(folder / INT8, "int8"),
        {name: Range(*values) for name, values in ranges.items()},
        list(signs.validation(RESOLUTION)),
        signs.labels,
    )


def _make(signs: Signs, folder: Path) -> None:
    from edgecv.convert.keras import convert
    from edgecv.quantize.calibrate import calibrate
    from edgecv.quantize.int8 import quantize

    float32 = convert(_trained(signs), folder / FLOAT32)
    ranges = calibrate(float32, (sample.image for sample in signs.calibration(RESOLUTION, 20)))
    narrow = {name: Range(low / 8, high / 8) for name, (low, high) in ranges.items()}
    ends = {name: ranges[name] for name in ("image", "scores")}
    quantize(float32, {**narrow, **ends}, folder / INT8)
    (folder / "ranges.json").write_text(json.dumps(ranges))


def undecided(folder: Path, classes: int) -> TFLiteModel:
    """A model that gives every class the same score."""
    import tf_keras

    from edgecv.convert.keras import convert

    image = tf_keras.Input((8, 8, 3))
    pooled = tf_keras.layers.GlobalAveragePooling2D()(image)
    scores = tf_keras.layers.Dense(classes, "softmax", kernel_initializer="zeros")(pooled)
    return convert(tf_keras.Model(image, scores), folder / "undecided.tflite")


def with_labels(path: Path) -> Path:
    """The int8 file at `path`, which knows its labels."""
    shutil.copy(tiny().int8.path, path)
    metadata.attach(path, metadata.Metadata(tiny().labels))
    return path


def photos(folder: Path, samples: Sequence[Sample]) -> Path:
    """The images as files in `folder`, in class folders."""
    for sample in samples:
        name = f"{sample.name.rsplit('/', 1)[-1]}.png"
        file = folder / tiny().labels[sample.label] / name
        file.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(file), sample.image[..., ::-1])
    return folder


def _trained(signs: Signs):
    import tf_keras
    from tf_keras import layers

    tf_keras.utils.set_random_seed(1)
    image = x = layers.Input((RESOLUTION, RESOLUTION, 3), name="image")
    for filters in (16, 32):
        x = layers.ReLU(6.0)(layers.Conv2D(filters, 3, 2, "same")(x))
    x = layers.Flatten()(layers.MaxPool2D(2)(x))
    model = tf_keras.Model(image, layers.Dense(10, "softmax")(x))
    images, labels = zip(*(signs.training_image(RESOLUTION, 0, i) for i in range(600)), strict=True)
    pixels = np.stack(images).astype(np.float32) / 127.5 - 1
    model.compile(tf_keras.optimizers.Adam(3e-3), "sparse_categorical_crossentropy")
    model.fit(pixels, np.array(labels), epochs=8, verbose=0)
    return model
