"""Weights from files: Keras's own, ours, and those that must be refused."""

import dataclasses
import warnings
import zipfile

import numpy as np
import pytest
import tf_keras

from edgecv import models
from edgecv.errors import UnsupportedModelError, WeightsError
from edgecv.models import weights
from edgecv.progress import QUIET, Progress
from edgecv.recipe import ModelOptions

APPLICATIONS = tf_keras.applications
SIZE = 64


def randomize(model, seed=0):
    """Every weight and statistic of a model drawn anew; ImageNet's means where Keras puts them."""
    rng = np.random.default_rng(seed)
    for layer in model.layers:
        values = [rng.uniform(0.5, 1.5, value.shape) for value in layer.get_weights()]
        if isinstance(layer, tf_keras.layers.Normalization):
            values = list(map(np.array, ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225], 0)))
        elif len(values) == 4:
            values[1:3] = [value - 1 for value in values[1:3]]
        elif values:
            values = [(value - 1) / np.sqrt(value.size) * 9 for value in values]
        layer.set_weights(values)
    return model


def scores(model, pixels):
    return np.asarray(model(pixels))


@pytest.fixture
def pixels():
    return np.random.default_rng(1).uniform(0, 255, (2, SIZE, SIZE, 3)).astype("float32")


def v1(classes=10, width=0.25):
    return APPLICATIONS.MobileNet((SIZE, SIZE, 3), width, weights=None, classes=classes)


def v2(classes=10):
    return APPLICATIONS.MobileNetV2((SIZE, SIZE, 3), 0.35, weights=None, classes=classes)


def v3(classes=10):
    return APPLICATIONS.MobileNetV3Small(
        (SIZE, SIZE, 3), 0.75, weights=None, classes=classes, include_preprocessing=False
    )


STOCK = [(v1, "mobilenet_v1", 0.25), (v2, "mobilenet_v2", 0.35), (v3, "mobilenet_v3_small", 0.75)]


@pytest.mark.parametrize(("stock", "arch", "width"), STOCK, ids=["v1", "v2", "v3"])
@pytest.mark.parametrize("kind", ["weights.h5", "model.h5", "model.keras"])
def test_kerass_own_files_load_exactly(stock, arch, width, kind, tmp_path, pixels):
    theirs = randomize(stock())
    save(theirs, tmp_path / kind)
    options = ModelOptions(arch, width, SIZE, weights=str(tmp_path / kind))
    assert weights.classes_of(options) == 10
    ours = models.build(options, 10)
    weights.load(ours, options, QUIET)
    centered = pixels / 127.5 - 1
    assert np.abs(scores(ours, centered) - scores(theirs, centered)).max() < 1e-6


def save(model, path):
    """As a file of weights alone, or of the whole model, by its name."""
    with warnings.catch_warnings(action="ignore"):  # Keras finds a whole model in .h5 outdated
        if path.name == "weights.h5":
            model.save_weights(path, save_format="h5")  # the format of the official files
        elif path.name.endswith(".weights.h5"):
            model.save_weights(path)
        else:
            model.save(path)


@pytest.mark.parametrize("kind", ["weights.h5", "model.keras"])
def test_official_efficientnet_takes_its_own_pixels(kind, tmp_path, pixels):
    theirs = randomize(
        APPLICATIONS.EfficientNetB0(weights=None, classes=10, input_shape=(SIZE, SIZE, 3))
    )
    save(theirs, tmp_path / kind)
    options = ModelOptions("efficientnet", resolution=SIZE, weights=str(tmp_path / kind))
    ours = models.build(options, 10)
    weights.load(ours, options, QUIET)
    mean, std = models.normalization(options)
    # With weights="imagenet" Keras divides by the root of the deviation once more than it does here
    trunk = tf_keras.Model(theirs.get_layer("stem_conv_pad").input, theirs.output)
    as_official = scores(trunk, (pixels / 255 - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225])
    assert np.abs(scores(ours, (pixels - mean) / std) - as_official).max() < 1e-5


def test_models_that_start_from_published_weights_keep_their_pixels(tmp_path):
    official = ModelOptions("mobilenet_v3_small", 0.5, 64, weights="imagenet")
    fresh = dataclasses.replace(official, weights="")
    model = models.build(official, 5)
    for start, kind in [(official, "model.keras"), (official, "model.h5"), (fresh, "fresh.keras")]:
        save(model if start is official else models.build(fresh, 5), tmp_path / kind)
        tuned = dataclasses.replace(fresh, weights=str(tmp_path / kind))
        assert models.normalization(tuned) == models.normalization(start)
    again = dataclasses.replace(fresh, weights=str(tmp_path / "model.keras"))
    assert models.build(again, 5).name == model.name  # and so does what is made of them next


