"""The planner: which operators map to the Edge TPU and why not, what it costs, how sure it is."""

import inspect
import json
import re
import subprocess
import sys

import numpy as np
import pytest
from click.testing import CliRunner

from edgecv.cli import main
from edgecv.coral import constraints, rules
from edgecv.coral.planner import plan
from edgecv.coral.rule_tables import GRADES, table
from edgecv.tflite import flatbuffer
from tests import coral_models
from tests.coral_models import Model, classifier


def run(*arguments):
    return CliRunner().invoke(main, ["coral", *map(str, arguments)])


@pytest.fixture
def written(tmp_path):
    """Writes a model and gives its path."""
    return lambda model: flatbuffer.write(model, tmp_path / "model.tflite")


def places(found):
    return [row["place"] for row in found.operators]


# -- single operators -------------------------------------------------------------------------


def around(add, *shape):
    """A model with an operator of interest behind three others."""
    model = Model(1, *(shape or (8, 8, 8)), dtype="int8").conv(8).conv(8).conv(8)
    add(model)
    return model.done()


def pool(model, code="MAX_POOL_2D", fused=0):
    shape = model.graph.shape(model.at)
    model.then(code, shape, kind="Pool2DOptions", fusedActivationFunction=fused)


def concatenate(model, values, fused=0):
    height, width = model.graph.shape(model.at)[1:3]
    constants = [model.constant(np.full((1, height, width, 8), each), "int8", 1) for each in values]
    out = (1, height, width, 8 + 8 * len(values))
    options = {"kind": "ConcatenationOptions", "axis": 3, "fusedActivationFunction": fused}
    model.then("CONCATENATION", out, *constants, **options)


def resize(model, height, width, to, channels=8):
    model.then("RESIZE_BILINEAR", (1, *to, channels), model.constant(to, "int32"))


def computed_weights(model):
    weights = model.activation((1, 1, 1, 8))
    model.inputs.append(weights)
    model.then("CONV_2D", (1, 8, 8, 1), weights, kind="Conv2DOptions")


def prelu(model, shape):
    model.then("PRELU", (1, 8, 8, 8), model.constant(np.ones(shape), "int8", 1))


def squeeze(model, shape):
    model.then("SQUEEZE", shape, kind="SqueezeOptions")


