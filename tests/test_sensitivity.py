"""Which layers int8 loses by: ranked, as table, JSON and page."""

import json

import numpy as np
import pytest
from click.testing import CliRunner

from edgecv.artifacts import Report, TFLiteModel
from edgecv.cli import main
from edgecv.quantize.engine import Stages, post_training
from edgecv.quantize.sensitivity import readable, sensitivity
from edgecv.report.details import Details
from edgecv.report.page import page
from edgecv.report.sensitivity import costs
from edgecv.tflite import flatbuffer
from tests import spoilt_models
from tests.live_models import smooth_images


@pytest.fixture(scope="module")
def spoilt(tmp_path_factory):
    folder = tmp_path_factory.mktemp("spoilt")
    spoilt_models.write(folder, factor=2000)
    return folder


@pytest.fixture(scope="module")
def shown(spoilt):
    found = CliRunner().invoke(
        main,
        [
            *("quantize", str(spoilt / "float32.tflite"), "--calibration", str(spoilt / "photos")),
            *("-o", str(spoilt / "int8.tflite"), "--method", "minmax", "--sensitivity"),
        ],
    )
    assert found.exit_code == 0, found.stderr
    return found.stdout.splitlines()


PLAIN = Stages(equalize=False, correct=False)


def rows(spoilt, path, images, labels=(), stages=PLAIN):
    model = TFLiteModel(spoilt / "float32.tflite", "float32")
    done = post_training(model, images, path, method="minmax", stages=stages)
    return done, sensitivity(done.flat, flatbuffer.read(path), images, labels)


def test_the_table_names_the_spoilt_layer_first(shown):
    first = next(n for n, line in enumerate(shown) if "SNR, dB" in line) + 1
    assert "spoilt" in shown[first]
    assert "(CONV_2D)" in shown[first]
    assert len([line for line in shown if line.endswith(("(CONV_2D)", "(FULLY_CONNECTED)"))]) == 3


def test_the_file_beside_the_model_and_the_page_hold_every_layer(shown, spoilt):
    found = json.loads((spoilt / "int8.sensitivity.json").read_text())
    assert [each["operator"] for each in found["layers"]].count("CONV_2D") == 2
    assert [each["loss"] for each in found["layers"]] == sorted(
        (each["loss"] for each in found["layers"]), reverse=True
    )
    nodes = json.loads((spoilt / "int8.sensitivity.model_explorer.json").read_text())["results"]
    assert nodes == {row["tensor"]: {"value": row["loss"]} for row in found["layers"]}
    page = (spoilt / "int8.sensitivity.html").read_text()
    assert page.count('class="bar final"') == len(found["layers"])
    assert page.index("width:100.0%") > page.index("spoilt")
    assert "<script" not in page


def test_a_runs_report_has_the_chart_where_sensitivity_was_measured(shown, spoilt):
    found = json.loads((spoilt / "int8.sensitivity.json").read_text())
    files = {"int8": TFLiteModel(spoilt / "int8.tflite", "int8").describe()}
    report = Report("0", "spoilt", 1.0, 16, 4, 100, 1000, "random", files, {"method": "minmax"})
    report.quantization.update(operators={}, full_int8=True)
    with_chart = page(report, Details(sensitivity=found["layers"]), "runs/spoilt")
    assert with_chart.index("Sensitivity of the layers") < with_chart.index("spoilt</th>")
    assert "Sensitivity of the layers" not in page(report, Details(), "runs/spoilt")


def test_each_layer_alone_costs_the_same_whatever_was_done_to_the_others(spoilt, tmp_path):
    images = list(smooth_images(16, spoilt_models.SIDE, seed=6))
    _, plain = rows(spoilt, tmp_path / "plain.tflite", images)
    _, corrected = rows(
        spoilt, tmp_path / "corrected.tflite", images, stages=Stages(equalize=False)
    )
    for one, other in zip(plain, corrected, strict=True):
        assert one.tensor == other.tensor
        assert one.loss == pytest.approx(other.loss, rel=1e-6)


def test_noise_is_that_of_the_int8_model_and_the_drop_needs_labels(spoilt, tmp_path):
    images = list(smooth_images(16, spoilt_models.SIDE, seed=6))
    _, found = rows(spoilt, tmp_path / "int8.tflite", images)
    noise = {each.layer: each.snr_db for each in found}
    assert noise["plain"] > 35
    assert min(noise.values()) < 20
    assert {each.top1_drop for each in found} == {None}
    _, labeled = rows(spoilt, tmp_path / "int8.tflite", images, labels=np.zeros(16, int))
    assert all(-100 <= each.top1_drop <= 100 for each in labeled)


def test_the_float_model_is_left_as_it_was(spoilt, tmp_path):
    images = list(smooth_images(4, spoilt_models.SIDE, seed=6))
    done, _ = rows(spoilt, tmp_path / "int8.tflite", images)
    before = flatbuffer.serialized(done.flat)
    sensitivity(done.flat, flatbuffer.read(tmp_path / "int8.tflite"), images)
    assert len(flatbuffer.serialized(done.flat)) == len(before)


def test_a_layer_that_stays_float_has_no_row(spoilt, tmp_path):
    images = list(smooth_images(4, spoilt_models.SIDE, seed=6))
    _, found = rows(spoilt, tmp_path / "int8.tflite", images)
    floats = frozenset({found[0].tensor})
    _, left = rows(spoilt, tmp_path / "mixed.tflite", images, stages=PLAIN._replace(floats=floats))
    assert {each.tensor for each in left} == {each.tensor for each in found} - floats


@pytest.mark.parametrize(
    ("name", "layer"),
    [
        ("net/relu/Relu;net/conv1/BiasAdd;net/conv1/Conv2D", "conv1"),
        ("net/block/expand/Relu6", "block/expand"),
        ("net/mul/Mul;", "mul"),
        ("StatefulPartitionedCall:0", "StatefulPartitionedCall:0"),
        ("", ""),
    ],
)
def test_a_layers_name_is_the_last_of_those_that_were_fused(name, layer):
    assert readable(name) == layer


def test_a_chart_of_nothing_is_empty_and_of_no_loss_is_flat():
    assert costs([]).layers == 0
    row = {"loss": 0.0, "top1_drop": None, "agreement": 1.0, "snr_db": 60.0}
    row |= {"layer": "conv", "operator": "CONV_2D"}
    chart = costs([row, row])
    assert [cells[1].share for cells in [*chart.worst.rows, *chart.rest.rows]] == [0.0, 0.0]


def test_layers_that_cost_next_to_nothing_are_folded_away():
    row = {"operator": "CONV_2D", "top1_drop": None, "agreement": 1.0, "snr_db": 60.0}
    rows = [{**row, "layer": f"layer_{loss}", "loss": loss} for loss in (0.5, 0.006, 9.8e-08)]
    chart = costs(rows)
    assert [cells[0] for cells in chart.worst.rows] == ["layer_0.5", "layer_0.006"]
    assert [cells[3] for cells in chart.rest.rows] == ["< 0.0001"]
