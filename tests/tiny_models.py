"""A small classifier of road signs that is neither perfect nor lost, as float and as int8."""

import functools
import tempfile
from pathlib import Path
from typing import NamedTuple

import numpy as np

from edgecv.artifacts import Range, TFLiteModel
from edgecv.data import Sample, Signs
from edgecv.tflite import chatter

RESOLUTION = 32


class Tiny(NamedTuple):
    float32: TFLiteModel
    int8: TFLiteModel
    samples: list[Sample]
    labels: tuple[str, ...]


@functools.cache
def tiny() -> Tiny:
    """Trained, converted and quantised once in a test run."""
    folder = Path(tempfile.mkdtemp(prefix="edgecv-tiny-"))
    signs = Signs(seed=1, validation_size=100)
    model = _trained(signs)
    calibration = [each.image for each in signs.calibration(RESOLUTION, 20)]
    float32 = _converted(model, folder / "model_float32.tflite")
    int8 = _converted(model, folder / "model_int8.tflite", calibration)
    return Tiny(float32, int8, list(signs.validation(RESOLUTION)), signs.labels)


def undecided(folder: Path, classes: int) -> TFLiteModel:
    """A model that gives every class the same score."""
    import tf_keras

    model = tf_keras.Sequential(
        [
            tf_keras.layers.Input((8, 8, 3), batch_size=1),
            tf_keras.layers.GlobalAveragePooling2D(),
            tf_keras.layers.Dense(classes, kernel_initializer="zeros", activation="softmax"),
        ]
    )
    return _converted(model, folder / f"undecided_{classes}.tflite")


def _trained(signs: Signs):
    import tf_keras
    from tf_keras import layers

    tf_keras.utils.set_random_seed(1)
    model = tf_keras.Sequential(
        [
            layers.Input((RESOLUTION, RESOLUTION, 3), name="image"),
            layers.Conv2D(16, 3, 2, "same"),
            layers.ReLU(6.0),
            layers.Conv2D(32, 3, 2, "same"),
            layers.ReLU(6.0),
            layers.MaxPool2D(2),
            layers.Flatten(),
            layers.Dense(10, activation="softmax"),
        ]
    )
    images, labels = zip(*(signs.training_image(RESOLUTION, 0, i) for i in range(600)), strict=True)
    model.compile(tf_keras.optimizers.Adam(3e-3), "sparse_categorical_crossentropy")
    model.fit(_pixels(np.stack(images)), np.array(labels), epochs=8, verbose=0)
    fixed = tf_keras.models.clone_model(
        model, input_tensors=[layers.Input((RESOLUTION, RESOLUTION, 3), batch_size=1)]
    )
    fixed.set_weights(model.get_weights())
    return fixed


def _converted(model, path: Path, calibration=None) -> TFLiteModel:
    import tensorflow as tf

    converter = tf.lite.TFLiteConverter.from_keras_model(model)
    if calibration:
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        converter.representative_dataset = lambda: ([_pixels(each[None])] for each in calibration)
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
        converter.inference_input_type = converter.inference_output_type = tf.uint8
    with chatter.silenced():
        path.write_bytes(converter.convert())
    return TFLiteModel(path, "int8" if calibration else "float32")


def _pixels(images):
    return images.astype(np.float32) / 127.5 - 1


RANGES = {
    "image": Range(-1.0, 1.0),
    "stem/relu6": Range(0.0, 6.0),
    "logits": Range(-31.5, 18.25),
    "scores": Range(0.0, 1.0),
}
