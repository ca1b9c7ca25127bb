"""Models with random weights: alive, so that their latency is that of trained ones."""

import dataclasses
import json

import numpy as np
import pytest
import tf_keras
from click.testing import CliRunner

from edgecv.cli import main
from edgecv.data import Signs
from edgecv.models import weights
from edgecv.models.keras_layers import MOMENTUM
from edgecv.progress import Progress
from edgecv.recipe import ModelOptions, Recipe
from edgecv.train import train

SIDE = 64
RECIPE = Recipe(
    model=ModelOptions(arch="mobilenet_v3_small", width=0.35, resolution=SIDE, weights="random")
)


def norms(network):
    return [
        layer for layer in network.layers if isinstance(layer, tf_keras.layers.BatchNormalization)
    ]


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return train(RECIPE, None, 10, tmp_path_factory.mktemp("state"), Progress())


def test_no_layer_fades(model):
    """Of other images than the statistics are of, every batch norm makes about 1."""
    outputs = tf_keras.Model(model.input, [layer.output for layer in norms(model)])
    images = np.stack([sample.image for sample in Signs(seed=9).calibration(SIDE, 8)])
    spreads = [float(np.std(values)) for values in outputs((images / 127.5 - 1).astype("float32"))]
    assert min(spreads) > 0.3 and max(spreads) < 3
    assert {layer.momentum for layer in norms(model)} == {MOMENTUM}


def test_the_statistics_are_of_the_images_that_there_are(model, tmp_path):
    class Dark:
        def calibration(self, resolution, count):
            samples = Signs(seed=0).calibration(resolution, count)
            return [sample._replace(image=sample.image // 8) for sample in samples]

    dark = train(RECIPE, Dark(), 10, tmp_path, Progress())
    bright, faint = (norms(network)[0].moving_variance.numpy().mean() for network in (model, dark))
    assert faint < bright / 4


@pytest.mark.parametrize(("arch", "said"), [("mobilenet_v2", 1), ("squeezenet_1_1", 0)])
def test_what_is_assumed_is_said_where_there_are_batch_norms(arch, said):
    options = ModelOptions(arch=arch, weights="random")
    assert len(weights.assumptions(options)) == said
    assert weights.assumptions(dataclasses.replace(options, weights="")) == []


def test_a_build_says_what_it_assumes_and_what_xnnpack_takes(tmp_path):
    arguments = ["mobilenet_v1", "--width", "0.25", "--res", "32", "--weights", "random"]
    arguments += ["--method", "minmax", "--calibration-images", "4", "-o", str(tmp_path)]
    shown = CliRunner().invoke(main, ["build", *arguments, "--force"], catch_exceptions=False)
    assert shown.exit_code == 0, shown.output
    assert shown.stderr.count("statistics of images") == 1
    report, page = (
        (tmp_path / name).read_text(encoding="utf-8") for name in ("report.json", "report.md")
    )
    assert json.loads(report)["warnings"] == [weights.OF_RANDOM]
    assert "statistics of images" in page
    taken = json.loads(report)["quantization"]["xnnpack"]
    assert (taken["origin"], taken["partitions"]) == ("measured", 1)
    assert {row["operator"] for row in taken["left_out"]} == {"QUANTIZE", "SOFTMAX"}
    for said in (shown.stdout, page):
        assert "SOFTMAX" in said and "1 partition" in said
