"""Whole Keras models of others as the weights of one of our architectures: scale and layers."""

import json
import warnings

import cv2
import numpy as np
import pytest
from click.testing import CliRunner

from edgecv import models
from edgecv.artifacts import CENTERED, IMAGENET
from edgecv.cli import main
from edgecv.errors import EdgecvError
from edgecv.models import foreign, weights
from edgecv.progress import QUIET, Progress
from edgecv.recipe import ModelOptions
from edgecv.tflite import runtime
from tests.keras_files import keras_of, randomize

SIDE, CLASSES = 32, 3
UNIT = ((0, 0, 0), (255, 255, 255))
MEAN, VARIANCE = [120.0, 110.0, 100.0], [3600.0, 2500.0, 1600.0]
pytestmark = pytest.mark.filterwarnings("ignore")


def trunk(keras, **changes):
    """Keras's own MobileNet, a quarter as wide, without its head."""
    return keras.applications.MobileNet(
        (SIDE, SIDE, 3), alpha=0.25, include_top=False, weights=None, **changes
    )


def transfer(keras, scaling, units=CLASSES, activation="softmax"):
    """What people build: scaling, a backbone called as one layer, a head of their own."""
    layers = keras.layers
    image = keras.Input((SIDE, SIDE, 3))
    x = image
    for layer in scaling(layers):
        x = layer(x)
    x = layers.GlobalAveragePooling2D()(trunk(keras)(x, training=False))
    return keras.Model(image, layers.Dense(units, activation=activation)(layers.Dropout(0.2)(x)))


def adapted(layers):
    layer = layers.Normalization()
    layer.adapt(np.random.default_rng(1).uniform(0, 255, (8, SIDE, SIDE, 3)))
    return [layer]


def in_a_row(keras):
    """The scaling, and then all layers of the backbone, in one flat functional model."""
    base = keras.applications.MobileNet(
        (SIDE, SIDE, 3),
        alpha=0.25,
        weights=None,
        classes=CLASSES,
        input_tensor=keras.layers.Rescaling(1 / 255)(keras.Input((SIDE, SIDE, 3))),
    )
    return keras.Model(base.input, base.output)


MODELS = {
    "rescaling": lambda keras: transfer(keras, lambda layers: [layers.Rescaling(1 / 255)]),
    "centered": lambda keras: transfer(keras, lambda layers: [layers.Rescaling(1 / 127.5, -1)]),
    "normalization": lambda keras: transfer(
        keras, lambda layers: [layers.Normalization(mean=MEAN, variance=VARIANCE)]
    ),
    "adapted": lambda keras: transfer(keras, adapted),
    "both": lambda keras: transfer(
        keras,
        lambda layers: [
            layers.RandomFlip("horizontal"),
            layers.Rescaling(1 / 255),
            layers.Normalization(
                mean=[0.485, 0.456, 0.406], variance=[0.229**2, 0.224**2, 0.225**2]
            ),
        ],
    ),
    "logits": lambda keras: transfer(
        keras, lambda layers: [layers.Rescaling(1 / 255)], activation=None
    ),
    "one": lambda keras: transfer(
        keras, lambda layers: [layers.Rescaling(1 / 255)], 1, activation="sigmoid"
    ),
    "flat": in_a_row,
    "plain": lambda keras: transfer(keras, lambda _: []),
}
SCALES = {
    "rescaling": UNIT,
    "centered": CENTERED,
    "normalization": (tuple(MEAN), tuple(np.sqrt(VARIANCE))),
    "both": IMAGENET,
    "plain": CENTERED,
}


@pytest.fixture(scope="module")
def pixels():
    images = np.random.default_rng(4).uniform(0, 255, (4, SIDE, SIDE, 3))
    return images.astype(np.float32)


