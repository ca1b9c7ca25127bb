"""The Pi 5's rates: from few rows and its cores; held to rows they never saw."""

import json
import re
from statistics import median

import numpy as np
import pytest
from click.testing import CliRunner

from edgecv import models
from edgecv.cli import main
from edgecv.device import description
from edgecv.estimate import device, prior, published
from edgecv.estimate.model import estimate
from edgecv.estimate.rates import Sample, milliseconds
from edgecv.models.float_file import float_model
from edgecv.models.shapes import Network, ShapeLayers
from edgecv.recipe import ModelOptions
from edgecv.tflite import flatbuffer
from edgecv.tflite.operator_kinds import Cost, costs, sum_by_kind

BOARD = description.find("rpi5").board
RUNTIME = published.XNNPACK["rpi5"]


def by_scheme():
    return {model.scheme: model for model in device.models(description.find("rpi5"))}


def residual(layers, x, channels, stride, wide, name):
    """One block of a ResNet: two 3x3 convolutions, or, with `wide`, a bottleneck of that factor."""
    inputs, out = x, channels * 4 if wide else channels
    if wide:
        x = layers.conv_bn_act(x, channels * wide, 1, 1, "relu", f"{name}_in")
        x = layers.conv_bn_act(x, channels * wide, 3, stride, "relu", f"{name}_mid")
        x = layers.conv_bn_act(x, out, 1, 1, None, f"{name}_out")
    else:
        x = layers.conv_bn_act(x, out, 3, stride, "relu", f"{name}_in")
        x = layers.conv_bn_act(x, out, 3, 1, None, f"{name}_out")
    if inputs.shape != x.shape:
        inputs = layers.conv_bn_act(inputs, out, 1, stride, None, f"{name}_skip")
    return layers.activate(layers.add([inputs, x], f"{name}_add"), "relu", name)


def resnet(repeats, wide):
    layers = ShapeLayers()
    x = layers.conv_bn_act(layers.image(224), 64, 7, 2, "relu", "stem")
    x = layers.max_pool(x, 3, 2, "same", "stem_pool")
    for stage, count in enumerate(repeats):
        for repeat in range(count):
            stride = 2 if stage and not repeat else 1
            x = residual(layers, x, 64 * 2**stage, stride, wide, f"stage{stage}_{repeat}")
    layers.dense_scores(x, 1000)
    return sum_by_kind(costs(float_model(Network("resnet", tuple(layers.layers)))))


@pytest.mark.parametrize(
    ("repeats", "wide", "scheme", "ms"),  # ExecuTorch with XNNPACK, huggingface.co/Arm
    [
        pytest.param((2, 2, 2, 2), 0, "int8", 8.751, id="ResNet-18"),
        pytest.param((3, 4, 6, 3), 1, "int8", 20.64, id="ResNet-50"),
        pytest.param((3, 4, 6, 3), 2, "int8", 49.43, id="Wide ResNet-50"),
        pytest.param((3, 4, 6, 3), 2, "float32", 292.05, id="Wide ResNet-50 float"),
    ],
)
def test_other_families_than_those_of_the_fit_are_met(repeats, wide, scheme, ms):
    found = estimate(by_scheme()[scheme], resnet(repeats, wide))
    assert found.ms == pytest.approx(ms, rel=0.3)


def test_a_file_is_estimated_as_its_architecture_is(tmp_path):
    flat = float_model(models.network(ModelOptions("mobilenet_v2", 0.35, 96), 10))
    path = flatbuffer.write(flat, tmp_path / "model.tflite")
    shown = CliRunner().invoke(main, ["inspect", str(path), "--device", "rpi5", "--json"])
    assert shown.exit_code == 0, shown.output
    found = json.loads(shown.stdout)["latency"]
    assert found["ms"] == estimate(by_scheme()["float32"], costs(flat)).ms
    assert (found["device"], found["origin"]) == ("rpi5", "estimated")
    text = CliRunner().invoke(main, ["inspect", str(path), "--device", "rpi5"]).stdout
    assert re.search(r"^on rpi5 +[\d.]+ ms estimated, 4 threads; .*left out", text, re.MULTILINE)


@pytest.mark.parametrize("name", ["rpi6", "coral_dev_board", "emulated_pi"])
def test_of_what_nothing_is_known_nothing_is_said(tmp_path, name):
    flat = float_model(models.network(ModelOptions("mobilenet_v1", 0.25, 32), 10))
    path = flatbuffer.write(flat, tmp_path / "model.tflite")
    shown = CliRunner().invoke(main, ["inspect", str(path), "--device", name])
    assert shown.exit_code
    assert not shown.stdout
    assert len(shown.stderr.splitlines()) == 1
    assert name in shown.stderr


def test_rows_left_out_are_met_within_the_stated_error():
    errors = []
    for scheme in ("float32", "int8"):
        samples = published.samples(scheme, ("rpi5", RUNTIME))
        errors += map(abs, prior.leave_one_out(samples, prior.prior(BOARD, scheme)))
    stated = by_scheme()["int8"].error
    assert (stated.rows, stated.median) == (len(errors), pytest.approx(median(errors), abs=1e-4))
    assert median(errors) < 0.15
    assert max(errors) < 0.4


def test_without_rows_the_prior_stands_and_many_rows_replace_it():
    before = prior.prior(BOARD, "int8")
    assert prior.fit([], before) == {
        kind: pytest.approx(quantities) for kind, quantities in before.items()
    }
    networks = [
        [
            Cost("pointwise", count, 9_000_000 * size, 1000, 200_000 * count),
            Cost("dense", 1, size, 1, 1),
        ]
        for size in (1, 5, 25)
        for count in (2, 10, 30)
    ]
    slow = {
        kind: {name: 3 * value for name, value in quantities.items()}
        for kind, quantities in before.items()
    }
    samples = [Sample(network, milliseconds(slow, network)) for network in networks * 20]
    found = prior.fit(samples, before)
    for network in networks:
        assert milliseconds(found, network) == pytest.approx(milliseconds(slow, network), rel=0.05)


def test_factors_are_those_of_scipy_which_is_not_everywhere():
    from scipy.optimize import nnls

    chance = np.random.default_rng(0)
    for _ in range(50):
        matrix, goal = chance.normal(size=(7, 4)), chance.normal(size=7)
        assert prior.nonnegative(matrix, goal) == pytest.approx(nnls(matrix, goal)[0], abs=1e-9)


def test_dot_products_halve_the_multiplications_of_int8():
    import dataclasses

    plain = dataclasses.replace(BOARD, dot_product=False)
    rates = [prior.prior(board, "int8")["pointwise"] for board in (BOARD, plain)]
    assert rates[1]["macs"] == pytest.approx(2 * rates[0]["macs"])
    assert rates[1]["activations"] == rates[0]["activations"]
