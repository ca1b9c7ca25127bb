"""Models that leave their batch open: at a batch of 1 everywhere, and it is said once."""

import json
import shlex

import numpy as np
import pytest
from click.testing import CliRunner

from edgecv.cli import main
from edgecv.errors import UnsupportedModelError
from edgecv.quantize.checks import check_quantizable
from edgecv.quantize.pixels import saying
from edgecv.tflite import contract, flatbuffer, open_batch, runtime
from edgecv.tflite.graph import Graph
from tests import coral_models, foreign_files
from tests.foreign_files import classifier, flattened, moved_outside, opened

IMAGES = np.random.default_rng(1).integers(0, 255, (3, 16, 16, 3), np.uint8)


def scores(model):
    return runtime.run(runtime.load(flatbuffer.serialized(model)), IMAGES)


def codes(model):
    graph = Graph(model)
    return [graph.code(each) for each in graph.operators]


def is_settled(model):
    graph = Graph(model)
    signatures = [graph.tensors[each].shapeSignature for each in graph.activations()]
    return all(each is None or min(each) > 0 for each in signatures)


@pytest.mark.parametrize("make", [lambda: opened(classifier()), flattened])
def test_an_open_batch_becomes_one_and_answers_stay(make):
    model = make()
    before = scores(model)
    with pytest.raises(UnsupportedModelError, match="dynamic shape"):
        check_quantizable(make(), "open.tflite")
    assert open_batch.set_batch(model) == [open_batch.NOTE]
    assert is_settled(model)
    assert np.array_equal(scores(model), before)
    check_quantizable(model, "open.tflite")
    assert open_batch.set_batch(model) == [], "it is settled already"


def test_shapes_that_are_worked_out_at_run_time_become_constants():
    model = flattened()
    assert codes(model)[1:4] == ["SHAPE", "STRIDED_SLICE", "PACK"]
    open_batch.set_batch(model)
    assert codes(model) == ["CONV_2D", "RESHAPE", "FULLY_CONNECTED", "SOFTMAX"]
    graph = Graph(model)
    reshape = graph.operators[1]
    assert graph.constant(int(reshape.inputs[1])).tolist() == [1, 256]
    assert graph.shape(int(reshape.outputs[0])) == (1, 256)


def test_a_model_of_a_fixed_batch_is_left_alone():
    model = classifier()
    before = flatbuffer.serialized(model)
    assert open_batch.set_batch(model) == []
    assert flatbuffer.serialized(model) == before


@pytest.mark.parametrize("signature", [[-1, -1, -1, 3], [1, -1, 16, 3]])
def test_other_open_sizes_are_refused_in_one_line(signature):
    model = classifier()
    graph = Graph(model)
    graph.tensors[int(graph.subgraph.inputs[0])].shapeSignature = np.array(signature, np.int32)
    assert open_batch.set_batch(model) == []
    with pytest.raises(UnsupportedModelError, match=r"^any\.tflite: tensor 'image' has a dynamic"):
        check_quantizable(model, "any.tflite")


def test_a_batch_that_the_file_sets_higher_is_not_touched():
    model = foreign_files.Network((4, 16, 16, 3)).conv(4).mean().dense().done()
    assert open_batch.set_batch(opened(model)) == []


def test_quantizing_takes_it_with_pixels_of_any_scale(tmp_path):
    from edgecv.artifacts import Normalization

    path = tmp_path / "open.tflite"
    path.write_bytes(moved_outside(flatbuffer.serialized(flattened())))
    for scale in (Normalization((0.0,) * 3, (1.0,) * 3), Normalization((1.0, 2.0, 3.0))):
        said = contract.read(path, contract.Asked(scale))
        with saying(path, said) as model:
            assert open_batch.is_open(flatbuffer.read(model.path)), "prepare settles it, and says"


def int8_file(path):
    model = opened(coral_models.classifier())
    path.write_bytes(flatbuffer.serialized(model))
    return path


def test_the_plan_for_the_edge_tpu_says_so_once(tmp_path):
    path = int8_file(tmp_path / "model.tflite")
    shown = CliRunner().invoke(main, ["coral", "plan", str(path)])
    assert (shown.exit_code, shown.output.count(open_batch.NOTE)) == (0, 1)
    found = json.loads(CliRunner().invoke(main, ["coral", "plan", str(path), "--json"]).output)
    assert (found["notes"], found["verdict"]) == ([open_batch.NOTE], "maps fully")


def test_every_operator_is_measured_though_the_file_works_out_shapes_at_run_time(tmp_path):
    path = tmp_path / "open.tflite"
    path.write_bytes(flatbuffer.serialized(flattened()))
    arguments = ["--per-op", "--inferences", "2", "--warmup", "0", "--force", "--json"]
    shown = CliRunner().invoke(main, ["profile", str(path), *arguments])
    rows = json.loads(shown.stdout)["operators"]
    assert len(rows) == 4
    assert all("ms" in row for row in rows)


def test_inspect_says_so_once(tmp_path):
    path = tmp_path / "model.tflite"
    path.write_bytes(flatbuffer.serialized(opened(classifier())))
    shown = CliRunner().invoke(main, ["inspect", str(path)])
    assert (shown.exit_code, shown.output.count(open_batch.RUN_AT_ONE)) == (0, 1)
    path.write_bytes(flatbuffer.serialized(classifier()))
    shown = CliRunner().invoke(main, ["inspect", str(path), "--json"])
    assert json.loads(shown.output)["notes"] == []


@pytest.mark.parametrize("outside", [False, True])
def test_the_compiler_gets_one_flatbuffer_with_a_batch_of_one(tmp_path, outside):
    path, taken = int8_file(tmp_path / "model.tflite"), tmp_path / "taken.tflite"
    if outside:
        path.write_bytes(moved_outside(flatbuffer.serialized(coral_models.classifier())))
    compiler = tmp_path / "compiler"
    compiler.write_text(f"#!/bin/sh\ncp model.tflite {shlex.quote(str(taken))}\n")
    compiler.chmod(0o755)
    arguments = ["coral", "compile", str(path), "--compiler", str(compiler)]
    assert CliRunner().invoke(main, arguments).exit_code == 1, "it makes nothing"
    data = taken.read_bytes()
    assert is_settled(flatbuffer.parse(data))
    wanted = flatbuffer.serialized(coral_models.classifier())
    assert len(data) == pytest.approx(len(wanted), abs=64)
