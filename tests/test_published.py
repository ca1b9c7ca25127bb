"""Which published weights are taken for a model, and that their files have its layers."""

import csv
import json
import re
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from edgecv import models
from edgecv.artifacts import CENTERED, IMAGENET
from edgecv.cli import main
from edgecv.errors import RecipeError, WeightsError
from edgecv.models import published
from edgecv.models.weights import mapping
from edgecv.recipe import ModelOptions

# Names and shapes as timm 1.0.31, torchvision 0.29.1 and efficientnet-lite-pytorch 0.1.0 have them.
LAYERS = Path(__file__).with_name("published_layers.csv")


def choose(arch, source="", **shape):
    weights = "imagenet" + (f":{source}" if source else "")
    return published.find(models.resolve(ModelOptions(arch, weights=weights, **shape)))


def test_every_file_has_its_own_address_and_says_what_is_needed_of_it():
    table = published.table()
    assert len({source.place for source in table}) == len(table) > 100
    assert len({source.file_name for source in table}) == len(table)
    for source in table:
        assert source.layout in {*mapping.LAYOUTS, published.KERAS}
        assert re.fullmatch("|md5:[0-9a-f]{32}|sha256:[0-9a-f]{8,64}", source.hash)
        assert source.padding in ("same", "symmetric", "valid") and source.license
        assert re.match("https://|pypi:", source.place)


def test_every_architecture_has_weights():
    for arch, variant in models.MODELS.items():
        source = choose(arch)
        assert (source.width, source.depth) == (variant.width, variant.depth)
        assert source.top1 > 0.55


@pytest.mark.parametrize(
    ("shape", "name", "resolution"),
    [
        ({"arch": "efficientnet_lite0"}, "pypi", 224),
        ({"arch": "mobilenet_v1"}, "mobilenetv1_100.ra4_e3600_r224_in1k", 224),
        ({"arch": "mobilenet_v1", "padding": "same"}, "keras", 224),
        ({"arch": "mobilenet_v1", "resolution": 128}, "keras", 128),
        ({"arch": "mobilenet_v1", "width": 0.75, "resolution": 160}, "keras", 160),
        ({"arch": "mobilenet_v1", "width": 0.25, "resolution": 100}, "keras", 128),
        ({"arch": "mobilenet_v2", "width": 1.4, "resolution": 320}, "keras", 224),
        ({"arch": "mobilenet_v2", "width": 0.35, "resolution": 112}, "keras", 128),
        ({"arch": "mobilenet_v2", "padding": "symmetric"}, "mobilenetv2_100.ra_in1k", 224),
        ({"arch": "efficientnet_b0"}, "tf_efficientnet_b0.ns_jft_in1k", 224),
        (
            {"arch": "efficientnet", "width": 1.2, "depth": 1.4},
            "tf_efficientnet_b3.ns_jft_in1k",
            300,
        ),
        ({"arch": "squeezenet"}, "torchvision", 224),
    ],
    ids=lambda value: "" if isinstance(value, dict) else str(value),
)
def test_the_best_that_fits(shape, name, resolution):
    source = choose(**shape)
    assert (source.name, source.resolution) == (name, resolution)


def test_a_source_that_is_named_is_taken():
    assert choose("efficientnet_b0", "keras").place.endswith("efficientnetb0.h5")
    assert choose("efficientnet_lite0", "tf_efficientnet_lite0.in1k").trained == CENTERED


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (
            ModelOptions("mobilenet", 0.6, weights="imagenet"),
            r"mobilenet_v1 at width 0.6 \(there are: width 0.25, .*1.25\)",
        ),
        (
            ModelOptions("mobilenet_v3_small_minimalistic", 0.75, weights="imagenet"),
            r"\(there are: width 1\)",
        ),
        (
            ModelOptions("efficientnet_b1", depth=1.0, width=1.1, weights="imagenet"),
            "width 1 with depth 1.1, width 1.1",
        ),
        (
            ModelOptions("efficientnet_lite0", weights="imagenet:pypy"),
            r"no source 'pypy'; did you mean 'pypi'.*\(there are: pypi, tf_efficientnet_lite0.in1k",
        ),
        (
            ModelOptions("efficientnet_lite3", padding="symmetric", weights="imagenet"),
            r"have the padding symmetric \(there are: same of tf_efficientnet_lite3.in1k\)",
        ),
    ],
    ids=lambda value: getattr(value, "arch", ""),
)
def test_nothing_that_fits(options, words):
    with pytest.raises(WeightsError, match=words) as caught:
        models.resolve(options)
    assert "\n" not in str(caught.value)


def test_a_family_is_built_with_the_paddings_it_was_published_with():
    with pytest.raises(RecipeError, match="--padding: squeezenet_1_1 takes same or valid, got sym"):
        models.resolve(ModelOptions("squeezenet", padding="symmetric"))
    with pytest.raises(RecipeError, match="takes same or symmetric, got valid"):
        models.resolve(ModelOptions("mobilenet", padding="valid"))


def test_the_recipe_says_which_were_taken():
    options = ModelOptions("mobilenet", weights="imagenet")
    filled = models.resolve(options).fill(options)
    assert filled.weights == "imagenet:mobilenetv1_100.ra4_e3600_r224_in1k"
    assert filled.padding == "symmetric"
    assert models.resolve(filled) == models.resolve(options)


