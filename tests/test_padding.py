"""Zeros around an image as PyTorch puts them: what they are, and that nothing loses them."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf
import tf_keras

from edgecv import models
from edgecv.artifacts import TFLiteModel
from edgecv.convert.keras import convert
from edgecv.errors import RecipeError
from edgecv.models.channel_groups import coupling
from edgecv.models.identify import identify
from edgecv.models.keras_layers import KerasLayers
from edgecv.models.squeezenet import halve
from edgecv.pipeline.plan import plan
from edgecv.prune.magnitude import pad_strides
from edgecv.quantize.int8 import full_int8
from edgecv.recipe import ModelOptions
from edgecv.tflite import flatbuffer, operators, runtime
from edgecv.train.qat import add_rounding
from tests.converted import quantized
from tests.test_models import randomize

OPTIONS = ModelOptions("mobilenet_v1", 0.25, 64, padding="symmetric")
STRIDED = 5  # layers of that model that halve an image, each at an even side


@pytest.fixture(scope="module")
def model():
    model = models.build(OPTIONS, 7)
    randomize(model)
    return model


@pytest.fixture(scope="module")
def float32(model, tmp_path_factory):
    return convert(model, tmp_path_factory.mktemp("padding") / "float32.tflite")


def images(side, channels=3):
    rng = np.random.default_rng(0)
    return rng.uniform(-1, 1, (2, side, side, channels)).astype("float32")


@pytest.mark.parametrize("kernel", [3, 5])
@pytest.mark.parametrize("side", [8, 9, 14, 15])
def test_as_many_zeros_on_each_side(kernel, side):
    layers, image = KerasLayers("symmetric"), tf_keras.Input((side, side, 3))
    x, padding = layers.pad_for_stride(image, kernel, 2, "layer")
    layer = tf_keras.Model(image, layers.depthwise(x, kernel, 2, padding, "conv"))
    half, pixels = kernel // 2, images(side)
    around = tf.pad(pixels, ((0, 0), (half, half), (half, half), (0, 0)))
    expected = tf.nn.depthwise_conv2d(around, layer.get_weights()[0], (1, 2, 2, 1), "VALID")
    assert layer(pixels).shape == expected.shape
    assert np.allclose(layer(pixels), expected, atol=1e-6)


@pytest.mark.parametrize("side", [7, 8, 13, 54])
def test_a_window_that_is_cut_off_at_the_border(side):
    image = tf_keras.Input((side, side, 3))
    layer = tf_keras.Model(image, halve(KerasLayers("valid"), image, "x"))
    pixels = images(side)
    starts = range(0, side - 2 if side % 2 else side - 1, 2)  # torch's ceil_mode
    rows = [[pixels[:, y : y + 3, x : x + 3].max((1, 2)) for x in starts] for y in starts]
    assert np.array_equal(layer(pixels), np.transpose(rows, (2, 0, 1, 3)))


def test_conversion_and_quantization_keep_them(model, float32, tmp_path):
    flat = flatbuffer.read(float32.path)
    assert operators.counts(flat)["PAD"] == STRIDED
    pixels = images(64)[:1]
    scores = runtime.load(float32.path)
    scores.set_tensor(scores.get_input_details()[0]["index"], pixels)
    scores.invoke()
    converted = scores.get_tensor(scores.get_output_details()[0]["index"])
    assert np.abs(converted - np.asarray(model(pixels))).max() < 1e-5
    path = flatbuffer.write(quantized(flat), tmp_path / "int8.tflite")
    assert full_int8(path) and operators.counts(flatbuffer.read(path))["PAD"] == STRIDED
    assert TFLiteModel(path, "int8").describe()["bytes"] > 0


def test_the_plan_counts_them_and_the_edge_tpu_takes_them():
    symmetric, same = plan(OPTIONS), plan(dataclasses.replace(OPTIONS, padding=None))
    assert symmetric.operators == same.operators | {"PAD": STRIDED}
    assert (symmetric.macs, symmetric.parameters) == (same.macs, same.parameters)
    assert symmetric.coral["mapped"] == same.coral["mapped"] + STRIDED


def test_a_pruned_file_is_known_by_its_padding_too(model, tmp_path):
    counts = [max(count // 2, 4) for count in coupling(model).counts]
    narrow = models.build(dataclasses.replace(OPTIONS, channels=tuple(counts)), 7)
    assert narrow.name == "mobilenet_v1_0.25_64_symmetric"
    narrow.save(tmp_path / "narrow.keras")
    options = identify(tmp_path / "narrow.keras")
    assert (options.padding, options.channels) == ("symmetric", tuple(counts))
    assert models.network(options, 7).parameters == narrow.count_params()


def test_a_file_with_another_padding_is_refused(model, tmp_path):
    model.save(tmp_path / "net.keras")
    options = dataclasses.replace(OPTIONS, weights=str(tmp_path / "net.keras"), padding="same")
    with pytest.raises(RecipeError, match=r"--padding: .*net\.keras was trained with symmetric"):
        models.resolve(options)


def test_training_for_int8_and_sparse_kernels_compute_the_same(model):
    pixels = images(64)
    assert np.allclose(pad_strides(model)(pixels), model(pixels), atol=1e-5)
    twin = add_rounding(model)
    zeros = [
        layer.name for layer in model.layers if isinstance(layer, tf_keras.layers.ZeroPadding2D)
    ]
    assert len(zeros) == STRIDED
    for name in zeros:
        assert type(twin.get_layer(name)) is tf_keras.layers.ZeroPadding2D  # the grid it reads
