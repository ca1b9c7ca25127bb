"""Every architecture against Keras's own, or against what its authors published."""

import dataclasses

import numpy as np
import pytest
import tf_keras

from edgecv import models
from edgecv.artifacts import CENTERED
from edgecv.errors import RecipeError
from edgecv.models import Architecture
from edgecv.recipe import ModelOptions

CLASSES = 10


def stock(arch, width, resolution, depth=None):
    """Keras's model of that shape, preprocessing left out where Keras can leave it out."""
    shape, rest = (resolution, resolution, 3), {"weights": None, "classes": CLASSES}
    applications = tf_keras.applications
    if arch == "mobilenet_v1":
        return applications.MobileNet(shape, alpha=width, **rest)
    if arch == "mobilenet_v2":
        return applications.MobileNetV2(shape, alpha=width, **rest)
    if arch.startswith("mobilenet_v3"):
        build = applications.MobileNetV3Small if "small" in arch else applications.MobileNetV3Large
        minimalistic = arch.endswith("minimalistic")
        return build(shape, width, minimalistic, include_preprocessing=False, **rest)
    # Only the named EfficientNets are public; the function under them takes any width and depth.
    build = applications.efficientnet.EfficientNetB0
    general = build.__wrapped__ if hasattr(build, "__wrapped__") else build
    return general.__globals__["EfficientNet"](width, depth, resolution, input_shape=shape, **rest)


def weighted(model):
    """The layers with weights, in order, without the preprocessing of a stock model."""
    return [each for each in model.layers if each.weights and "normalization" not in each.name[:13]]


def randomize(model, seed=0):
    """Weights and statistics as a training might leave them: no zeros, no ones."""
    rng = np.random.default_rng(seed)
    for layer in weighted(model):
        values = layer.get_weights()
        if isinstance(layer, tf_keras.layers.BatchNormalization):
            values = [rng.uniform(0.5, 1.5, value.shape) for value in values]
            values[1:3] = [value - 1 for value in values[1:3]]  # beta and mean, of either sign
        else:
            kernel = values[0].shape
            inputs = np.prod(kernel[:2] if "Depthwise" in type(layer).__name__ else kernel[:-1])
            values = [rng.normal(0, inputs**-0.5, value.shape) for value in values]
        layer.set_weights(values)


STOCK = [
    ("mobilenet_v1", 0.25, 96),
    ("mobilenet_v1", 0.5, 97),
    ("mobilenet_v1", 1.0, 51),
    ("mobilenet_v1", 1.3, 75),
    ("mobilenet_v2", 0.35, 96),
    ("mobilenet_v2", 0.56, 97),
    ("mobilenet_v2", 1.0, 51),
    ("mobilenet_v2", 1.4, 75),
    ("mobilenet_v3_small", 1.0, 97),
    ("mobilenet_v3_small", 0.3, 96),
    ("mobilenet_v3_small", 1.3, 75),
    ("mobilenet_v3_large", 0.75, 96),
    ("mobilenet_v3_large", 1.25, 51),
    ("mobilenet_v3_small_minimalistic", 1.0, 75),
    ("mobilenet_v3_large_minimalistic", 0.5, 96),
    ("efficientnet_b0", 1.0, 97, 1.0),
    ("efficientnet_b2", 1.1, 51, 1.2),
    ("efficientnet_b0", 0.35, 75, 0.5),
]


@pytest.mark.parametrize("case", STOCK, ids=lambda case: "_".join(map(str, case)))
def test_scores_equal_keras_with_the_same_weights(case):
    theirs = stock(*case)
    ours = models.build(ModelOptions(*case[:3], *case[3:]), CLASSES)
    randomize(theirs)
    for mine, other in zip(weighted(ours), weighted(theirs), strict=True):
        assert [w.shape for w in mine.weights] == [w.shape for w in other.weights], mine.name
        mine.set_weights(other.get_weights())
    pixels = np.random.default_rng(1).uniform(0, 255, (2, case[2], case[2], 3)).astype("float32")
    ours_in = pixels / 127.5 - 1
    theirs_in = pixels
    if case[0].startswith("efficientnet"):
        ours_in = pixels / 255  # an unset Normalization layer changes nothing
    else:
        theirs_in = ours_in
    scores, wanted = ours(ours_in).numpy(), theirs(theirs_in).numpy()
    assert 0.01 < np.ptp(wanted) < 0.99  # or the comparison would say nothing
    assert np.abs(scores - wanted).max() < 1e-5


