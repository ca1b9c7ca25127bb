"""What the whole engine writes, on LiteRT and on tflite-runtime 2.14, the one of 32-bit boards.

Their kernels round differently in places, and an untrained network makes much of little: what is
asked for is that neither is farther from the float model than the other.
"""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tf_keras
from tf_keras import layers

from edgecv.convert.keras import convert
from edgecv.models.keras_layers import hard_swish
from edgecv.quantize.engine import post_training
from edgecv.quantize.int8 import full_int8
from edgecv.tflite import operators, runtime
from tests.live_models import SIZE, live_int8, live_tflite, smooth_images
from tests.old_runtime import need_tflite

SCRIPT = Path(__file__).with_name("score_images.py")


@pytest.fixture(scope="module")
def images():
    return list(smooth_images(8, SIZE))


def on_both(path, images, folder):
    """Scores on LiteRT and on tflite-runtime."""
    need_tflite()
    np.save(folder / "images.npy", images)
    out = folder / "scores.npy"
    command = [sys.executable, SCRIPT, "tflite", folder / "images.npy", path, out]
    subprocess.run(command, check=True)
    return runtime.run(runtime.load(path), images), np.load(out)


def difference(found, wanted):
    """Squared error as a share of the variance."""
    assert np.isfinite(found).all()
    return float(np.square(found - wanted).mean() / wanted.var())


@pytest.mark.slow
@pytest.mark.parametrize(
    "arch",
    [
        "mobilenet_v1",
        "mobilenet_v2",
        "mobilenet_v3_small",
        "mobilenet_v3_large",
        "mobilenet_v3_small_minimalistic",
        "squeezenet_1_0",
        "squeezenet_1_1",
        "efficientnet_b0",
        "efficientnet_lite0",
    ],
)
def test_every_family_is_as_near_to_float_on_either(arch, tmp_path):
    model, int8 = live_tflite(arch), live_int8(arch)
    assert full_int8(int8)
    fresh = smooth_images(24, SIZE, seed=9)
    wanted = runtime.run(runtime.load(model.path), fresh)
    found = on_both(int8, fresh, tmp_path)
    new, old = (difference(each, wanted) for each in found)
    assert max(new, old) < 2.5 * min(new, old) + 0.01
    assert max(new, old) < 0.8
    assert np.corrcoef(*map(np.ravel, found))[0, 1] > 0.6


def decided(deviation):
    """Weights large enough for scores that a softmax tells apart."""
    return tf_keras.initializers.RandomNormal(0, deviation)


def uneven_swish(folder):
    """conv, hard-swish, depthwise whose channels reach very differently far."""
    tf_keras.utils.set_random_seed(3)
    image = layers.Input((SIZE, SIZE, 3))
    x = layers.Activation(hard_swish)(layers.Conv2D(16, 3, 2, name="first")(image))
    x = layers.ReLU(6.0)(layers.DepthwiseConv2D(3, name="second")(x))
    x = layers.GlobalAveragePooling2D()(layers.Conv2D(32, 1)(x))
    model = tf_keras.Model(image, layers.Dense(10, kernel_initializer=decided(20))(x))
    factor = np.exp(np.linspace(-3, 3, 16))
    kernel, bias = model.get_layer("first").get_weights()
    model.get_layer("first").set_weights([kernel * factor, bias])
    kernel, bias = model.get_layer("second").get_weights()
    model.get_layer("second").set_weights([kernel / factor[:, np.newaxis], bias])
    return convert(model, folder / "uneven.tflite")


def test_a_gate_that_became_a_depthwise_runs_on_either(images, tmp_path):
    model = uneven_swish(tmp_path)
    done = post_training(model, images, tmp_path / "int8.tflite")
    assert operators.counts(done.flat)["DEPTHWISE_CONV_2D"] == 2
    fresh = smooth_images(24, SIZE, seed=9)
    wanted = runtime.run(runtime.load(model.path), fresh)
    for found in on_both(done.file.path, fresh, tmp_path):
        assert difference(found, wanted) < 0.05
        assert (found.argmax(1) == wanted.argmax(1)).mean() > 0.85


# -- channels that are dead, or nearly --------------------------------------------------------


def plain(x):
    return layers.ReLU()(layers.Conv2D(8, 3, 2, name="spoilt")(x))


def capped(x):
    return layers.ReLU(6.0)(layers.Conv2D(8, 3, 2, name="spoilt")(x))


def filtered(x):
    x = layers.Conv2D(8, 3, 2, activation="relu")(x)
    return layers.DepthwiseConv2D(3, activation="relu", name="spoilt")(x)


def gated(x):
    x = layers.Conv2D(8, 3, 2, activation="relu")(x)
    pooled = layers.GlobalAveragePooling2D(keepdims=True)(x)
    gate = layers.Conv2D(8, 1, activation="sigmoid", name="spoilt")(pooled)
    return layers.Multiply()([x, gate])


def silent_but_for_a_bias(kernel, bias):
    kernel[..., 0], bias[0] = 0, 6


def fainter_than_any_step(kernel, bias):
    kernel[..., 0], bias[0] = 1e-12, 3
    kernel[..., 1] *= 1e-7


def silent(kernel, bias):
    kernel[..., ::2] = 0


def silent_altogether(kernel, bias):
    kernel[:], bias[:] = 0, np.linspace(0.5, 2, 8)


@pytest.mark.parametrize("body", [plain, capped, filtered, gated])
@pytest.mark.parametrize(
    "spoil", [silent_but_for_a_bias, fainter_than_any_step, silent, silent_altogether]
)
def test_dead_channels_do_no_harm(images, tmp_path, body, spoil):
    tf_keras.utils.set_random_seed(4)
    image = layers.Input((SIZE, SIZE, 3))
    through = layers.Conv2D(8, 3, 2, activation="relu")(image)
    x = layers.Concatenate()(
        [layers.GlobalAveragePooling2D()(each) for each in (body(image), through)]
    )
    model = tf_keras.Model(image, layers.Dense(10, "softmax", kernel_initializer=decided(5))(x))
    layer = model.get_layer("spoilt")
    kernel, bias = layer.get_weights()
    spoil(kernel[..., 0] if body is filtered else kernel, bias)  # a depthwise has [h, w, in, 1]
    layer.set_weights([kernel, bias])
    path = convert(model, tmp_path / "float32.tflite")
    done = post_training(path, images, tmp_path / "int8.tflite")
    fresh = smooth_images(24, SIZE, seed=9)
    wanted = runtime.run(runtime.load(path.path), fresh)
    for found in on_both(done.file.path, fresh, tmp_path):
        assert difference(found, wanted) < 0.05


def test_a_channel_of_the_images_that_never_changes_does_no_harm(tmp_path):
    model = live_tflite("mobilenet_v3_small_minimalistic")
    images = smooth_images(8, SIZE)
    images[..., 2] = 255
    done = post_training(model, list(images), tmp_path / "int8.tflite")
    fresh = smooth_images(24, SIZE, seed=9)
    fresh[..., 2] = 255
    wanted = runtime.run(runtime.load(model.path), fresh)
    for found in on_both(done.file.path, fresh, tmp_path):
        assert difference(found, wanted) < 0.1