@pytest.fixture(scope="module")
def files(tmp_path_factory, pixels):
    """By name and version of Keras: the file without its ending, and the scores of `pixels`."""
    made = {}
    root = tmp_path_factory.mktemp("others")
    for version in (2, 3):
        keras = keras_of(version)
        for name, build in MODELS.items():
            model = build(keras)
            randomize(model)
            head = [layer for layer in model.layers if layer.weights][-1]
            head.set_weights([array / 50 for array in head.get_weights()])  # no class is certain
            with warnings.catch_warnings(action="ignore"):
                for ending in (".keras", ".h5"):
                    model.save(root / f"{name}{version}{ending}")
            images = pixels / 127.5 - 1 if name == "plain" else pixels
            made[name, version] = (
                root / f"{name}{version}",
                probabilities(model(images, training=False)),
            )
    return made


def probabilities(scores):
    """What a model gives as probabilities of its classes; of one score, those of two."""
    scores = np.asarray(scores, np.float64)
    if scores.shape[1] == 1:
        return np.concatenate([1 - scores, scores], 1)
    if np.allclose(scores.sum(1), 1):
        return scores
    raised = np.exp(scores - scores.max(1, keepdims=True))
    return raised / raised.sum(1, keepdims=True)


def options_for(path):
    return ModelOptions("mobilenet_v1", 0.25, SIDE, weights=str(path))


FORMATS = [[(".h5", 2), (".keras", 3)], [(".keras", 2), (".h5", 3)]]
CASES = [  # every model in both formats and by both versions; all four pairs in turn
    (name, *written)
    for place, name in enumerate(MODELS)
    for written in FORMATS[place % len(FORMATS)]
]


@pytest.mark.parametrize(("name", "ending", "version"), CASES)
def test_an_architecture_gives_the_answers_of_the_file(files, pixels, name, ending, version):
    start, scores = files[name, version]
    options = options_for(start.with_suffix(ending))
    classes = weights.classes_of(options)
    assert classes == scores.shape[1]
    model = models.build(options, classes)
    weights.load(model, options, QUIET)
    mean, std = models.normalization(options)
    assert np.abs(np.asarray(model((pixels - mean) / std)) - scores).max() < 1e-4
    if name in SCALES:
        assert np.allclose((mean, std), SCALES[name], rtol=1e-6)
    if name in ("centered", "plain", "both"):
        assert (mean, std) == SCALES[name]  # exactly: they have names


def test_an_assumption_is_made_of_a_plain_file_alone(files, tmp_path):
    def assumed(path):
        return weights.assumptions(options_for(path))

    path = files["plain", 3][0].with_suffix(".keras")
    assert assumed(path) == [f"{path}: {foreign.ASSUMED_SCALE}"]
    assert not assumed(files["rescaling", 3][0].with_suffix(".keras"))
    assert not assumed(files["centered", 2][0].with_suffix(".h5"))
    ours = models.build(options_for(files["rescaling", 3][0].with_suffix(".keras")), 3)
    ours.save(tmp_path / "ours.keras")
    assert not assumed(tmp_path / "ours.keras")
    assert models.normalization(options_for(tmp_path / "ours.keras")) == UNIT
    ours.save_weights(tmp_path / "alone.h5", save_format="h5")
    assert len(assumed(tmp_path / "alone.h5")) == 1


def test_other_classes_leave_the_last_layer_fresh_and_the_scale_as_it_is(files):
    options = options_for(files["rescaling", 3][0].with_suffix(".keras"))
    model, said = models.build(options, 7), []

    class Listener(Progress):
        def line(self, text):
            said.append(text)

    weights.load(model, options, Listener())
    assert said[0].endswith("(last layer new: 7 classes, not 3)")
    assert "scales them itself" in said[1]
    assert models.normalization(options) == UNIT


def other_strides(keras):
    """MobileNet's weights in layers that step otherwise, as people make it for small images."""
    model = transfer(keras, lambda layers: [layers.Rescaling(1 / 255)])
    base = next(layer for layer in model.layers if hasattr(layer, "layers"))
    base.get_layer("conv1").strides = (1, 1)
    return model


def inverted(keras):
    """Dark is bright: no mean and deviation."""
    return transfer(keras, lambda layers: [layers.Rescaling(-1 / 255, 1)])


