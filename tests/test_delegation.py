"""What XNNPACK takes of a model and leaves out: by the file, by loading it, and in the commands."""

import json

import cv2
import pytest
from click.testing import CliRunner

from edgecv.artifacts import Range
from edgecv.cli import main
from edgecv.quantize.calibrate import observed, usable
from edgecv.quantize.int8 import int8_twin
from edgecv.tflite import delegation, flatbuffer
from edgecv.tflite.graph import Graph
from tests.foreign_files import Network
from tests.live_models import smooth_images

SIDE = 16
BORDER = "no kernel between uint8 and int8"


def swish(pool="MAX_POOL_2D"):
    """A float classifier with two branches that meet: a hard-swish, and a pool and a product."""
    network = Network((1, SIDE, SIDE, 3)).conv(8)
    convolved, shape = network.at, network.graph.shape(network.at)
    three = network.constant(3.0, "float32")
    network.then("ADD", shape, three, kind="AddOptions", fusedActivationFunction=3)
    network.then("MUL", shape, network.at, kind="MulOptions", source=convolved)
    sizes = dict.fromkeys(("strideH", "strideW", "filterHeight", "filterWidth"), 1)
    network.then(pool, shape, kind="Pool2DOptions", **sizes)
    network.then("ADD", shape, convolved, kind="AddOptions")
    return network.conv(8).mean().dense().softmax().done()


def int8(model, faint=None, factor=1e-4):
    """The int8 twin; the range of the operator at a place is a small part of what it should be."""
    graph = Graph(model)
    ranges = usable(graph, observed(model, list(smooth_images(4, SIDE))))
    if faint is not None:
        name = graph.unique_names()[int(graph.operators[faint].outputs[0])]
        ranges[name] = Range(*(factor * end for end in ranges[name]))
    return int8_twin(model, ranges, "uint8", "model")


def written(folder, model):
    path = folder / "model.tflite"
    path.write_bytes(flatbuffer.serialized(model))
    return path


@pytest.mark.parametrize(
    ("pool", "faint", "partitions", "reason"),
    [
        ("MAX_POOL_2D", None, 1, ""),
        ("AVERAGE_POOL_2D", None, 2, "no int8 kernel"),
        ("MAX_POOL_2D", 0, 3, "input scale / output scale is 3.4e-05, 0.00098 to 256 is allowed"),
    ],
)
def test_what_the_file_says_is_what_the_runtime_does(pool, faint, partitions, reason, tmp_path):
    path = written(tmp_path, int8(swish(pool), faint))
    measured = delegation.measure(path)
    said = delegation.estimate(Graph(flatbuffer.read(path)))
    assert measured["origin"] == "measured" and measured["runtime"].startswith("litert ")
    for key in ("partitions", "operators", "of", "left_out"):
        assert said[key] == measured[key]
    assert measured["partitions"] == partitions
    assert any(row["reason"].startswith(reason) for row in measured["left_out"])


def test_a_model_that_xnnpack_refuses_is_not_loaded(tmp_path):
    """LiteRT 2.3.0 frees memory twice when it falls back from XNNPACK, and may abort."""
    table = delegation.measure(written(tmp_path, int8(swish(), faint=5, factor=1e-6)))
    assert (table["origin"], table["partitions"], table["operators"]) == ("estimated", 0, 0)
    said = delegation.text(table)
    assert "and 10 more (XNNPACK refuses the model: of CONV_2D the product of the inputs'" in said


def test_a_float_model_is_taken_whole(tmp_path):
    path = written(tmp_path, swish("AVERAGE_POOL_2D"))
    for table in (delegation.measure(path), delegation.estimate(Graph(flatbuffer.read(path)))):
        assert (table["partitions"], table["left_out"]) == (1, [])
        assert delegation.text(table) == f"1 partition, {table['of']} of {table['of']} operators"


def test_reasons_are_said_once_with_the_first_operator():
    rows = [("ADD", f"t{place}", f"reason {place // 2}") for place in range(11)]
    left = [dict(zip(("operator", "output", "reason"), row, strict=True)) for row in rows]
    said = delegation.text({"partitions": 3, "operators": 9, "of": 20, "left_out": left})
    assert said.startswith("3 partitions, 9 of 20 operators; without ADD t0 and 1 more (reason 0);")
    assert said.endswith("ADD t6 and 1 more (reason 3); 3 more operators")


def test_inspect_names_what_is_left_out_and_why(tmp_path):
    path = written(tmp_path, int8(swish(), faint=0))
    shown = CliRunner().invoke(main, ["inspect", str(path)])
    assert "XNNPACK: 3 partitions" in shown.stdout
    assert "ADD" in shown.stdout and "0.00098 to 256 is allowed" in shown.stdout
    found = json.loads(CliRunner().invoke(main, ["inspect", str(path), "--json"]).stdout)
    rows = found["delegate"]["left_out"]
    assert (found["delegate"]["origin"], found["delegate"]["partitions"]) == ("estimated", 3)
    assert [row["reason"] for row in rows if row["operator"] == "QUANTIZE"] == [BORDER] * 2


def test_quantize_counts_the_partitions_of_what_it_has_written(tmp_path):
    photos, out = tmp_path / "photos", tmp_path / "int8.tflite"
    photos.mkdir()
    for place, image in enumerate(smooth_images(4, SIDE)):
        cv2.imwrite(str(photos / f"{place}.png"), image)
    path = written(tmp_path, swish("AVERAGE_POOL_2D"))
    arguments = ["quantize", path, "--calibration", photos, "--method", "minmax", "-o", out]
    shown = CliRunner().invoke(main, [*map(str, arguments), "--json"], catch_exceptions=False)
    assert shown.exit_code == 0, shown.output
    table = json.loads(shown.stdout)["xnnpack"]
    assert table == delegation.measure(out)
    left = {(row["operator"], row["reason"]) for row in table["left_out"]}
    assert ("AVERAGE_POOL_2D", "no int8 kernel") in left
    shown = CliRunner().invoke(main, [*map(str, arguments)], catch_exceptions=False)
    assert "XNNPACK      2 partitions" in shown.stdout
    assert "AVERAGE_POOL_2D" in shown.stdout
