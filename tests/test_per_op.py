"""Where the time goes: real operators on the real agent, and sums that can be checked by hand."""

import json
import re

import pytest
from click.testing import CliRunner

from edgecv.cli import main
from edgecv.profile.attribution import Part, Parts, attribute_costs
from edgecv.report.operators_page import in_order, operators_page
from edgecv.tflite import flatbuffer, operators
from edgecv.tflite.slice import steps
from tests import tiny_models
from tests.live_models import SIZE, live_tflite, smooth_images

# Takes 3 ms a call and 5 ms an operator, of which it learns from the name of the file.
SLOW = """
import os, time

class Interpreter:
    def __init__(self, model_path, num_threads):
        kind, *rest = os.path.basename(model_path).partition(".")[0].split("_")
        self.kind = "_".join([kind, *rest])
        places = [int(each) for each in rest if each.isdigit()]
        operators = places[1] - places[0] if kind == "steps" else 0 if kind == "sum" else {count}
        self.seconds = 0.003 + 0.005 * operators
    def allocate_tensors(self): pass
    def get_input_details(self): return []
    def _get_ops_details(self): return [{{"op_name": "DELEGATE"}}]
    def invoke(self):
        {body}
        time.sleep(self.seconds)
"""


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return tiny_models.undecided(tmp_path_factory.mktemp("per_op"), classes=10).path


@pytest.fixture
def runtime_that(tmp_path, monkeypatch, model):
    """A LiteRT of known speed that does this in `invoke`, found before the real one."""

    def install(body="pass"):
        package = tmp_path / "ai_edge_litert"
        package.mkdir()
        (package / "__init__.py").write_text("__version__ = '0.0'")
        count = len(steps(flatbuffer.read(model)))
        (package / "interpreter.py").write_text(SLOW.format(count=count, body=body))
        monkeypatch.setenv("PYTHONPATH", str(tmp_path))
        return count

    return install


def run(*arguments):
    return CliRunner().invoke(main, ["profile", *map(str, arguments), "--per-op"])


def measured(*arguments):
    shown = run(*arguments, "--json", "--force")
    assert shown.exit_code == 0, shown.stderr
    return json.loads(shown.stdout)


def part(ms, delegate="xnnpack", beside=0.1):
    return Part(ms / 1e3, delegate, beside)


def test_calls_are_taken_off_and_what_is_left_is_the_residue(model):
    tree = flatbuffer.read(model)
    cuts = steps(tree)
    assert len(cuts) == 3
    calls = {"xnnpack": part(1), "builtin": part(2)}
    alone = [part(11), part(42, "builtin"), "too large"]
    parts = Parts(part(100), calls, alone, {2: part(61)})
    found = attribute_costs(tree, cuts, parts)
    assert [row.get("ms") for row in found["operators"]] == pytest.approx([10, 40, None])
    assert [row.get("share") for row in found["operators"]] == pytest.approx([0.2, 0.8, None])
    assert found["operators"][2]["reason"] == "too large"
    assert (found["whole_ms"], found["sum_ms"]) == pytest.approx((100, 50))
    assert found["residue_ms"] == pytest.approx(100 - 1 - 50)
    assert found["residue_share"] == pytest.approx(49 / 99)
    assert found["delegates"] == {"xnnpack": 1, "builtin": 1}
    assert found["prefixes"] == [
        {"operators": 2, "ms": pytest.approx(60), "sum_ms": pytest.approx(50)}
    ]


def test_a_machine_that_slowed_down_for_a_while_is_not_the_operators_fault(model):
    tree = flatbuffer.read(model)
    calls = {"xnnpack": part(1), "builtin": part(1)}
    slow = part(2 * 11, beside=2 * 0.1)
    found = attribute_costs(tree, steps(tree), Parts(part(100), calls, [slow] * 3, {}))
    assert found["operators"][0]["ms"] == pytest.approx(10)


def test_rows_say_what_an_operator_computes(model):
    tree = flatbuffer.read(model)
    calls = {"xnnpack": part(1), "builtin": part(1)}
    rows = attribute_costs(tree, steps(tree), Parts(part(9), calls, [part(3)] * 3, {}))["operators"]
    dense = next(row for row in rows if row["operator"] == "FULLY_CONNECTED")
    assert dense["macs"] == 3 * 10
    assert dense["bytes"] >= 4 * (3 + 3 * 10 + 10)
    assert dense["shape"] == [1, 10]