KERAS_PARAMETERS = {  # at 1000 classes, printed by Keras; EfficientNet's less 7 of preprocessing
    "mobilenet_v1": 4_253_864,
    "mobilenet_v2": 3_538_984,
    "mobilenet_v3_small": 2_554_968,
    "mobilenet_v3_large": 5_507_432,
    "mobilenet_v3_small_minimalistic": 2_056_848,
    "mobilenet_v3_large_minimalistic": 3_948_688,
    "squeezenet_1_0": 1_248_424,  # the paper's 50x fewer than AlexNet
    "squeezenet_1_1": 1_235_496,
    "efficientnet_b0": 5_330_571 - 7,
    "efficientnet_b1": 7_856_239 - 7,
    "efficientnet_b2": 9_177_569 - 7,
    "efficientnet_b3": 12_320_535 - 7,
    "efficientnet_b4": 19_466_823 - 7,
    "efficientnet_b5": 30_562_527 - 7,
    "efficientnet_b6": 43_265_143 - 7,
    "efficientnet_b7": 66_658_687 - 7,
}
COUNTED = {f"efficientnet_b{number}" for number in range(3, 7)}  # by test_shapes, with the rest


@pytest.mark.parametrize("arch", sorted(KERAS_PARAMETERS.keys() - COUNTED))
def test_parameters(arch):
    model = models.build(ModelOptions(arch, resolution=32), 1000)
    assert model.count_params() == KERAS_PARAMETERS[arch]


def macs(model):
    """Multiplications of convolutions and dense layers for one image."""
    total = 0
    for layer in model.layers:
        if isinstance(layer, tf_keras.layers.Conv2D | tf_keras.layers.DepthwiseConv2D):
            total += int(np.prod(layer.output_shape[1:3])) * int(np.prod(layer.weights[0].shape))
        elif isinstance(layer, tf_keras.layers.Dense):
            total += int(np.prod(layer.weights[0].shape))
    return total


PUBLISHED = {  # millions of trained parameters and of multiply-adds
    # arXiv:1704.04861 table 8, arXiv:1801.04381 table 4, arXiv:1905.02244 tables 3 and 4
    "mobilenet_v1": (4.2, 569),
    "mobilenet_v3_large": (5.5, 217),
    # tensorflow/models research/slim/nets/mobilenet/README.md. For the small minimalistic one it
    # says 65, from before its last layers shrank; the published weights have 52.3.
    "mobilenet_v3_large_minimalistic": (3.9, 209),
    "mobilenet_v3_small_minimalistic": (2.0, 52.3),
    # tensorflow/tpu models/official/efficientnet/lite/README.md
    "efficientnet_lite0": (4.7, 407),
    "efficientnet_lite1": (5.4, 631),
    "efficientnet_lite2": (6.1, 899),
    "efficientnet_lite3": (8.2, 1440),
    "efficientnet_lite4": (13.0, 2640),
}


@pytest.mark.parametrize("arch", PUBLISHED)
def test_published_parameters_and_macs(arch):
    model = models.build(ModelOptions(arch), 1000)
    parameters = sum(int(np.prod(weight.shape)) for weight in model.trainable_weights)
    counted = macs(model)
    if "lite" in arch:  # counted by their authors with batch normalization, 3 for each value
        norms = [each for each in model.layers if "BatchNorm" in type(each).__name__]
        counted += 3 * sum(int(np.prod(norm.output_shape[1:])) for norm in norms)
    assert round(parameters / 1e6, 1) == PUBLISHED[arch][0]
    assert counted / 1e6 == pytest.approx(PUBLISHED[arch][1], rel=0.005)