def slices(model, stride):
    numbers = [model.constant([0, 0, 0, 0], "int32"), model.constant([1, 8, 8, 8], "int32")]
    numbers.append(model.constant([1, stride, 1, 1], "int32"))
    shape = (1, 8 // stride, 8, 8)
    model.then("STRIDED_SLICE", shape, *numbers, kind="StridedSliceOptions")


def pad(model, batch):
    rows = [[batch, batch], [1, 1], [1, 1], [0, 0]]
    model.then("PAD", (1 + 2 * batch, 10, 10, 8), model.constant(rows, "int32"))


def padded_sum(model):
    model.then("PAD", (1, 8, 8, 8), model.constant(np.zeros((4, 2)), "int32"))
    model.then("ADD", (1, 8, 8, 8), model.at, kind="AddOptions")


def dilated(model, height, width):
    model.conv(8, 3, dilationHFactor=height, dilationWFactor=width)


def grouped(model):
    weights = model.constant(np.ones((8, 1, 1, 4)), "int8", 8)
    model.then("CONV_2D", (1, 8, 8, 8), weights, kind="Conv2DOptions")


def split(model, axis):
    model.then("SPLIT", (1, 8, 8, 4), model.at, source=model.constant([axis], "int32"))


def flat(model, **options):
    model.mean().dense(10, **options)


REFUSED = {  # constraint: an operator that keeps to it, one that does not
    "eight_bits": (lambda m: m.quantize("uint8"), lambda m: m.quantize("float32")),
    "three_axes": (
        lambda m: m.then("RELU", (1, 1, 8, 8, 8)),
        lambda m: m.then("RELU", (1, 2, 4, 8, 8)),
    ),
    "constant_parameters": (lambda m: m.conv(8), computed_weights),
    "no_fused_activation": (pool, lambda m: pool(m, fused=1)),
    "one_dilation": (lambda m: dilated(m, 2, 2), lambda m: dilated(m, 2, 1)),
    "one_group": (lambda m: m.conv(8), grouped),
    "zero_constant_of_two": (lambda m: concatenate(m, [0]), lambda m: concatenate(m, [1])),
    "default_weights": (flat, lambda m: flat(m, weightsFormat=1)),
    "flat_output": (flat, lambda m: flat(m, keepNumDims=True)),
    "one_weight_scale": (flat, lambda m: flat(m, scales=10)),
    "batch_stays": (lambda m: m.mean(1, 2), lambda m: m.mean(0, 1, 2)),
    "not_along_batch": (
        lambda m: m.then("PACK", (1, 8, 8, 8), kind="PackOptions", axis=1),
        lambda m: m.then("PACK", (1, 1, 8, 8, 8), kind="PackOptions", axis=0),
    ),
    "not_split_along_batch": (lambda m: split(m, 3), lambda m: split(m, 0)),
    "batch_not_padded": (lambda m: pad(m, 0), lambda m: pad(m, 1)),
    "one_slope_a_channel": (lambda m: prelu(m, (1, 1, 8)), lambda m: prelu(m, (8, 8, 8))),
    "output_fits": (
        lambda m: resize(m, 8, 8, (16, 16)),
        lambda m: resize(m, 8, 8, (640, 640)),
    ),
    "one_softmax": (lambda m: flat(m) or m.softmax(), lambda m: m.softmax()),
    "leading_ones": (lambda m: squeeze(m, (8, 8, 8)), lambda m: squeeze(m, (1, 8, 64))),
    "plain_slice": (lambda m: slices(m, 1), lambda m: slices(m, 2)),
}
SHAPED = {  # the same, on other shapes
    "depth_of_fours": [(lambda m: m.mean(3), (8, 8, 3)), (lambda m: m.conv(6).mean(3), (8, 8, 3))],
    "mean_of_a_small_map": [(lambda m: m.mean(), (33, 33, 8)), (lambda m: m.mean(), (256, 128, 3))],
    "not_from_a_point": [
        (lambda m: resize(m, 3, 3, (9, 9)), (3, 3, 8)),
        (lambda m: resize(m, 1, 1, (9, 9)), (1, 1, 8)),
    ],
}


@pytest.mark.parametrize("name", [*REFUSED, *SHAPED])
def test_an_operator_that_breaks_a_constraint_stays_behind_and_says_why(name):
    if name in SHAPED:
        fits, breaks = (around(add, *shape) for add, shape in SHAPED[name])
    else:
        fits, breaks = (around(add) for add in REFUSED[name])
    found = plan(fits)
    assert set(places(found)) == {"tpu"}, found.operators
    row = plan(breaks).operators[-1]
    expected = rules.rule(name)
    assert row["place"] == "cpu"
    assert (row["reason"], row["fix"], row["grade"]) == (
        expected.reason,
        expected.fix,
        expected.grade,
    )


def test_every_constraint_is_used_has_words_and_a_source():
    functions = {
        name
        for name, each in inspect.getmembers(constraints, inspect.isfunction)
        if each.__module__ == constraints.__name__
    }
    named = set(rules.ALWAYS)
    for row in table("operators").values():
        named |= {*row.get("constraints", ()), *row.get("risks", ())}
    assert functions == named == set(rules.names())
    for name in functions:
        found = rules.rule(name)
        assert len(found.reason) > 10
        assert len(found.fix) > 10
        assert found.grade in GRADES
        assert found.grade in GRADES


def test_the_builds_of_the_driver_are_printed_with_what_happens():
    shown = run("rules").stdout
    for row in table("runtimes")["builds"]:
        assert row["source"]
        assert f"{row['build']}, {row['runtime']}: {row['status']}" in shown


def test_every_row_of_data_has_a_source_and_a_grade():
    costs = table("costs")
    tables = [*table("operators").values(), *table("findings").values(), *costs["hosts"].values()]
    tables += [costs[name] for name in ("parameters", "cache", "cycles")]
    for row in tables:
        assert row["grade"] in GRADES
        assert row["source"]


@pytest.mark.parametrize("name", table("operators"))
def test_the_printed_rules_have_every_operator_and_its_source(name):
    shown = run("rules", "--markdown").stdout
    line = next(line for line in shown.splitlines() if line.startswith(f"| {name} |"))
    assert table("operators")[name]["source"] in line


# -- risks, versions, whole models ------------------------------------------------------------


@pytest.mark.parametrize(
    ("add", "shape", "name"),
    [
        (lambda m: concatenate(m, [0]), (256, 256, 8), "large_concatenation"),
        (lambda m: m.conv(6).then("RESHAPE", (1, 384)), (8, 8, 8), "flattened_fours"),
        (lambda m: m.then("TRANSPOSE", (1, 8, 8, 8)), (8, 8, 8), "transposing"),
        (lambda m: resize(m, 8, 8, (9, 9)), (8, 8, 8), "precision_of_resizing"),
        (padded_sum, (8, 8, 8), "terms_without_padding"),
        (lambda m: m.mean().dense(100_000), (8, 8, 8), "many_outputs"),
        (
            lambda m: m.then("TRANSPOSE_CONV", (1, 8, 8, 8)),
            (8, 8, 8),
            "transposed_convolution",
        ),
    ],
)
def test_what_may_not_map_is_a_warning(add, shape, name):
    found = plan(around(add, *shape))
    assert found.exit_code == 0
    assert name in [row.get("name") for row in found.warnings]
    assert name not in [row.get("name") for row in plan(classifier()).warnings]


@pytest.mark.parametrize(
    ("code", "version", "grade"),
    [("CONV_2D", 6, "documented"), ("ADD", 3, "expected"), ("QUANTIZE", 3, "documented")],
)
def test_a_version_that_the_compiler_does_not_know_refuses_the_file(code, version, grade):
    model = Model(1, 8, 8, 8, dtype="int8")
    kind = {"CONV_2D": "Conv2DOptions", "ADD": "AddOptions", "QUANTIZE": ""}[code]
    weights = model.constant(np.ones((8, 1, 1, 8)), "int8", 8)
    others = [] if code == "QUANTIZE" else [weights]
    model.then(code, (1, 8, 8, 8), *others, kind=kind, version=version)
    found = plan(model.done())
    assert found.exit_code == 4
    assert [row["operator"] for row in found.blockers] == [code]
    assert found.blockers[0]["grade"] == grade


@pytest.mark.parametrize(
    ("code", "place"), [("HARD_SWISH", "cpu"), ("GELU", "refused"), ("ARG_MAX", "cpu")]
)
def test_an_operator_without_support_stays_behind_or_refuses_the_file(code, place):
    found = plan(around(lambda model: model.then(code, (1, 8, 8, 8))))
    assert places(found) == ["tpu"] * 3 + [place]
    assert found.exit_code == (4 if place == "refused" else 3)
    assert found.operators[-1]["fix"]
    assert not found.latency


def test_a_float_model_a_batch_and_a_size_that_is_not_known_refuse_the_file():
    floats = Model(1, 8, 8, 8, dtype="float32").then("RELU", (1, 8, 8, 8), dtype="float32").done()
    batch = Model(2, 8, 8, 8, dtype="int8").then("RELU", (2, 8, 8, 8)).done()
    model = Model(1, 8, 8, 8, dtype="int8").then("RELU", (1, 8, 8, 8))
    model.graph.tensors[0].shapeSignature = np.array([1, -1, 8, 8], np.int32)
    for each, name in [
        (floats, "not_quantized"),
        (batch, "more_than_one"),
        (model.done(), "dynamic_sizes"),
    ]:
        found = plan(each)
        assert [row.get("name") for row in found.blockers] == [name]
        assert found.exit_code == 4


def test_a_model_of_which_nothing_maps_says_so():
    model = Model(1, 8, 8, 8, dtype="int8").then("HARD_SWISH", (1, 8, 8, 8)).conv(8)
    found = plan(model.done())
    assert (found.verdict, found.mapped) == ("maps partly", 1)
    model = Model(1, 8, 8, 8, dtype="int8").then("HARD_SWISH", (1, 8, 8, 8))
    found = plan(model.done())
    assert (found.verdict, found.exit_code) == ("nothing maps", 4)


# -- partition --------------------------------------------------------------------------------


def test_only_the_first_part_that_maps_is_kept():
    model = Model(1, 8, 8, 8, dtype="int8").conv(8).then("HARD_SWISH", (1, 8, 8, 8)).conv(8)
    found = plan(model.done())
    assert places(found) == ["tpu", "cpu", "cpu"]
    assert "More than one subgraph" in found.operators[2]["reason"]
    assert found.cpu_macs_share == pytest.approx(0.5)


def test_what_comes_before_the_first_part_does_not_cut_it_off():
    model = Model(1, 8, 8, 8, dtype="float32").quantize().conv(8).conv(8)
    assert places(plan(model.done())) == ["cpu", "tpu", "tpu"]


def test_a_head_that_does_not_need_the_unsupported_operator_still_maps():
    model = Model(1, 8, 8, 8, dtype="int8").conv(8)
    trunk = model.at
    model.then("ARG_MAX", (1, 8, 8), model.constant([3], "int32"), dtype="int32")
    first, model.at = model.at, trunk
    model.conv(4)
    assert places(plan(model.done(first, model.at))) == ["tpu", "cpu", "tpu"]


# -- figures ----------------------------------------------------------------------------------


def test_the_plan_of_a_small_classifier():
    found = plan(classifier())
    assert found.exit_code == 0
    assert found.verdict == "maps fully"
    assert found.origin == "estimated"
    assert found.min_runtime == 12  # QUANTIZE is in compiled files that ask for no more
    layers = 16 * (12 + 9 * 4) + 16 * (12 + 4 * 9) + 32 * (12 + 16) + 16 * (8 + 24)
    assert found.parameter_bytes == layers + 16 * (4 + 3 * 12)
    assert not found.parameters_exact  # one scale for the dense layer: seen in one log
    assert found.io_bytes == 16 * 16 * 3 + 16  # the ten scores fill two words
    assert found.cache.verdict == "cached"
    assert [each["host"] for each in found.latency] == [*table("costs")["hosts"]]
    assert all(each["low_ms"] < each["ms"] < each["high_ms"] for each in found.latency)
    assert sum(found.cycles["by_kind"].values()) == pytest.approx(found.cycles["total"])


def test_dense_weights_with_a_scale_for_each_output_do_not_map():
    found = plan(classifier(scales=10))
    assert found.exit_code == 3
    assert [row["place"] for row in found.operators][-3:] == ["cpu"] * 3
    assert "--target coral" in found.operators[-3]["fix"]


def test_the_command_prints_the_plan_and_exits_by_it(written):
    path = written(classifier())
    shown = run("plan", path)
    assert shown.exit_code == 0
    assert "maps fully: 8 of 8 operators" in shown.stdout
    assert "estimated" in shown.stdout.splitlines()[0]
    assert shown.stdout.splitlines()[-1] == f"Next: edgecv coral compile {path}"
    lines = run("plan", path, "--operators").stdout.splitlines()
    assert len(lines[0].split()) > 4
    assert [line.split()[1:4] for line in lines[1:4]] == [
        ["QUANTIZE", "1", "tpu"],
        ["CONV_2D", "3", "tpu"],
        ["DEPTHWISE_CONV_2D", "3", "tpu"],
    ]
    table = json.loads(run("plan", path, "--json").stdout)
    assert table["verdict"] == "maps fully"
    assert table["origin"] == "estimated"
    partly = run("plan", written(classifier(scales=10)))
    assert partly.exit_code == 3
    assert "Latency is estimated only for what maps fully" in partly.stdout
    assert run("plan", written(around(lambda m: m.then("GELU", (1, 8, 8, 8))))).exit_code == 4


def test_the_command_says_in_one_line_what_it_cannot_plan(tmp_path, written):
    (tmp_path / "no.tflite").write_bytes(b"no model")
    compiled = Model(1, 8, 8, 3)
    compiled.then("CUSTOM", (1, 10))
    compiled.graph.model.operatorCodes[0].customCode = b"edgetpu-custom-op"
    for path, said in [
        (tmp_path / "absent.tflite", "cannot be read"),
        (tmp_path / "no.tflite", "not a TFLite file"),
        (written(compiled.done()), "is compiled already"),
    ]:
        shown = run("plan", path)
        assert shown.exit_code == 1
        assert re.fullmatch(rf"Error: {path}: .*{said}.*\n", shown.stderr)


def test_planning_needs_no_tensorflow(written):
    code = (
        "import sys; from edgecv.cli import main\n"
        f"try: main(['coral', 'plan', {str(written(classifier()))!r}])\n"
        "except SystemExit: pass\n"
        "print([name for name in ('tensorflow', 'tf_keras') if name in sys.modules])"
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert shown.stdout.splitlines()[-1] == "[]"


def test_the_builder_of_these_models_is_what_the_runtime_takes():
    from edgecv.tflite import runtime

    assert runtime.load(flatbuffer.serialized(coral_models.classifier()))
