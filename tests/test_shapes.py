"""Counting on shapes against files that were really converted and quantized."""

import subprocess
import sys

import pytest

from edgecv import models
from edgecv.coral import planner
from edgecv.errors import RecipeError, UnsupportedModelError
from edgecv.models.channel_groups import coupling
from edgecv.models.float_file import float_model
from edgecv.recipe import ModelOptions
from edgecv.tflite import operators
from edgecv.tflite.int8_shapes import int8_shapes
from tests.converted import converted, described, quantized
from tests.test_models import KERAS_PARAMETERS

CLASSES = 7
CASES = [
    ModelOptions("mobilenet_v1", 0.25, 32),  # nothing is left to pool
    ModelOptions("mobilenet_v1", 0.35, 97),  # odd sides: "valid" borders
    ModelOptions("mobilenet_v2", 0.35, 64),
    ModelOptions("mobilenet_v2", 0.5, 33, lanes=True),
    ModelOptions("mobilenet_v3_small", 0.25, 47),
    ModelOptions("mobilenet_v3_large", 1.0, 32),  # adds to what hard-swish makes
    ModelOptions("mobilenet_v3_small_minimalistic", 0.25, 64),
    ModelOptions("squeezenet_1_0", 0.25, 33),
    ModelOptions("squeezenet_1_1", 1.4, 64),
    ModelOptions("efficientnet_b0", 0.25, 64, 0.5),
    ModelOptions("efficientnet_b2", 0.35, 33, 0.3),
    ModelOptions("efficientnet_lite0", 0.3, 49, 0.6),
    ModelOptions("mobilenet_v1", 0.25, 48, channels=tuple(range(1, 28, 2))),
    ModelOptions("mobilenet_v1", 0.25, 74, padding="symmetric"),  # some of the sides are odd
    ModelOptions("mobilenet_v3_small", 0.25, 64, padding="symmetric"),  # kernels of 3 and of 5
    ModelOptions("squeezenet_1_0", 0.25, 64, padding="valid"),
]
QUANTIZED = [CASES[0], CASES[2], CASES[4], CASES[7], CASES[9], CASES[13]]


def pruned(arch, width, resolution, depth=None):
    """The architecture with other channels in each group than its own: a third, and unequal."""
    options = ModelOptions(arch, width, resolution, depth)
    counts = coupling(models.network(options, CLASSES)).counts
    channels = tuple(max(1, count // 3 + place % 2) for place, count in enumerate(counts))
    return ModelOptions(arch, width, resolution, depth, channels=channels)


def name(options):
    words = (options.arch, options.width, options.resolution)
    marks = "_pruned" * bool(options.channels) + "_lanes" * options.lanes + (options.padding or "")
    return "_".join(map(str, words)) + marks


CASES += [pruned("mobilenet_v3_small", 0.5, 32), pruned("squeezenet_1_1", 0.5, 48)]


@pytest.mark.parametrize("options", CASES, ids=name)
def test_shapes_are_those_of_the_converted_file(options):
    made = converted(options, CLASSES)
    network = models.network(options, CLASSES)
    flat = float_model(network)
    assert described(flat) == described(made.flat)
    assert network.parameters == made.parameters
    assert operators.macs(flat) == operators.macs(made.flat)
    assert operators.activation_peak(flat) == operators.activation_peak(made.flat)
    assert operators.file_bytes(flat) == pytest.approx(made.bytes, rel=0.01)


@pytest.mark.parametrize("options", QUANTIZED, ids=name)
def test_int8_shapes_are_those_of_the_quantized_file(options):
    real = quantized(converted(options, CLASSES).flat)
    twin = int8_shapes(float_model(models.network(options, CLASSES)))
    but_name = [(row[:3], row[4:]) for row in described(real)]
    assert [(row[:3], row[4:]) for row in described(twin)] == but_name
    assert planner.plan(twin).summary() == planner.plan(real).summary()
    assert operators.activation_peak(twin) == operators.activation_peak(real)


@pytest.mark.parametrize("arch", KERAS_PARAMETERS)
def test_every_published_model_is_counted(arch):
    network = models.network(ModelOptions(arch, resolution=32), 1000)
    assert network.layers[-1].shape == (1, 1000)
    assert network.parameters == KERAS_PARAMETERS[arch]


def test_the_groups_of_shapes_are_those_of_the_keras_model():
    for options in (ModelOptions("mobilenet_v3_small", 0.5, 32), CASES[9], CASES[7]):
        network, model = models.network(options, CLASSES), models.build(options, CLASSES)
        assert network.name == model.name
        assert coupling(network) == coupling(model)


def test_a_wrong_table_of_channels_is_refused():
    with pytest.raises(RecipeError, match=r"mobilenet_v1_0.25_32 has 14 groups .* got 2 counts"):
        models.network(ModelOptions("mobilenet_v1", 0.25, 32, channels=(8, 8)), CLASSES)


def test_a_model_from_a_file_has_no_shapes_here(tmp_path):
    import tf_keras

    image = tf_keras.Input((8, 8, 3))
    scores = tf_keras.layers.Dense(2, "softmax")(tf_keras.layers.Flatten()(image))
    tf_keras.Model(image, scores).save(tmp_path / "own.keras")
    with pytest.raises(UnsupportedModelError, match=r"own.keras: .* mobilenet_v1"):
        models.network(ModelOptions("custom", weights=str(tmp_path / "own.keras")), 2)


def test_planning_works_where_tensorflow_is_not_installed():
    code = (
        "import sys; sys.modules.update(tensorflow=None, tf_keras=None, scipy=None, cv2=None)\n"
        "from edgecv.cli import main\n"
        "main(['plan', 'efficientnet_b7', '--json'])"
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert shown.returncode == 0, shown.stderr
    assert '"parameters": 66658680' in shown.stdout