def deeper(keras):
    """One layer more than the architecture has."""
    base = transfer(keras, lambda layers: [layers.Rescaling(1 / 255)], 8, activation="relu")
    return keras.Sequential([base, keras.layers.Dense(CLASSES, activation="softmax")])


def with_code(keras):
    """Scaling by code, which is not run."""
    return transfer(keras, lambda layers: [layers.Lambda(lambda x: x / 255)])


def many_sigmoids(keras):
    """Labels that do not exclude each other."""
    return transfer(keras, lambda layers: [layers.Rescaling(1 / 255)], activation="sigmoid")


@pytest.mark.parametrize(
    ("build", "words"),
    [
        (other_strides, "computes something else"),
        (inverted, "computes something else"),
        (deeper, "layers with weights, not"),
        (with_code, "is a Lambda"),
        (many_sigmoids, "must end in a softmax"),
    ],
)
def test_what_cannot_be_right_is_refused_in_one_line(tmp_path, build, words):
    model = build(keras_of(2))
    randomize(model)
    path = tmp_path / "model.keras"
    model.save(path)
    options = options_for(path)
    with pytest.raises(EdgecvError, match=words) as caught:
        ours = models.build(options, CLASSES)
        weights.load(ours, options, QUIET)
    line = str(caught.value)
    assert "\n" not in line
    assert str(path) in line
    assert "edgecv convert" in line or "--mean" in line or "softmax" in line


def test_weights_alone_that_were_scaled_are_refused(tmp_path):
    keras = keras_of(2)
    path = tmp_path / "alone.h5"
    in_a_row(keras).save_weights(path, save_format="h5")
    with pytest.raises(EdgecvError, match="save the whole model"):
        models.normalization(options_for(path))


# -- the command line ----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    root, rng = tmp_path_factory.mktemp("photos"), np.random.default_rng(8)
    for number in range(CLASSES):
        (root / str(number)).mkdir()
        for index in range(10):
            image = rng.integers(0, 255, (SIDE, SIDE, 3)).astype(np.uint8)
            cv2.imwrite(str(root / str(number) / f"{index}.png"), image)
    return root


def built(path, photos, out):
    """The report of a build from a file of weights, without training."""
    flags = ["--width", "0.25", "--res", "32", "--epochs", "0", "--quantize", "none", "--json"]
    named = ["--weights", path, "--data", photos, "-o", out]
    shown = CliRunner().invoke(main, ["build", "mobilenet_v1", *flags, *map(str, named)])
    assert shown.exit_code == 0, shown.output
    return json.loads(shown.stdout), shown.stderr


def scores_of(tflite, images):
    interpreter = runtime.load(tflite.read_bytes())
    answers = []
    for image in images:
        interpreter.set_tensor(interpreter.get_input_details()[0]["index"], image[None])
        interpreter.invoke()
        answers.append(interpreter.get_tensor(interpreter.get_output_details()[0]["index"])[0])
    return np.array(answers)


def test_a_build_takes_the_pixels_of_the_file_and_so_does_one_that_starts_from_it(
    files, photos, pixels, tmp_path
):
    start, scores = files["rescaling", 3]
    report, said = built(start.with_suffix(".keras"), photos, tmp_path / "first")
    assert "scales them itself" in said
    assert not any("scales pixels" in warning for warning in report["warnings"])
    again, _ = built(tmp_path / "first" / "model.keras", photos, tmp_path / "second")
    assert not any("scales pixels" in warning for warning in again["warnings"])
    for run in ("first", "second"):
        tflite = tmp_path / run / "model_float32.tflite"
        answers = scores_of(tflite, (pixels / 127.5 - 1).astype(np.float32))
        assert np.abs(answers - scores).max() < 1e-4


def test_what_is_assumed_of_a_plain_file_stands_in_the_report_once(files, photos, tmp_path):
    path = files["plain", 2][0].with_suffix(".h5")
    report, said = built(path, photos, tmp_path / "run")
    words = f"{path}: {foreign.ASSUMED_SCALE}"
    assert report["warnings"].count(words) == 1
    assert said.count(words) == 1
