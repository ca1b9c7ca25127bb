"""Small Keras models as people write them, made with Keras 2 or 3 and saved in every format."""

import functools
import os
from pathlib import Path
from types import ModuleType

import numpy as np

SIDE = 16


@functools.cache
def keras_of(version: int) -> ModuleType:
    """Keras 3, or tf_keras, which is Keras 2."""
    if version == 2:
        import tf_keras

        return tf_keras
    os.environ.setdefault("KERAS_BACKEND", "tensorflow")
    import keras

    return keras


def backbone(keras: ModuleType, name: str = "backbone"):
    """Two strided blocks without a head, with a layer that is called twice."""
    layers = keras.layers
    image = keras.Input((SIDE, SIDE, 3))
    x = layers.Conv2D(8, 3, 2, "same", use_bias=False, name=f"{name}_conv")(image)
    x = layers.BatchNormalization(name=f"{name}_bn")(x)
    x = layers.ReLU(6.0, name=f"{name}_relu")(x)
    y = layers.DepthwiseConv2D(3, padding="same", name=f"{name}_depthwise")(x)
    y = layers.BatchNormalization(name=f"{name}_bn2")(y)
    shared = layers.Conv2D(8, 1, activation="relu", name=f"{name}_shared")
    return keras.Model(image, layers.Add(name=f"{name}_add")([shared(x), shared(y)]), name=name)


def transfer(keras: ModuleType):
    """A frozen backbone called as one layer, augmentation before it and one logit behind it."""
    layers = keras.layers
    base = backbone(keras)
    base.trainable = False
    augmentation = keras.Sequential(
        [layers.RandomFlip("horizontal"), layers.RandomRotation(0.2)], name="augmentation"
    )
    image = keras.Input((SIDE, SIDE, 3))
    x = augmentation(image)
    x = keras.applications.mobilenet_v2.preprocess_input(x)
    x = base(x, training=False)
    x = layers.GlobalAveragePooling2D()(x)
    x = layers.Dropout(0.2)(x)
    return keras.Model(image, layers.Dense(1)(x))


def flowers(keras: ModuleType):
    """Layers in a row: augmentation as an inner model, rescaling, convolutions, logits."""
    layers = keras.layers
    augmentation = keras.Sequential(
        [layers.RandomFlip("horizontal", input_shape=(SIDE, SIDE, 3)), layers.RandomZoom(0.1)]
    )
    model = keras.Sequential(
        [
            augmentation,
            layers.Rescaling(1.0 / 255),
            layers.Conv2D(8, 3, padding="same", activation="relu"),
            layers.MaxPooling2D(),
            layers.Conv2D(16, 3, padding="same", activation="relu"),
            layers.MaxPooling2D(),
            layers.Dropout(0.2),
            layers.Flatten(),
            layers.Dense(12, activation="relu"),
            layers.Dense(5, name="outputs"),
        ]
    )
    model(np.zeros((1, SIDE, SIDE, 3), np.float32))
    return model


def nested_rows(keras: ModuleType):
    """Models in a row inside a row, as Teachable Machine's; softmax, nothing said of pixels."""
    layers = keras.layers
    features = keras.Sequential([backbone(keras), layers.GlobalAveragePooling2D()], name="features")
    head = keras.Sequential(
        [
            layers.Dense(10, activation="relu", input_shape=(8,)),
            layers.Dense(3, activation="softmax", use_bias=False),
        ],
        name="head",
    )
    model = keras.Sequential([features, head])
    model(np.zeros((1, SIDE, SIDE, 3), np.float32))
    return model


def normalized(keras: ModuleType):
    """A Normalization that learned its means, a mixed policy, and layers that are seldom used."""
    layers = keras.layers
    normalization = layers.Normalization()
    normalization.adapt(np.random.default_rng(1).uniform(0, 255, (8, SIDE, SIDE, 3)))
    return keras.Sequential(
        [
            keras.Input((SIDE, SIDE, 3)),
            normalization,
            layers.Conv2D(6, 3, strides=2, activation="hard_sigmoid"),
            layers.BatchNormalization(scale=False),
            layers.LeakyReLU(),
            layers.SeparableConv2D(6, 3, activation="swish"),
            layers.PReLU(shared_axes=[1, 2]),
            layers.SpatialDropout2D(0.1),
            layers.GlobalMaxPooling2D(),
            layers.Dense(3, activation="softmax", dtype="float32"),
        ]
    )


def arithmetic(keras: ModuleType):
    """Functions between layers, a size that is not square, and one sigmoid."""
    layers = keras.layers
    image = keras.Input((SIDE, SIDE - 4, 3))
    x = layers.Conv2D(4, 3, name="first")((255.0 - image) / 255.0)
    gate = layers.ReLU(6.0)(x + 3.0) * (1 / 6.0)
    x = layers.Multiply()([x, gate])
    x = layers.Concatenate()([x, layers.Activation("tanh")(x)])
    x = layers.ZeroPadding2D(((0, 1), (0, 1)))(x)
    x = layers.DepthwiseConv2D(3, strides=2, name="second")(x)
    x = layers.Flatten()(layers.AveragePooling2D(2)(x))
    return keras.Model(image, layers.Dense(1, activation="sigmoid")(x))


MODELS = {each.__name__: each for each in (transfer, flowers, nested_rows, normalized, arithmetic)}


def randomize(model) -> None:
    """Every array of a model drawn anew, so that two layers are never the same."""
    rng = np.random.default_rng(3)
    for layer in model.layers:
        if hasattr(layer, "layers"):
            randomize(layer)
        elif "Normalization" not in type(layer).__name__:
            arrays = layer.get_weights()
            layer.set_weights([rng.normal(0, 0.4, array.shape) for array in arrays])
        elif type(layer).__name__ == "BatchNormalization":
            layer.set_weights([rng.uniform(0.5, 1.5, each.shape) for each in layer.get_weights()])


def saved(folder: Path, name: str, version: int):
    """The model of that name as folder/name.keras and .h5, and two images with its answers."""
    model = MODELS[name](keras_of(version))
    randomize(model)
    for ending in ("keras", "h5"):
        model.save(folder / f"{name}.{ending}")
    images = np.random.default_rng(4).uniform(0, 255, (2, *model.input_shape[1:]))
    images = images.astype(np.float32) / (255 if name == "nested_rows" else 1)
    return model, images, np.asarray(model(images, training=False), np.float32)