@pytest.mark.parametrize("arch", ["squeezenet", "mobilenet_v3_small"])
@pytest.mark.parametrize("kind", ["model.keras", "model.h5", "net.weights.h5"])
def test_own_files_load_exactly(arch, kind, tmp_path, pixels):
    options = ModelOptions(arch, 0.25, SIZE, weights=str(tmp_path / kind))
    before = models.build(ModelOptions(arch, 0.25, 96), 6)  # trained at another resolution
    randomize(before)
    before.compile("adam", "categorical_crossentropy")  # a file with an optimizer in it
    save(before, tmp_path / kind)
    after = models.build(options, 6)
    weights.load(after, options, QUIET)
    assert weights.classes_of(options) == 6
    for mine, other in zip(after.get_weights(), before.get_weights(), strict=True):
        assert np.array_equal(mine, other)


@pytest.mark.parametrize("arch", ["mobilenet_v1", "mobilenet_v2", "squeezenet"])
def test_other_classes_leave_only_the_last_layer_fresh(arch, tmp_path):
    path = tmp_path / "five.keras"
    randomize(before := models.build(ModelOptions(arch, 0.35, SIZE), 5)).save(path)
    options = ModelOptions(arch, 0.35, SIZE, weights=str(path))
    after = models.build(options, 3)
    head = [layer for layer in after.layers if layer.weights][-1]
    fresh = head.get_weights()
    said = []

    class Listener(Progress):
        def line(self, text):
            said.append(text)

    weights.load(after, options, Listener())
    assert all(map(np.array_equal, head.get_weights(), fresh))
    assert said == [f"weights: {path} (last layer new: 3 classes, not 5)"]
    trunk = len(after.layers[:-1])
    for mine, other in zip(after.layers[:trunk], before.layers[:trunk], strict=True):
        if mine is not head:
            assert all(map(np.array_equal, mine.get_weights(), other.get_weights()))


def test_weights_that_are_no_file():
    assert weights.classes_of(ModelOptions()) is None
    assert weights.classes_of(ModelOptions(weights="random")) is None
    assert weights.classes_of(ModelOptions(weights="imagenet")) == 1000


def refused(options, words, classes=10):
    """The one line that `load` refuses these weights with."""
    model = models.build(ModelOptions(options.arch, options.width, SIZE, options.depth), classes)
    with pytest.raises((WeightsError, UnsupportedModelError), match=words) as caught:
        weights.load(model, options, QUIET)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("kind", ["model.keras", "weights.h5"])
def test_file_of_another_architecture(kind, tmp_path):
    path = tmp_path / kind
    save(models.build(ModelOptions("mobilenet_v2", 0.35, SIZE), 10), path)
    named = {"resolution": SIZE, "weights": str(path)}
    refused(
        ModelOptions("mobilenet_v1", 0.25, **named),
        r"of mobilenet_v1_0.25_64: 105 layers with weights, not 55",
    )
    shapes = r"of mobilenet_v2_0.5_64: layer 11, .*, has the shapes \[\(1, 1, 48, 8\)\], not"
    refused(ModelOptions("mobilenet_v2", 0.5, **named), shapes)


def test_truncated_and_foreign_files(tmp_path):
    model = models.build(ModelOptions("mobilenet_v1", 0.25, SIZE), 10)
    for name in ("model.keras", "model.h5"):
        save(model, tmp_path / name)
        cut = tmp_path / f"cut_{name}"
        cut.write_bytes((tmp_path / name).read_bytes()[:100_000])
        refused(
            ModelOptions("mobilenet_v1", 0.25, weights=str(cut)),
            r"cannot be read as a whole \.keras",
        )
    (tmp_path / "photo.h5").write_text("<html>")
    refused(
        ModelOptions("mobilenet_v1", 0.25, weights=str(tmp_path / "photo.h5")), "cannot be read"
    )
    with zipfile.ZipFile(tmp_path / "other.keras", "w") as archive:
        archive.writestr("hello.txt", "hello")
    refused(
        ModelOptions("mobilenet_v1", 0.25, weights=str(tmp_path / "other.keras")), "cannot be read"
    )
    refused(ModelOptions("mobilenet_v1", 0.25, weights="imagnet"), "did you mean 'imagenet'")


def test_a_model_file_is_never_run(tmp_path):
    """A Lambda layer in a .keras file holds code; only the arrays beside it are looked at."""
    marker = tmp_path / "ran"
    path = tmp_path / "trap.keras"
    image = tf_keras.Input((SIZE, SIZE, 3))
    code = f"__import__('pathlib').Path({str(marker)!r}).touch()"
    trap = tf_keras.layers.Lambda(eval(f"lambda x: [x, {code}][0]"))
    tf_keras.Model(image, tf_keras.layers.Dense(2)(trap(image))).save(path)
    marker.unlink()
    refused(ModelOptions("mobilenet_v1", 0.25, weights=str(path)), "is a Lambda")
    assert not marker.exists()
