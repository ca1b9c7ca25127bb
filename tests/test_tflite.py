"""Reading, editing, describing and running .tflite files."""

import os
import subprocess
import sys
import zipfile

import numpy as np
import pytest
import tensorflow as tf
import tf_keras
from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2
from tf_keras import layers

from edgecv import models
from edgecv.artifacts import CENTERED, Normalization
from edgecv.convert.keras import convert
from edgecv.errors import DeviceError, UnsupportedModelError
from edgecv.models.keras_layers import hard_sigmoid, hard_swish
from edgecv.recipe import ModelOptions
from edgecv.tflite import flatbuffer, lowering, metadata, operators, pixels, runtime, tf_logging
from tests.live_models import live_model, live_tflite, smooth_images
from tests.old_runtime import need_tflite

SIZE = 12


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    """A .tflite with a convolution and a dense layer, 4 classes."""
    image = layers.Input((SIZE, SIZE, 3))
    x = layers.ReLU(6.0)(layers.Conv2D(8, 3, 2, "same", name="stem")(image))
    scores = layers.Dense(4, "softmax")(layers.GlobalAveragePooling2D()(x))
    return convert(
        tf_keras.Model(image, scores), tmp_path_factory.mktemp("plain") / "model.tflite"
    ).path


def raw_tflite(model):
    """The converter's own flatbuffer at batch 1, nothing lowered."""
    function = tf.function(lambda image: model(image, training=False))
    concrete = function.get_concrete_function(tf.TensorSpec([1, *model.input_shape[1:]]))
    with tf_logging.silence_tensorflow():
        frozen = convert_variables_to_constants_v2(concrete)
        converter = tf.lite.TFLiteConverter.from_concrete_functions([frozen])
        return flatbuffer.parse(converter.convert())


def scores(model, images):
    return runtime.run(runtime.load(flatbuffer.serialized(model)), images)


# -- files ------------------------------------------------------------------------------------


def test_a_model_survives_reading_and_writing(plain, tmp_path):
    copy = flatbuffer.write(flatbuffer.read(plain), tmp_path / "copy.tflite")
    images = smooth_images(2, SIZE)
    again = [runtime.run(runtime.load(path), images) for path in (plain, copy)]
    np.testing.assert_array_equal(*again)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        pytest.param(lambda _: b"", "no TFL3 identifier", id="empty"),
        pytest.param(lambda _: b"\xff\xd8\xff\xe0 JFIF" * 99, "no TFL3 identifier", id="a JPEG"),
        pytest.param(lambda data: data[:12], "damaged or truncated", id="cut after the header"),
        pytest.param(lambda data: data[: len(data) // 2], "damaged or truncated", id="half"),
        pytest.param(lambda data: data[:-60], "damaged or truncated", id="last bytes missing"),
        pytest.param(lambda data: data[:8] + bytes(len(data) - 8), "damaged", id="zeros"),
        pytest.param(lambda data: data[:8] + b"\xff" * len(data), "damaged", id="ones"),
    ],
)
def test_a_file_that_is_no_whole_model_is_refused_in_one_line(plain, tmp_path, damage, message):
    path = tmp_path / "bad.tflite"
    path.write_bytes(damage(plain.read_bytes()))
    with pytest.raises(UnsupportedModelError, match=message) as caught:
        flatbuffer.read(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)
    with pytest.raises(UnsupportedModelError) as caught:
        runtime.load(path)
    assert "\n" not in str(caught.value)


def test_an_index_that_points_at_nothing_is_damage(plain):
    model = flatbuffer.read(plain)
    model.subgraphs[0].operators[0].inputs = np.array([1000, 1, 2], np.int32)
    with pytest.raises(UnsupportedModelError, match="damaged"):
        flatbuffer.parse(flatbuffer.serialized(model))


def without_bytes(model):
    model.buffers[model.subgraphs[0].tensors[1].buffer].data = np.zeros(3, np.uint8)


def read_before_made(model):
    model.subgraphs[0].operators.reverse()


def made_twice(model):
    model.subgraphs[0].operators.append(model.subgraphs[0].operators[0])


def of_pointers(model):
    model.subgraphs[0].tensors[-1].type = flatbuffer.schema().TensorType.STRING


def without_weights(model):
    model.subgraphs[0].operators[0].inputs = np.array([0, -1, -1], np.int32)


def without_end(model):
    model.subgraphs[0].tensors[0].shape = np.array([1, 1 << 20, 1 << 10, 3], np.int32)