def test_sum_and_prefixes_are_those_of_a_runtime_of_known_speed(model, runtime_that):
    count = runtime_that()
    found = measured(model, "--inferences", 10)
    assert found["call_ms"]["xnnpack"] == pytest.approx(3, rel=0.3)
    assert found["whole_ms"] == pytest.approx(3 + 5 * count, rel=0.2)
    assert [row["ms"] for row in found["operators"]] == pytest.approx([5] * count, rel=0.3)
    assert found["sum_ms"] == pytest.approx(5 * count, rel=0.2)
    assert abs(found["residue_share"]) < 0.2
    for each in found["prefixes"]:
        assert each["ms"] == pytest.approx(5 * each["operators"], rel=0.3)
        assert each["ms"] == pytest.approx(each["sum_ms"], rel=0.3)


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("if self.kind == 'steps_1_2': raise ValueError('no kernel')", "ValueError: no kernel"),
        ("if self.kind == 'steps_1_2': os.kill(os.getpid(), 11)", "signal 11 (SIGSEGV)"),
    ],
)
def test_an_operator_that_cannot_run_alone_is_named_and_the_others_are_measured(
    model, runtime_that, body, words
):
    count = runtime_that(body)
    found = measured(model, "--inferences", 5)
    reasons = [row.get("reason", "") for row in found["operators"]]
    assert words in reasons[1]
    assert [bool(each) for each in reasons] == [False, True] + [False] * (count - 2)


def test_a_model_that_cannot_run_at_all_is_one_line(model, runtime_that):
    runtime_that("raise ValueError('no')")
    shown = run(model)
    assert shown.exit_code == 1
    assert len([line for line in shown.stderr.splitlines() if "Error" in line]) == 1
    assert f"{model}: host: compare: ValueError: no" in shown.stderr


def test_what_the_edge_tpu_lacks_is_said_with_who_knows_what_to_do(model, tmp_path):
    (tmp_path / "tpu.toml").write_text('host = "local"\ndelegate = "edgetpu"\n')
    shown = run(model, "--force", "--device", tmp_path / "tpu.toml")
    assert shown.exit_code == 1
    assert shown.stderr.splitlines()[-1].endswith("what to do: edgecv devices check tpu")


def test_real_operators_of_a_real_model(tmp_path):
    from edgecv.quantize.calibrate import calibrate
    from edgecv.quantize.int8 import quantize

    float32 = live_tflite("mobilenet_v1")
    ranges = calibrate(float32, smooth_images(4, SIZE))
    int8 = quantize(float32, ranges, tmp_path / "int8.tflite").path
    found = measured(int8, "--inferences", 50)
    tree = flatbuffer.read(int8)
    assert sum(row["macs"] for row in found["operators"]) == operators.macs(tree)
    assert {row["operator"]: row["count"] for row in found["types"]} == operators.counts(tree)
    assert found["delegates"]["xnnpack"] > 25
    builtin = {row["operator"] for row in found["operators"] if row["delegate"] == "builtin"}
    assert "CONV_2D" not in builtin
    assert sum(row["share"] for row in found["operators"]) == pytest.approx(1)
    assert 0 < found["call_ms"]["xnnpack"] < found["whole_ms"] / 5
    assert abs(found["residue_share"]) < 0.5  # of a machine that others use too
    assert json.loads((tmp_path / "int8.host.operators.json").read_text()).items() <= found.items()
    page = (tmp_path / "int8.host.operators.html").read_text()
    assert page.count("<tr>") > len(found["operators"])
    assert found["load_ms"] > 0 and 0 < found["idle_rss_bytes"] <= found["peak_rss_bytes"]
    assert "Peak memory" in page
    nodes = json.loads((tmp_path / "int8.host.operators.model_explorer.json").read_text())
    assert nodes["results"] == {row["output"]: {"value": row["ms"]} for row in found["operators"]}
    assert [stop["stop"] for stop in nodes["gradient"]] == [0, 1]
    shown = run(int8, "--force", "--inferences", 5, "--out", tmp_path / "named.json")
    assert "as one model" in shown.stdout
    assert f"{tmp_path / 'named'}.operators.json" in shown.stdout


def test_a_page_escapes_names_and_shows_what_was_not_measured(model):
    tree = flatbuffer.read(model)
    calls = {"xnnpack": part(1), "builtin": part(1)}
    parts = Parts(part(9), calls, [part(3), part(1), "<b>too large"], {})
    context = {"device": "a<b", "cpu": "c", "runtime": "r", "threads": 1, "origin": "measured"}
    found = {
        **context,
        "valid": False,
        "reason": "hot",
        **attribute_costs(tree, steps(tree), parts),
    }
    page = operators_page("m.tflite", found)
    assert "a&lt;b" in page
    assert "not measured: &lt;b&gt;too large" in page
    assert "hot" in page
    bars = [cells[1] for cells in in_order(found["operators"]).rows]
    assert [bar.share for bar in bars[:2]] == pytest.approx([1, 0]) and bars[2] == ""
    assert "Unattributed" in page and "esidue" not in page and "prefix" not in page


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--device", "emulated_pi"], "is emulated, .*--count; .*--force"),
        (["--device", "host,rpi4"], "--per-op: takes one model on one device"),
        (["--threads", "1,2"], "1 models, 1 devices, 2 numbers"),
        (["--count"], "leave one of the two out"),
        (["--board", "pi5"], "--board: needs --count"),
    ],
)
def test_flags_that_do_not_go_together(model, arguments, words):
    shown = run(model, *arguments)
    assert shown.exit_code == 2
    assert shown.stderr.startswith("Error: ")
    assert re.search(words, shown.stderr)
