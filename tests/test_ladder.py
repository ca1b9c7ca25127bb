"""`edgecv quantize --max-drop`: tries harder until the labeled images say that it is enough."""

import json

import pytest
from click.testing import CliRunner

from edgecv.cli import main
from edgecv.tflite import flatbuffer, runtime
from edgecv.tflite.graph import Graph
from tests import spoilt_models


def run(folder, *arguments, calibration=None):
    """`edgecv quantize` of a folder that spoilt_models wrote."""
    given = ["--calibration", calibration or folder / "photos", "-o", folder / "int8.tflite"]
    shown = ["quantize", folder / "float32.tflite", *given, *arguments]
    return CliRunner().invoke(main, [str(each) for each in shown])


def climbed(folder, max_drop):
    return run(folder, "--max-drop", max_drop, "--validation", folder / "labeled", "--json")


def evaluated(folder):
    """What `edgecv evaluate` says of the file that was kept."""
    files = folder / "int8.tflite", "--against", folder / "float32.tflite"
    given = ["evaluate", *files, "--data", folder / "labeled", "--json"]
    shown = CliRunner().invoke(main, [str(each) for each in given])
    return json.loads(shown.stdout)


def test_the_first_rung_that_is_good_enough_is_the_last_one_tried(tmp_path):
    spoilt_models.write(tmp_path)
    shown = climbed(tmp_path, 5)
    assert shown.exit_code == 0, shown.stderr
    found = json.loads(shown.stdout)
    assert [each["name"] for each in found["ladder"]["rungs"]] == ["minmax"]
    assert found["ladder"]["met"] is True
    assert found["full_int8"] is True


@pytest.mark.slow
def test_a_strict_budget_is_met_with_the_layer_that_int8_cannot_carry_left_float(tmp_path):
    spoilt_models.write(tmp_path, factor=2000)
    shown = climbed(tmp_path, 1)
    assert shown.exit_code == 0, shown.stderr
    found = json.loads(shown.stdout)
    rungs = found["ladder"]["rungs"]
    assert [each["name"] for each in rungs] == [
        *("minmax", "ranges", "+ equalize", "+ correct", "+ round"),
        "+ 1 float",
    ]
    assert all(each["drop"] > 1 for each in rungs[:-1])
    assert rungs[-1]["drop"] <= 1
    assert [each.count("spoilt") for each in rungs[-1]["float_layers"]] == [1]
    graph = Graph(flatbuffer.read(tmp_path / "int8.tflite"))
    kinds = [graph.dtype(int(each.inputs[1])) for each in graph.operators if len(each.inputs) > 2]
    assert kinds == ["int8", "float32", "float32"]
    assert (
        runtime.load(tmp_path / "int8.tflite").get_input_details()[0]["dtype"].__name__ == "uint8"
    )


def test_a_rungs_figures_are_those_of_its_file(tmp_path):
    spoilt_models.write(tmp_path, factor=2000)
    shown = climbed(tmp_path, 100)
    (rung,) = json.loads(shown.stdout)["ladder"]["rungs"]
    found = evaluated(tmp_path)
    assert rung["top1"] == found["model"]["top1"]
    assert rung["agreement"] == found["agreement"]
    assert rung["drop"] == pytest.approx(100 * (found["against"]["top1"] - rung["top1"]), abs=1e-3)
    assert rung["bytes"] > 1000
    assert rung["seconds"] > 0
    assert rung["p50_ms"] > 0
    assert "minmax       drop" in shown.stderr


@pytest.mark.slow
def test_a_budget_that_no_rung_meets_exits_3_and_leaves_the_best_file(tmp_path):
    spoilt_models.write(tmp_path, factor=2000, offset=200)  # 256 steps for 200 +- 3: many tie
    shown = climbed(tmp_path, 1)
    assert shown.exit_code == 3
    found = json.loads(shown.stdout)["ladder"]
    assert found["met"] is False
    best = min(found["rungs"], key=lambda each: each["drop"])
    assert best["name"] == found["best"] == "+ 1 float"
    last = shown.stderr.splitlines()[-1]
    assert f"no attempt keeps the drop within 1 points; the best, '{best['name']}', loses" in last
    assert evaluated(tmp_path)["model"]["top1"] == best["top1"]


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["--max-drop", "0.5"], 2, "--max-drop: needs --validation"),
        (["--max-drop", "-1", "--validation", "labeled"], 2, "must be 0 to 100, got -1"),
        (["--max-drop", "nan", "--validation", "labeled"], 2, "must be 0 to 100, got nan"),
        (["--validation", "labeled"], 2, "needs --max-drop or --sensitivity"),
        (["--max-drop", "1", "--validation", "absent"], 1, "absent: no such folder"),
        (["--max-drop", "1", "--validation", "photos"], 1, "photos: no class folders"),
        (["--max-drop", "1", "--validation", ".", "--labels", "absent"], 1, "file of labels"),
        (["--method", "mnimax"], 2, "did you mean 'minmax'?"),
    ],
)
def test_what_cannot_be_measured_is_refused_in_one_line_before_anything_is_made(
    arguments, code, said, tmp_path, monkeypatch
):
    spoilt_models.write(tmp_path)
    monkeypatch.chdir(tmp_path)
    shown = run(tmp_path, *arguments)
    assert shown.exit_code == code
    assert said in shown.stderr.splitlines()[-1]
    assert not list(tmp_path.glob("int8*"))


def test_a_method_that_is_named_is_used(tmp_path):
    spoilt_models.write(tmp_path)
    ends = []
    for method in ("minmax", "mse", "entropy"):
        assert run(tmp_path, "--method", method).exit_code == 0
        ranges = json.loads((tmp_path / "int8.calibration.json").read_text())["ranges"]
        ends.append(next(high for name, (_, high) in ranges.items() if "plain" in name))
    assert ends[0] > ends[1] > ends[2]