def nameless_metadata(model):
    model.metadata = [flatbuffer.schema().MetadataT()]


@pytest.mark.parametrize(
    "spoil",
    [
        without_bytes,
        read_before_made,
        made_twice,
        of_pointers,
        without_weights,
        without_end,
        nameless_metadata,
    ],
)
def test_what_runtimes_crash_on_is_damage(plain, spoil):
    model = flatbuffer.read(plain)
    spoil(model)
    with pytest.raises(UnsupportedModelError, match="damaged"):
        flatbuffer.parse(flatbuffer.serialized(model))


def test_a_folder_is_no_model(tmp_path):
    with pytest.raises(UnsupportedModelError, match="Is a directory"):
        flatbuffer.read(tmp_path)


# -- what a model computes --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arch", "macs", "peak", "found"),
    [
        # 569 and 300 million in the papers' tables; V1's peak is at its first pointwise layer
        (
            "mobilenet_v1",
            568_740_352,
            4 * 112 * 112 * (32 + 64),
            {"CONV_2D": 15, "DEPTHWISE_CONV_2D": 13, "MEAN": 1, "RESHAPE": 1, "SOFTMAX": 1},
        ),
        # V2's peak is where 96 channels are filtered from 112 to 56
        (
            "mobilenet_v2",
            300_774_272,
            4 * 96 * (112 * 112 + 56 * 56),
            {
                "CONV_2D": 35,
                "DEPTHWISE_CONV_2D": 17,
                "ADD": 10,
                "MEAN": 1,
                "FULLY_CONNECTED": 1,
                "SOFTMAX": 1,
            },
        ),
    ],
)
def test_operators_macs_and_memory_of_known_models(tmp_path, arch, macs, peak, found):
    keras = models.build(ModelOptions(arch=arch), 1000)
    model = flatbuffer.read(convert(keras, tmp_path / "model.tflite").path)
    assert operators.macs(model) == macs
    assert operators.counts(model) == found
    assert operators.activation_peak(model) == peak


def test_weight_bytes_are_those_of_the_folded_model():
    keras = live_model("mobilenet_v1")
    norms = [each for each in keras.layers if isinstance(each, layers.BatchNormalization)]
    gone = 3 * sum(norm.gamma.shape[0] for norm in norms)  # of four, the offset stays as a bias
    model = flatbuffer.read(live_tflite("mobilenet_v1").path)
    expected = 4 * (keras.count_params() - gone)
    assert expected <= operators.weight_bytes(model) < expected + 100


def test_a_residual_stays_alive_until_it_is_added():
    image = layers.Input((8, 8, 4))
    x = layers.Conv2D(16, 1)(image)
    y = layers.Conv2D(16, 3, padding="same")(layers.Conv2D(2, 1)(x))
    model = raw_tflite(tf_keras.Model(image, layers.Add()([x, y])))
    one = 8 * 8 * 4  # bytes of one channel
    assert operators.activation_peak(model) == (16 + 16 + 16) * one


# -- lowering ---------------------------------------------------------------------------------


def conv(x, channels=6, **options):
    return layers.Conv2D(channels, 3, padding="same", bias_initializer="normal", **options)(x)


def swish(x):
    return layers.Activation(hard_swish)(x)


def gated(x):
    gate = layers.Conv2D(x.shape[-1], 1)(layers.GlobalAveragePooling2D(keepdims=True)(x))
    return conv(layers.Multiply()([x, layers.Activation(hard_sigmoid)(gate)]))


def thrice_with_the_same_weights(x):
    shared = layers.Conv2D(6, 1, bias_initializer="normal")
    product = layers.Multiply()([swish(x), swish(conv(x))])
    return layers.Add()([shared(swish(x)), layers.Add()([shared(x), shared(product)])])


def read_before_it_is_added(x):
    y = conv(x)
    return layers.Add()([swish(conv(y)), y])


def read_after_it_is_added(x):
    y = conv(x)
    return layers.Add()([conv(layers.Add()([swish(x), y])), y])


