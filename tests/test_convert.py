"""From Keras to a float .tflite: the same function, and no operator that a board dislikes."""

import numpy as np
import pytest
import tensorflow as tf
import tf_keras
from tf_keras import layers

from edgecv.artifacts import Normalization
from edgecv.convert.keras import convert
from edgecv.errors import UnsupportedModelError
from edgecv.models import normalization as of_weights
from edgecv.recipe import ModelOptions
from edgecv.tflite import flatbuffer, operators, runtime
from edgecv.tflite.graph import Graph
from tests.live_models import SIZE, centered, live_model, live_tflite, smooth_images

IMAGENET = of_weights(ModelOptions(arch="efficientnet_b0", weights="imagenet"))
FAMILIES = [
    "mobilenet_v1",
    "mobilenet_v2",
    "mobilenet_v3_small",
    "mobilenet_v3_large",
    "mobilenet_v3_small_minimalistic",
    "squeezenet_1_1",
    "efficientnet_b0",
    "efficientnet_lite0",
]


def scores(path, images):
    return runtime.run(runtime.load(path), images)


@pytest.mark.parametrize("arch", FAMILIES)
def test_every_family_converts_to_the_same_function_at_batch_one(arch):
    model, images = live_model(arch), smooth_images(4, SIZE)
    converted = live_tflite(arch)
    expected = model(centered(images), training=False).numpy()
    assert np.ptp(expected, axis=0).max() > 0.001  # not one answer for everything
    assert np.abs(scores(converted.path, images) - expected).max() < 1e-4 * expected.max()
    flat = flatbuffer.read(converted.path)
    unwanted = {"SHAPE", "STRIDED_SLICE", "PACK", "HARD_SWISH", "RELU6", "RELU", "BATCH_MATMUL"}
    assert not unwanted & operators.counts(flat).keys()
    graph = Graph(flat)
    ends = [int(graph.subgraph.inputs[0]), int(graph.subgraph.outputs[0])]
    assert [graph.name(end) for end in ends] == ["image", "scores"]
    assert [graph.shape(end) for end in ends] == [(1, SIZE, SIZE, 3), (1, 10)]
    assert all(signature >= 0 for tensor in graph.tensors for signature in graph_shape(tensor))


def graph_shape(tensor):
    """Sizes of a tensor as the file allows them to vary; -1 is a free one."""
    return [] if tensor.shapeSignature is None else tensor.shapeSignature


@pytest.mark.parametrize(
    ("arch", "swishes", "gates"),
    [
        ("mobilenet_v3_small", 19, 9),
        ("mobilenet_v3_large", 21, 8),
    ],
)
def test_v3_needs_no_more_multiplications_than_it_has_gates(arch, swishes, gates):
    flat = flatbuffer.read(live_tflite(arch).path)
    assert operators.counts(flat)["MUL"] == swishes + gates


def test_efficientnet_has_three_operators_per_swish_and_nothing_around_its_gates():
    found = operators.counts(flatbuffer.read(live_tflite("efficientnet_b0").path))
    blocks, swishes = 10, 21  # stem and head, two a block but one in the first; and one a gate
    assert found["LOGISTIC"] == swishes + 2 * blocks
    assert found["MUL"] == swishes + 2 * blocks
    assert "RESHAPE" not in found


@pytest.mark.parametrize(
    "normalization", [IMAGENET, Normalization((0, 0, 0), (255, 255, 255))], ids=["imagenet", "0..1"]
)
def test_another_normalization_becomes_one_exact_operator(normalization, tmp_path):
    model, images = live_model("efficientnet_b0"), smooth_images(4, SIZE)
    converted = convert(model, tmp_path / "model.tflite", normalization)
    mean, std = (np.array(each, np.float32) for each in normalization)
    expected = model((images - mean) / std, training=False).numpy()
    assert np.abs(scores(converted.path, images) - expected).max() < 1e-4 * expected.max()
    straight = live_tflite("efficientnet_b0")
    counts = [operators.counts(flatbuffer.read(each.path)) for each in (converted, straight)]
    assert counts[0].pop("DEPTHWISE_CONV_2D") == counts[1].pop("DEPTHWISE_CONV_2D") + 1
    assert counts[0] == counts[1]


@pytest.mark.parametrize(
    ("scheme", "share", "tolerance"), [("float16", 0.5, 0.01), ("dynamic", 0.25, 0.2)]
)
def test_lighter_schemes_shrink_the_file_and_keep_the_scores(scheme, share, tolerance, tmp_path):
    model, images = live_model("mobilenet_v3_small", width=1.0), smooth_images(4, SIZE)
    full = convert(model, tmp_path / "float32.tflite").path
    light = convert(model, tmp_path / f"{scheme}.tflite", scheme=scheme)
    assert light.scheme == scheme
    assert light.path.stat().st_size < (share + 0.05) * full.stat().st_size
    expected = scores(full, images)
    assert np.abs(scores(light.path, images) - expected).max() < tolerance * expected.max()


def test_tensors_are_named_after_their_layers():
    graph = Graph(flatbuffer.read(live_tflite("mobilenet_v3_small").path))
    names = [graph.name(tensor) for tensor in graph.activations()]
    assert names[:4] == ["image", "stem_bn", "stem_hard_swish/gate", "stem_hard_swish"]
    assert len(set(names)) == len(names)


def test_converting_twice_gives_the_same_bytes(tmp_path):
    model = live_model("mobilenet_v3_small")
    again = convert(model, tmp_path / "again.tflite").path
    assert again.read_bytes() == live_tflite("mobilenet_v3_small").path.read_bytes()


def test_an_operator_that_tflite_lacks_is_named(tmp_path):
    image = layers.Input((8, 8, 3))
    x = layers.Lambda(lambda x: tf.linalg.det(x[:, :3, :3, 0]))(image)
    model = tf_keras.Model(image, layers.Dense(2)(layers.Reshape((1,))(x)), name="odd")
    with pytest.raises(UnsupportedModelError, match=r"odd: .*MatrixDeterminant") as caught:
        convert(model, tmp_path / "model.tflite")
    assert "\n" not in str(caught.value)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("shape", [(None, None, 3), (8, 8, 4)])
def test_an_input_that_is_no_image_of_fixed_size_is_refused(shape, tmp_path):
    image = layers.Input(shape)
    model = tf_keras.Model(image, layers.GlobalAveragePooling2D()(image), name="odd")
    with pytest.raises(UnsupportedModelError, match="odd: the input must be one RGB image"):
        convert(model, tmp_path / "model.tflite")


def test_conversion_is_quiet(tmp_path, capfd):
    convert(live_model("squeezenet_1_1"), tmp_path / "model.tflite")
    assert capfd.readouterr() == ("", "")