def test_a_plan_says_which_weights_there_are():
    shown = CliRunner().invoke(main, ["plan", "efficientnet_lite0"])
    assert "weights          imagenet:pypi (75.1% top-1 published at 224 pixels" in shown.stdout
    shown = CliRunner().invoke(main, ["plan", "mobilenet", "--width", "0.6"])
    assert "weights          none on ImageNet are published for it" in shown.stdout
    shown = CliRunner().invoke(main, ["plan", "mobilenet", "--json"])
    best, other = json.loads(shown.stdout)["imagenet"]
    assert best.startswith("imagenet:mobilenetv1_100.ra4") and other.startswith("imagenet:keras")


def test_a_build_refuses_an_unknown_source_at_once():
    shown = CliRunner().invoke(main, ["build", "squeezenet", "--weights", "imagenet:keras"])
    assert shown.exit_code == 1
    assert shown.stderr.splitlines() == [
        "Error: weights: imagenet has no source 'keras' (there are: torchvision)"
    ]


def test_what_a_source_says_of_itself():
    assert str(choose("efficientnet_lite0")) == (
        "imagenet:pypi (75.1% top-1 published at 224 pixels, Apache-2.0)"
    )
    assert "at 224 pixels, valid padding, BSD-3-Clause" in str(choose("squeezenet"))


def test_pixels_that_the_first_layer_takes_up():
    assert choose("efficientnet_lite0").pixels == CENTERED  # (pixel - 127) / 128
    assert choose("squeezenet").pixels == CENTERED  # no border of zeros to be right at
    assert choose("efficientnet_b0").pixels == IMAGENET
    large = choose("mobilenet_v3_large", "mobilenetv3_large_100.miil_in21k_ft_in1k")
    assert large.pixels == ((0.0,) * 3, (255.0,) * 3)


def published_shapes(model):
    """The tensors of a published file, by their names, as shapes without memory."""
    with LAYERS.open(newline="") as file:
        return {
            row["tensor"]: np.broadcast_to(np.float32(1), map(int, row["shape"].split("x")))
            for row in csv.DictReader(file)
            if row["model"] == model
        }


def needed(network, layer):
    """The shapes of a layer's weights in Keras."""
    read, made = network.channels_read(layer), layer.shape[-1]
    kernel = {
        "Conv2D": (*layer.kernel, read, made),
        "DepthwiseConv2D": (*layer.kernel, made, 1),
        "Dense": (read, made),
    }
    if layer.kind == "BatchNormalization":
        return [(made,)] * 4
    return [kernel[layer.kind], (made,)] if layer.bias else [kernel[layer.kind]]


FILES = {
    "efficientnet-lite1": ("efficientnet_lite1", 1.0, "pypi"),
    "tf_efficientnet_lite0.in1k": ("efficientnet_lite0", 1.0, "tf_efficientnet_lite0.in1k"),
    "squeezenet1_0": ("squeezenet_1_0", 1.0, "torchvision"),
    "squeezenet1_1": ("squeezenet_1_1", 1.0, "torchvision"),
}
TIMM = {
    "mobilenetv1_100.ra4_e3600_r224_in1k": ("mobilenet_v1", 1.0),
    "mobilenetv2_050.lamb_in1k": ("mobilenet_v2", 0.5),
    "mobilenetv3_large_100.ra4_e3600_r224_in1k": ("mobilenet_v3_large", 1.0),
    "mobilenetv3_small_050.lamb_in1k": ("mobilenet_v3_small", 0.5),
    "tf_mobilenetv3_large_minimal_100.in1k": ("mobilenet_v3_large_minimalistic", 1.0),
    "tf_efficientnet_b0.ns_jft_in1k": ("efficientnet_b0", 1.0),
}


@pytest.mark.parametrize("file", [*FILES, *TIMM])
def test_every_layer_of_a_published_file_has_its_place(file):
    arch, width, name = FILES.get(file) or (*TIMM[file], file)
    source = choose(arch, name, width=width)
    network, rows = arranged(arch, width, source, published_shapes(file))
    layers = [layer for layer in network.layers if needs_weights(layer)]
    for layer, arrays in zip(layers, rows, strict=True):
        assert [array.shape for array in arrays] == needed(network, layer), layer.name


def arranged(arch, width, source, tensors):
    """An architecture, and the arrays for its layers out of a file's tensors."""
    network = models.network(ModelOptions(arch, width), 1000)
    slots = [
        mapping.Slot(layer.name, layer.kind, layer.bias)
        for layer in network.layers
        if needs_weights(layer)
    ]
    layout = mapping.LAYOUTS[source.layout]
    return network, mapping.arrange(layout, slots, tensors, source.epsilon, 1e-3)


def needs_weights(layer):
    return layer.kind in ("Conv2D", "DepthwiseConv2D", "Dense", "BatchNormalization")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda tensors: tensors.pop("conv_stem.weight"), "has no 'conv_stem.weight'"),
        (lambda tensors: tensors.update(extra=tensors["bn1.bias"]), "has a 'extra' that no layer"),
        (
            lambda tensors: [tensors.pop(name) for name in [*tensors] if ".4.1." in name],
            "has 12 blocks, not 13",
        ),
        (
            lambda tensors: tensors.update({"conv_stem.weight": tensors["bn1.bias"]}),
            r"has a kernel of \(32,\) for stem_conv",
        ),
    ],
)
def test_files_with_other_layers(change, words):
    name = "mobilenetv1_100.ra4_e3600_r224_in1k"
    tensors = published_shapes(name)
    change(tensors)
    with pytest.raises(ValueError, match=words):
        arranged("mobilenet_v1", 1.0, choose("mobilenet_v1", name), tensors)
