"""What a plan claims and what it does not: exact bytes, cached, the least runtime."""

import numpy as np
import pytest
from click.testing import CliRunner

from edgecv.cli import main
from edgecv.coral.planner import plan
from edgecv.tflite import flatbuffer, operators
from tests import made_packages
from tests.coral_models import Model

BYTES = 8 * 8 * 16


def convolutions():
    return Model(1, 8, 8, 3).quantize().conv(16, 3)


def test_constants_of_elementwise_operators_are_sent_with_every_inference():
    model = convolutions()
    heat = model.constant(np.ones((8, 8, 16)), "int8", 1)
    scale = model.constant(np.ones(()), "int8", 1)
    model.then("MUL", (1, 8, 8, 16), heat, kind="MulOptions")
    found = plan(model.then("ADD", (1, 8, 8, 16), scale, kind="AddOptions").done())
    plain = plan(convolutions().done())
    assert found.constant_bytes == BYTES, "a single number is no constant that is sent"
    assert found.parameter_bytes == plain.parameter_bytes + BYTES
    assert found.cache.streamed_bytes == (BYTES,) * 3
    assert found.cache.verdict == "cached"
    assert found.parameters_unconfirmed == ["MUL"]


def test_bytes_are_exact_only_for_what_compiled_files_confirm():
    assert plan(convolutions().done()).parameters_exact
    model = convolutions()
    sixteen = model.at
    six, model.at = model.conv(6).at, sixteen
    model.then("CONCATENATION", (1, 8, 8, 22), six, kind="ConcatenationOptions", axis=3)
    assert plan(model.done()).parameters_unconfirmed == ["CONCATENATION of odd channels"]
    scores = convolutions().mean().softmax().done()
    assert plan(scores).parameters_unconfirmed == ["MEAN", "SOFTMAX of 16 classes"]


def test_a_recurrent_layer_leaves_the_verdict_open():
    model = Model(1, 8, 8, dtype="int8")
    weights = model.constant(np.ones((4, 8)), "int8", 1)
    model.then("UNIDIRECTIONAL_SEQUENCE_LSTM", (1, 8, 4), *[weights] * 8)
    found = plan(model.done())
    assert found.mapped == 1
    assert (found.cache.verdict, found.cache.unsized) == ("undecided", True)
    assert "no formula is known" in found.findings[0]["reason"]


def test_activations_of_operators_that_stay_behind_take_no_room_on_the_chip():
    model = convolutions()
    model.then("HARD_SWISH", (1, 8, 8, 16)).then("RELU", (1, 512, 512, 16))
    flat = model.done()
    found = plan(flat)
    assert found.mapped == 2
    assert found.activation_peak_bytes == 8 * 8 * 3 + BYTES
    assert operators.activation_peak(flat) > 512 * 512 * 16


@pytest.mark.parametrize(("code", "runtime"), [("QUANTIZE", 12), ("SPLIT", 13)])
def test_the_least_runtime_is_what_compiled_files_ask_for(code, runtime):
    model = Model(1, 8, 8, 16, dtype="int8")
    if code == "QUANTIZE":
        model.quantize("uint8")
    else:
        axis, whole = model.constant(3, "int32"), model.at
        model.then("SPLIT", (1, 8, 8, 8), source=axis)
        operator = model.graph.operators[-1]
        operator.inputs = np.array([axis, whole], np.int32)
        operator.builtinOptions = flatbuffer.schema().SplitOptionsT()
        operator.builtinOptions.numSplits = 1
        operator.builtinOptionsType = flatbuffer.schema().BuiltinOptions.SplitOptions
    found = plan(model.done())
    assert (found.mapped, found.min_runtime) == (1, runtime)


@pytest.fixture
def compiled_file(tmp_path):
    return made_packages.written(tmp_path / "model_edgetpu.tflite", made_packages.cached())


@pytest.mark.parametrize(
    ("command", "advice"),
    [
        ("profile", "or --device with a Coral"),
        ("evaluate --data nowhere", "or --device with a Coral"),
        ("evaluate --data nowhere --device rpi4", "or --device with a Coral"),
        ("demo --once --json", "or --device with a Coral"),
        ("quantize --calibration nowhere -o out.tflite", "give the float model"),
    ],
)
def test_a_compiled_file_is_refused_where_it_cannot_run(compiled_file, command, advice):
    name, *arguments = command.split()
    shown = CliRunner().invoke(main, [name, str(compiled_file), *arguments])
    assert (shown.exit_code, shown.output.count("\n")) == (1, 1)
    assert f"{compiled_file}: is compiled for the Edge TPU" in shown.output
    assert advice in shown.output


def test_the_file_before_compiling_is_named_where_it_lies_beside(compiled_file):
    before = compiled_file.with_name("model.tflite")
    before.write_bytes(flatbuffer.serialized(convolutions().done()))
    shown = CliRunner().invoke(main, ["profile", str(compiled_file)])
    assert f"use the file it was compiled from, {before}, or" in shown.output


def test_on_a_coral_a_compiled_file_is_not_refused(compiled_file):
    arguments = ["--data", "nowhere", "--device", "coral_usb_rpi4"]
    shown = CliRunner().invoke(main, ["evaluate", str(compiled_file), *arguments])
    assert "nowhere" in shown.output
    assert "runs on nothing else" not in shown.output
