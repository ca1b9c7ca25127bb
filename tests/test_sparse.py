"""Zeros: made by tfmot's schedules, kept by int8 and by training for int8, counted in the file."""

import numpy as np
import pytest
import tf_keras

from edgecv import models
from edgecv.convert.keras import convert
from edgecv.data import Signs
from edgecv.errors import UnsupportedModelError
from edgecv.progress import Progress
from edgecv.prune.magnitude import pad_strides, pruned_layers, sparse_twin, strip_twin
from edgecv.quantize import rounding
from edgecv.quantize.engine import post_training
from edgecv.recipe import ModelOptions, PruneOptions, Recipe, TrainOptions
from edgecv.tflite import flatbuffer, operators, runtime, sparsity
from edgecv.train import train_for_int8
from tests.live_models import enliven, smooth_images

SIDE, STEPS = 48, 6


def live(arch, width=0.25, side=SIDE):
    tf_keras.utils.set_random_seed(2)
    model = models.build(ModelOptions(arch, width, side), 10)
    return enliven(model, smooth_images(16, side))


def made_sparse(model, **options):
    """The model after a few batches in which its weights were pruned."""
    chosen = PruneOptions(**options)
    plan = sparse_twin(model, chosen, STEPS)
    plan.model.compile("sgd", "categorical_crossentropy", run_eagerly=True)  # no graph for a few
    plan.callback.set_model(plan.model)
    plan.callback.on_train_begin()
    images = smooth_images(4, model.input_shape[1]).astype(np.float32) / 127.5 - 1
    for _ in range(STEPS):
        plan.model.train_on_batch(images, np.eye(10)[:4])
    plan.callback.on_epoch_end(0)
    return strip_twin(plan.model)


def int8_zeros(model, folder):
    """Zeros by layer of the int8 file that the whole engine makes."""
    images = list(smooth_images(8, model.input_shape[1], seed=3))
    reference = convert(model, folder / "float32.tflite")
    post_training(reference, images, folder / "int8.tflite", method="minmax")
    return {row.layer: row for row in sparsity.zeros(flatbuffer.read(folder / "int8.tflite"))}


@pytest.mark.parametrize(
    ("arch", "options", "share"),
    [
        ("mobilenet_v3_small", {"kind": "magnitude", "sparsity": 0.7}, 0.7),
        ("squeezenet_1_1", {"kind": "2:4"}, 0.5),
    ],
)
def test_the_int8_file_has_the_zeros_layer_by_layer(arch, options, share, tmp_path):
    model = made_sparse(live(arch), **options)
    kernels = {name: model.get_layer(name).kernel.numpy() for name in all_kernels(model)}
    chosen = pruned_layers(model, PruneOptions(**options))
    assert all((kernels[name] == 0).mean() == pytest.approx(share, abs=0.01) for name in chosen)
    rows = int8_zeros(model, tmp_path)
    pruned = sorted(row.share for row in rows.values() if row.share > 0.3)
    assert len(pruned) == len(chosen) < len(rows)
    assert pruned[0] >= share - 0.01
    if options["kind"] == "2:4":
        assert sum(row.two_of_four for row in rows.values()) == len(chosen)


def all_kernels(model):
    return [
        layer.name
        for layer in model.layers
        if isinstance(layer, (tf_keras.layers.Conv2D, tf_keras.layers.Dense))
        and not isinstance(layer, tf_keras.layers.DepthwiseConv2D)
    ]


def test_ends_and_gates_are_pruned_when_told():
    model = live("mobilenet_v3_small")
    usual = set(pruned_layers(model, PruneOptions(kind="magnitude")))
    left = set(all_kernels(model)) - usual
    assert {"stem_conv", "logits"} < left
    assert all("_se_" in name for name in left - {"stem_conv", "logits"})
    everything = PruneOptions(kind="magnitude", include=("first", "last", "se"))
    assert set(pruned_layers(model, everything)) == set(all_kernels(model))


def test_training_for_int8_leaves_zeros_alone(tmp_path):
    model = made_sparse(live("squeezenet_1_1"), kind="magnitude")
    images = Signs(seed=0, images_per_epoch=64)
    options = ModelOptions("squeezenet_1_1", 0.25, SIDE)
    recipe = Recipe(model=options, train=TrainOptions(qat=True, qat_epochs=1, learning_rate=0.3))
    trained = train_for_int8(recipe, model, images, tmp_path, Progress())
    for name in pruned_layers(model, PruneOptions(kind="magnitude")):
        before, after = (each.get_layer(name).kernel.numpy() for each in (model, trained))
        assert not after[before == 0].any()
        assert np.abs(after - before).max() > 1e-4  # it did learn


@pytest.mark.parametrize(("share", "least", "most"), [(0.5, 21, 40), (0.1, 64, 127)])
def test_a_pruned_layer_has_fewer_levels(share, least, most):
    chance = np.random.default_rng(4)
    weights = chance.normal(size=(1, 12, 64)) * (chance.random((1, 12, 64)) >= share)
    scales = rounding.scales(weights, np.eye(64)[np.newaxis], np.zeros((1, 12)))
    levels = np.abs(rounding.nearest(weights, scales)).max(2)
    assert levels.min() >= least and levels.max() <= most


def test_rounding_keeps_what_is_pruned():
    random = np.random.default_rng(0)
    inputs = random.normal(size=(1, 500, 24)) @ random.normal(size=(24, 24))
    weights = random.normal(size=(1, 10, 24)) * (random.random((1, 10, 24)) < 0.5)
    moments = inputs.transpose(0, 2, 1) @ inputs / 500
    scales = np.abs(weights).max(2) / 3
    chosen = rounding.rounded(weights, scales, moments, weights != 0)
    assert not chosen[weights == 0].any()
    free = rounding.rounded(weights, scales, moments, np.ones_like(weights, bool))
    assert free[weights == 0].any()  # left to itself, it would use them


def test_xnnpack_pads_alike_and_leaves_zeros_out_of_the_file(tmp_path):
    model = live("mobilenet_v2", side=33)  # 33, 17, 9, 5, 3: odd all the way
    padded = pad_strides(model)
    images = smooth_images(2, 33).astype(np.float32) / 127.5 - 1
    np.testing.assert_allclose(padded(images), model(images), atol=1e-6)
    sparse = made_sparse(padded, kind="xnnpack", sparsity=0.8)
    whole = convert(sparse, tmp_path / "whole.tflite")
    packed = convert(sparse, tmp_path / "packed.tflite", scheme="float32_sparse")
    counts = operators.counts(flatbuffer.read(packed.path))
    assert counts["DENSIFY"] > 20
    assert packed.path.stat().st_size < 0.75 * whole.path.stat().st_size
    scores = [
        runtime.run(runtime.load(each.path), smooth_images(2, 33)) for each in (whole, packed)
    ]
    np.testing.assert_allclose(*scores, atol=1e-6)


@pytest.mark.parametrize("arch", ("mobilenet_v3_small", "squeezenet_1_1", "efficientnet_b0"))
def test_xnnpack_says_which_families_have_what_it_needs(arch):
    model = models.build(ModelOptions(arch, 0.25, 32), 10)
    with pytest.raises(UnsupportedModelError, match=r"--prune xnnpack: .*; mobilenet_v1"):
        pruned_layers(pad_strides(model), PruneOptions(kind="xnnpack"))