@pytest.mark.parametrize(
    "options",
    [
        ModelOptions("mobilenet_v1", 0.1, 32),
        ModelOptions("squeezenet", 0.5, 32),
        ModelOptions("squeezenet_1_0", 0.25, 33),
        ModelOptions("mobilenet_v3_large", 0.1, 32),
        ModelOptions("efficientnet_lite0", 0.3, 47),
    ],
    ids=lambda options: options.arch,
)
def test_every_family_scales_down_and_gives_probabilities(options):
    model = models.build(options, 7)
    randomize(model)
    image = np.random.default_rng(0).uniform(-1, 1, (3, *model.input_shape[1:])).astype("float32")
    scores = model(image).numpy()
    assert model.input_names == ["image"]
    assert model.layers[-1].name == "scores"
    assert scores.shape == (3, 7)
    assert scores.sum(axis=1) == pytest.approx(1, abs=1e-5)
    assert np.ptp(scores[:, 0]) > 0  # different images, different scores


SMALL = [
    ModelOptions("mobilenet_v1", 0.25, 64),
    ModelOptions("mobilenet_v3_small", 0.25, 64),
    ModelOptions("squeezenet", 0.25, 64),
    ModelOptions("efficientnet", 0.25, 64, depth=0.3),
]


@pytest.mark.parametrize("options", SMALL, ids=lambda options: options.arch)
def test_pruning_takes_every_layer(options):
    from tensorflow_model_optimization.sparsity import keras as sparsity

    model = models.build(options, 5)
    pruned = sparsity.prune_low_magnitude(model)  # refuses bare operators and preprocessing
    assert sparsity.strip_pruning(pruned).count_params() == model.count_params()


@pytest.mark.parametrize("options", SMALL[1:], ids=lambda options: options.arch)
def test_keras_file_keeps_the_model(options, tmp_path):
    model = models.build(options, 5)
    randomize(model)
    model.save(tmp_path / "model.keras")
    again = tf_keras.models.load_model(tmp_path / "model.keras")
    image = np.random.default_rng(0).uniform(-1, 1, (2, 64, 64, 3)).astype("float32")
    assert np.array_equal(again(image), model(image))


def test_resolve_fills_in_the_variant():
    resolved = models.resolve(ModelOptions("efficientnet"))
    assert resolved == Architecture("efficientnet_b0", 1.0, 224, 1.0)
    assert models.resolve(resolved) == resolved
    assert models.resolve(ModelOptions("mobilenet", 0.5)) == Architecture("mobilenet_v1", 0.5, 224)
    lite = models.resolve(ModelOptions("efficientnet_lite4", resolution=96))
    assert lite == Architecture("efficientnet_lite4", 1.4, 96, 1.8)


@pytest.mark.parametrize(
    ("arch", "width", "depth"),
    [
        ("efficientnet_b3", 1.2, 1.4),
        ("efficientnet_b7", 2.0, 3.1),
    ],
)
def test_scaled_b0_is_a_larger_one(arch, width, depth):
    scaled = models.network(ModelOptions("efficientnet", width, 64, depth), 1000)
    assert scaled.parameters == KERAS_PARAMETERS[arch]


def test_unknown_arch_names_the_nearest():
    with pytest.raises(RecipeError, match=r"no 'mobilnet_v2'; did you mean 'mobilenet_v2'.*b7"):
        models.resolve(ModelOptions("mobilnet_v2"))


def test_depth_is_efficientnets_alone():
    with pytest.raises(RecipeError, match="mobilenet_v2 has no depth to scale, got 2"):
        models.resolve(ModelOptions("mobilenet_v2", depth=2.0))


def test_only_official_efficientnets_take_imagenet_pixels():
    official = ModelOptions("efficientnet_b3", weights="imagenet")
    mean, std = models.normalization(official)
    assert mean == pytest.approx((123.675, 116.28, 103.53))
    assert std == pytest.approx((58.395, 57.12, 57.375))
    for arch, weights in [("efficientnet_b3", ""), ("mobilenet_v2", "imagenet")]:
        other = dataclasses.replace(official, arch=arch, weights=weights)
        assert models.normalization(other) == CENTERED