@pytest.mark.parametrize(
    ("body", "multiplications"),
    [
        pytest.param(lambda x: conv(swish(x)), 1, id="convolution"),
        pytest.param(lambda x: layers.DepthwiseConv2D(3)(swish(x)), 1, id="depthwise"),
        pytest.param(lambda x: layers.Dense(5)(layers.Flatten()(swish(x))), 1, id="dense"),
        pytest.param(lambda x: conv(swish(swish(x))), 3, id="itself"),
        pytest.param(swish, 2, id="output of the model"),
        pytest.param(lambda x: layers.Activation("sigmoid")(swish(x)), 2, id="sigmoid"),
        pytest.param(lambda x: conv(layers.MaxPool2D(2)(swish(x))), 1, id="maximum"),
        pytest.param(lambda x: conv(layers.AveragePooling2D(2)(swish(x))), 1, id="average"),
        pytest.param(lambda x: conv(layers.ZeroPadding2D(2)(swish(x))), 1, id="padding"),
        pytest.param(
            lambda x: layers.Dense(5)(layers.GlobalAveragePooling2D()(swish(x))), 1, id="mean"
        ),
        pytest.param(
            lambda x: conv(layers.Add()([swish(x), conv(x)])), 1, id="sum with a convolution"
        ),
        pytest.param(
            lambda x: conv(layers.Add()([swish(x), layers.ReLU()(conv(x))])), 1, id="sum, RELU"
        ),
        pytest.param(
            lambda x: conv(layers.Add()([swish(x), layers.ReLU(6.0)(conv(x))])), 2, id="sum, RELU6"
        ),
        pytest.param(
            lambda x: conv(layers.Add()([swish(x), swish(conv(x))])), 2, id="sum of two swishes"
        ),
        pytest.param(lambda x: conv(read_before_it_is_added(x)), 2, id="sum, already read"),
        pytest.param(lambda x: conv(read_after_it_is_added(x)), 1, id="sum, read again"),
        pytest.param(
            lambda x: conv(layers.Concatenate()([swish(x), conv(x)])), 1, id="concatenation"
        ),
        pytest.param(
            lambda x: conv(layers.Concatenate()([swish(x), layers.MaxPool2D(1)(x)])),
            2,
            id="concatenation with what cannot be scaled",
        ),
        pytest.param(gated, 1, id="squeeze and excite"),
        pytest.param(lambda x: gated(swish(x)), 2, id="squeeze and excite of a swish"),
        pytest.param(thrice_with_the_same_weights, 3, id="shared weights"),
    ],
)
def test_lowering_leaves_the_function_as_it_was(body, multiplications):
    tf_keras.utils.set_random_seed(3)
    image = layers.Input((SIZE, SIZE, 3))
    # weights three times as large as usual, so that the clips of the hard-swish are reached
    stem = layers.Conv2D(6, 3, kernel_initializer=tf_keras.initializers.RandomNormal(0, 1.0))
    model = raw_tflite(tf_keras.Model(image, body(stem(image))))
    images = smooth_images(4, SIZE)
    before = scores(model, images)
    assert lowering.lower_hard_swish(model) > 0
    found = operators.counts(model)
    after = scores(model, images)
    assert "HARD_SWISH" not in found
    assert found["MUL"] == multiplications
    assert np.abs(after - before).max() < 1e-5 * np.abs(before).max()
    assert np.ptp(before, axis=0).max() > 0.01 * np.abs(before).max()


def test_a_model_with_nothing_to_lower_keeps_its_bytes(plain):
    model = flatbuffer.read(plain)
    assert lowering.lower_hard_swish(model) == 0
    assert flatbuffer.serialized(model) == flatbuffer.serialized(flatbuffer.read(plain))


# -- metadata ---------------------------------------------------------------------------------


def test_labels_travel_in_the_file_and_out_by_unzip(plain, tmp_path):
    path = tmp_path / "model.tflite"
    path.write_bytes(plain.read_bytes())
    assert metadata.read(path) is None
    before = runtime.run(runtime.load(path), smooth_images(1, SIZE))
    said = metadata.Metadata(
        ("stop", "yield", "café", "敵"), "mobilenet_v1", 0.875, Normalization((1, 2, 3), (4, 5, 6))
    )
    metadata.attach(path, metadata.Metadata(("old",)))
    metadata.attach(path, said)
    assert metadata.read(path) == said
    with zipfile.ZipFile(path) as archive:
        assert archive.namelist() == ["labels.txt"]
        assert archive.read("labels.txt").decode().splitlines() == list(said.labels)
    np.testing.assert_array_equal(runtime.run(runtime.load(path), smooth_images(1, SIZE)), before)


def test_damaged_metadata_is_named(plain, tmp_path):
    path = tmp_path / "model.tflite"
    path.write_bytes(plain.read_bytes())
    metadata.attach(path, metadata.Metadata(arch="mobilenet_v1"))
    path.write_bytes(path.read_bytes().replace(b'{"labels"', b"!" * 9))
    with pytest.raises(UnsupportedModelError, match="damaged 'edgecv' metadata"):
        metadata.read(path)


