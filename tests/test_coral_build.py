"""Models built for the Edge TPU: what is chosen so that they map, and what the report says."""

import json

import numpy as np
import pytest
from click.testing import CliRunner

from edgecv import models, report
from edgecv.cli import main
from edgecv.coral import section
from edgecv.coral.planner import plan
from edgecv.coral.rule_tables import costs
from edgecv.models.float_file import float_model
from edgecv.recipe import ModelOptions, QuantizeOptions
from edgecv.report import coral
from edgecv.tflite import flatbuffer
from edgecv.tflite.graph import Graph
from edgecv.tflite.int8_shapes import int8_shapes
from tests.coral_models import classifier
from tests.made_packages import cached, written

ARCHS = (
    "mobilenet_v1",
    "mobilenet_v2",
    "mobilenet_v3_small",
    "mobilenet_v3_large_minimalistic",
    "squeezenet_1_0",
    "squeezenet_1_1",
    "efficientnet_lite0",
    "efficientnet_b0",
)
BUILD = ("mobilenet_v2", "--width", "0.35", "--res", "64", "--weights", "random")
BUILD += ("--calibration-images", "8", "--method", "minmax", "--classes", "10")


def run(*arguments):
    return CliRunner().invoke(main, [str(each) for each in arguments])


@pytest.fixture(scope="module")
def run_folder(tmp_path_factory):
    out = tmp_path_factory.mktemp("built") / "run"
    shown = run("build", *BUILD, "--target", "coral", "-o", out)
    assert shown.exit_code == 0, shown.output
    return out, shown


def scales_of_dense(path):
    graph = Graph(flatbuffer.read(path))
    dense = [each for each in graph.operators if graph.code(each) == "FULLY_CONNECTED"]
    return [len(graph.tensors[int(each.inputs[1])].quantization.scale) for each in dense]


@pytest.mark.parametrize("arch", ARCHS)
def test_every_family_maps_fully_when_built_for_the_edge_tpu(arch):
    options = ModelOptions(arch=arch, width=0.25, resolution=64)
    found = plan(int8_shapes(float_model(models.network(options, 10))), arch)
    behind = [row for row in found.operators if row["place"] != "tpu"]
    assert found.exit_code == 0, behind
    assert found.latency


def test_a_build_for_the_edge_tpu_says_what_it_is_estimated_to_do(run_folder):
    out, shown = run_folder
    assert scales_of_dense(out / "model_int8.tflite") == [1]
    found = report.load(out)
    assert list(found.coral) == ["estimated"]
    estimated = found.coral["estimated"]
    assert estimated["verdict"] == "maps fully"
    assert estimated["mapped"] == estimated["operators"]
    assert "dense weights with one scale" in found.quantization["method"]
    assert {each["origin"] for each in estimated["latency"]} == {"estimated"}
    assert {each["origin"] for each in found.latency} == {"measured"}
    assert "coral       maps fully" in shown.stdout
    assert run("coral", "plan", out / "model_int8.tflite").exit_code == 0


def test_the_report_keeps_the_three_states_apart(run_folder):
    out, _ = run_folder
    text, page = ((out / f"report.{kind}").read_text() for kind in ("md", "html"))
    for shown in (text, page):
        assert "Coral Edge TPU" in shown
        assert coral.NOT_COMPILED in shown
        assert coral.NOT_MEASURED in shown
        for host in costs()["hosts"].values():
            assert host["title"] in shown
    assert text.index("**estimated**") < text.index("**compiled**") < text.index("**measured**")


def test_a_build_for_a_processor_says_nothing_of_the_edge_tpu(tmp_path):
    assert section.section(tmp_path / "absent", QuantizeOptions()).table is None


def test_a_fake_compiler_does_not_make_a_report_say_compiled(tmp_path, monkeypatch):
    made = written(tmp_path / "made_by_a_test", cached(3000))
    fake = tmp_path / "edgetpu_compiler_fake"
    fake.write_text(f"#!/bin/sh\ncp {made} model_edgetpu.tflite\n")
    fake.chmod(0o700)
    model = flatbuffer.write(classifier(), tmp_path / "model_int8.tflite")
    monkeypatch.setenv("EDGECV_EDGETPU_COMPILER", str(fake))
    known = section.section(model, QuantizeOptions(target="coral"))
    assert list(known.table) == ["estimated", "unverified"]
    fake.write_text("#!/bin/sh\necho 'Internal compiler error. Aborting!'\n")
    known = section.section(model, QuantizeOptions(target="coral"))
    assert list(known.table) == ["estimated"]
    assert "Internal compiler error" in known.warnings[-1]


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--quantize", "float16"], "--target: coral takes --quantize int8 only, got float16"),
        (["--output-type", "float32"], "--target: coral takes --output-type uint8 or int8"),
        (["--lanes", "--weights", "imagenet"], "lanes: the published weights are of other"),
    ],
)
def test_what_cannot_be_built_for_it_is_one_line(flags, said, tmp_path):
    shown = run("build", *BUILD, "--target", "coral", *flags, "-o", tmp_path / "run")
    assert shown.exit_code == 2
    assert said in shown.stderr.splitlines()[-1]
    assert run("build", *BUILD, "--target", "pi").stderr.count("must be cpu | coral") == 1


def test_quantize_takes_the_target_too(run_folder, tmp_path):
    out, _ = run_folder
    made, source = tmp_path / "int8.tflite", out / "model_float32.tflite"
    for flags, scales in (((), 10), (("--target", "coral"), 1)):
        shown = run("quantize", source, "--calibration", "bn", "-o", made, *flags, "--json")
        assert shown.exit_code == 0, shown.output
        assert scales_of_dense(made) == [scales]
    assert json.loads(shown.stdout)["full_int8"]


def test_lanes_are_those_of_the_costs_and_every_width_fills_them():
    from edgecv.models.channel_groups import coupling, round_channels

    assert round_channels([8, 24, 40, 64, 72, 96, 160, 200]) == (16, 32, 48, 64, 128, 128, 192, 192)
    lanes = costs()["parameters"]["lanes"]
    options = ModelOptions(arch="mobilenet_v2", width=0.5, resolution=32, lanes=True)
    for count in coupling(models.network(options, 10)).counts:
        assert count % (lanes["small"] if count <= lanes["large"] else lanes["large"]) == 0


def test_plan_shows_the_verdict_before_training():
    shown = run("plan", "mobilenet_v3_small", "--width", "0.35", "--res", "32", "--json")
    found = json.loads(shown.stdout)["coral"]
    assert (found["origin"], found["verdict"]) == ("estimated", "maps fully")
    assert np.isfinite(found["latency"][0]["ms"])
    assert 0 < found["elementwise_share"] < 1
