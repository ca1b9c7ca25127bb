"""Quantization-aware training: what its twin rounds, what it learns, what it refuses."""

import dataclasses

import numpy as np
import pytest

from edgecv import data, models
from edgecv.artifacts import TFLiteModel
from edgecv.errors import RecipeError
from edgecv.pipeline.inputs import resolve_recipe
from edgecv.progress import Progress
from edgecv.quantize.activations import activations, dequantized
from edgecv.quantize.engine import Stages, post_training
from edgecv.quantize.probe import scores_tensor
from edgecv.recipe import DataOptions, ModelOptions, QuantizeOptions, Recipe, TrainOptions
from edgecv.tflite import flatbuffer
from edgecv.tflite.graph import Graph
from edgecv.train import train_for_int8
from tests.builds import invoke
from tests.interrupted import Killed, KilledAfter

FAMILIES = (
    "mobilenet_v1",
    "mobilenet_v2",
    "mobilenet_v3_small",
    "squeezenet_1_1",
    "efficientnet_b0",
    "efficientnet_lite0",
)
SMALL = Recipe(
    model=ModelOptions("squeezenet_1_1", width=0.25, resolution=48),
    train=TrainOptions(images_per_epoch=64, qat=True, qat_epochs=2),
)
PLAIN = Stages(equalize=False, correct=False, round=False)


def model_of(options):
    """A model with random weights, always the same, whose norms have seen some images."""
    import tf_keras

    tf_keras.utils.set_random_seed(1)
    model = models.build(options, 10)
    for norm in norms(model):
        norm.momentum = 0.0
    model(pixels(signs().calibration(options.resolution, 8)), training=True)
    return model


def pixels(samples):
    return np.stack([each.image for each in samples]).astype(np.float32) / 127.5 - 1


def signs():
    return data.open(DataOptions(), 0, Progress(), SMALL.train.images_per_epoch)


@pytest.mark.slow
@pytest.mark.parametrize("arch", FAMILIES)
def test_the_twin_loses_to_rounding_what_the_int8_file_loses(arch, tmp_path):
    from edgecv.convert.keras import convert
    from edgecv.train.qat import add_rounding

    model = model_of(ModelOptions(arch, width=0.25, resolution=64))
    samples = signs().calibration(64, 8)
    images = [each.image for each in samples]
    twin = add_rounding(model)
    for norm in norms(twin):
        norm.trainable = False
    twin(pixels(samples), training=True)  # shows it the ranges
    float32 = convert(model, tmp_path / "float.tflite")
    found = post_training(float32, images, tmp_path / "int8.tflite", "int8", "minmax", stages=PLAIN)
    exact, rounded = (centered(np.log(each(pixels(samples)).numpy())) for each in (model, twin))
    stored = centered(logits(found.file, images))
    lost = np.square(rounded - exact).mean() / np.square(stored - exact).mean()
    assert 0.4 < lost < 2.5


def norms(model):
    """The batch-norm layers, the wrapped ones too."""
    import tf_keras

    inner = [getattr(layer, "layer", layer) for layer in model.layers]
    return [each for each in inner if isinstance(each, tf_keras.layers.BatchNormalization)]


def logits(model: TFLiteModel, images):
    """What an int8 model computes before its softmax [images, classes]."""
    flat = flatbuffer.read(model.path)
    graph = Graph(flat)
    tensor = scores_tensor(graph)
    seen = activations(flat, [tensor], images)
    return np.stack([dequantized(graph, tensor, each(tensor)).ravel() for each in seen])


def centered(values):
    """Logits are known but for a constant."""
    return values - values.mean(1, keepdims=True)


@pytest.mark.slow
@pytest.mark.parametrize("arch", ["mobilenet_v3_small", "squeezenet_1_1"])
def test_training_changes_every_kernel_and_leaves_a_plain_float_model(arch, tmp_path):
    recipe = dataclasses.replace(SMALL, model=ModelOptions(arch, width=0.25, resolution=48))
    recipe = dataclasses.replace(recipe, train=dataclasses.replace(SMALL.train, qat_epochs=1))
    model = model_of(recipe.model)
    before = model.get_weights()
    trained = train_for_int8(recipe, model, signs(), tmp_path, Progress())
    assert [each.name for each in trained.weights] == [each.name for each in model.weights]
    kernels = [each.numpy() for each in trained.weights if "kernel" in each.name]
    assert all(np.unique(each).size > 0.9 * each.size for each in kernels)  # not rounded
    learned = [each.numpy() for each in model.weights if "kernel" in each.name]
    changed = [(mine != theirs).any() for mine, theirs in zip(kernels, learned, strict=True)]
    assert np.mean(changed) > 0.9
    for mine, theirs in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(mine, theirs)


def test_training_that_was_killed_ends_as_if_it_was_not(tmp_path):
    def trained(folder, progress):
        return train_for_int8(SMALL, model_of(SMALL.model), signs(), tmp_path / folder, progress)

    undisturbed = trained("a", Progress())
    with pytest.raises(Killed):
        trained("b", KilledAfter(epoch=2, stage="int8 epoch"))
    resumed = trained("b", Progress())
    for mine, theirs in zip(undisturbed.get_weights(), resumed.get_weights(), strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=1e-2, atol=1e-3)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        pytest.param({"quantize": QuantizeOptions(scheme="float16")}, "float16", id="scheme"),
        pytest.param({"model": ModelOptions(weights="random")}, "random", id="random"),
        pytest.param({"model": ModelOptions(weights="imagenet")}, "--data DIR", id="no images"),
    ],
)
def test_what_training_for_int8_cannot_go_with_is_said(changes, said):
    with pytest.raises(RecipeError, match=said) as caught:
        resolve_recipe(dataclasses.replace(SMALL, **changes))
    assert str(caught.value).startswith("--qat: ")
    assert "\n" not in str(caught.value)


def test_the_command_line_says_it_too(tmp_path):
    flags = ("--qat", "--quantize", "float16", "-o", tmp_path / "run")
    shown = invoke("build", "mobilenet", *flags)
    assert shown.exit_code == 2
    assert "--qat" in shown.stderr.splitlines()[-1]
    assert not (tmp_path / "run").exists()