# -- runtimes ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("dtype", "quantization", "levels", "expected"),
    [
        (np.float32, (0.0, 0), [0, 51, 255], [-1.0, -0.6, 1.0]),
        (np.uint8, (1 / 127.5, 127), [0, 51, 255], [0, 51, 255]),
        (np.uint8, (1 / 127.5, 128), [0, 51, 255], [0, 51, 255]),
        (np.uint8, (1 / 128, 128), [0, 51, 255], [0, 51, 255]),
        (np.int8, (2 / 255, -1), [0, 100, 255], [-128, -28, 127]),
        (np.uint8, (1 / 64, 64), [0, 255], [0, 128]),
        (np.uint8, (1 / 255, 0), [0, 255], [0, 255]),
    ],
)
def test_pixels_become_what_the_input_asks_for(dtype, quantization, levels, expected):
    details = {"dtype": dtype, "quantization": quantization}
    gray = np.repeat(np.array(levels, np.uint8)[:, np.newaxis], 3, axis=1)
    entry = pixels.encode(gray, pixels.grid_of(details), CENTERED)
    assert entry.dtype == dtype
    for channel in entry.T:
        np.testing.assert_allclose(channel, expected, rtol=1e-6)


def test_scores_are_real_values_of_each_image(plain):
    images = smooth_images(3, SIZE)
    interpreter = runtime.load(plain)
    together = runtime.run(interpreter, images)
    assert together.shape == (3, 4)
    np.testing.assert_allclose(together.sum(axis=1), 1, rtol=1e-5)
    np.testing.assert_array_equal(together[2:], runtime.run(interpreter, images[2:]))


def test_the_runtime_has_a_name():
    assert runtime.runtime_name().startswith("litert 2.")
    need_tflite()
    assert runtime.runtime_name("tflite") == "tflite-runtime 2.14.0"


@pytest.mark.parametrize(
    ("wanted", "install"), [("auto", "ai-edge-litert"), ("tflite", "tflite-runtime")]
)
def test_a_missing_runtime_comes_with_its_install_line(plain, monkeypatch, wanted, install):
    missing = {
        name: each._replace(package="no_such_package", last_python=(9, 9))
        for name, each in runtime.RUNTIMES.items()
    }
    monkeypatch.setattr(runtime, "RUNTIMES", missing)
    with pytest.raises(DeviceError, match=f"pip install {install}"):
        runtime.load(plain, runtime=wanted)


def test_a_runtime_without_wheels_for_this_python_says_what_else_there_is(monkeypatch):
    row = runtime.RUNTIMES["tflite"]._replace(package="no_such_package", last_python=(3, 7))
    monkeypatch.setitem(runtime.RUNTIMES, "tflite", row)
    with pytest.raises(
        DeviceError, match=r"wheels up to Python 3\.7; use that, or --runtime litert"
    ):
        runtime.runtime_name("tflite")


def test_tflite_runtime_says_that_it_cannot_work_beside_tensorflow(plain):
    need_tflite()
    with pytest.raises(DeviceError, match="process that has loaded TensorFlow"):
        runtime.load(plain, runtime="tflite")


BOTH_RUNTIMES = """
import sys
from pathlib import Path
import numpy as np
from edgecv.errors import UnsupportedModelError
from edgecv.tflite import metadata, runtime
good, bad = map(Path, sys.argv[1:])
images = np.arange(12 * 12 * 3, dtype=np.uint8).reshape(1, 12, 12, 3)
found = [runtime.run(runtime.load(good, 1, name), images) for name in ("litert", "tflite")]
np.testing.assert_allclose(*found, rtol=1e-5)
for name in ("litert", "tflite"):
    try:
        runtime.load(bad, 1, name)
    except UnsupportedModelError as error:
        print(error)
assert "tensorflow" not in sys.modules, "edgecv.tflite imports TensorFlow"
"""


def test_both_runtimes_agree_and_refuse_a_damaged_file_without_tensorflow(plain, tmp_path):
    need_tflite()
    bad = tmp_path / "bad.tflite"
    bad.write_bytes(plain.read_bytes()[:-500])
    done = subprocess.run(
        [sys.executable, "-c", BOTH_RUNTIMES, plain, bad], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count(str(bad)) == 2
    assert done.stderr == ""


def test_silenced_hides_what_is_written_past_python(capfd):
    with tf_logging.silence_tensorflow():
        os.write(2, b"chatter\n")
    os.write(2, b"a word\n")
    assert capfd.readouterr().err == "a word\n"
