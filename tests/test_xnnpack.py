"""Ratios of scales: XNNPACK takes what its table says, and the quantizer keeps within it."""

import subprocess
import sys

import numpy as np
import pytest

from edgecv.artifacts import Range
from edgecv.quantize.calibrate import observed, usable
from edgecv.quantize.kernels import accepted_twin
from edgecv.tflite import flatbuffer, runtime, xnnpack
from edgecv.tflite.graph import Graph, new_graph
from tests.foreign_files import Network
from tests.live_models import smooth_images

SIDE = 16
SHAPE = (1, 4, 4, 8)
WEIGHTS = {  # shape, axis of the output channels
    "CONV_2D": ((8, 1, 1, 8), 0),
    "DEPTHWISE_CONV_2D": ((1, 3, 3, 8), 3),
    "FULLY_CONNECTED": ((8, 8), 0),
}


def partitions(model):
    """How many parts of a model XNNPACK runs."""
    details = runtime.load(flatbuffer.serialized(model))._get_ops_details()
    return [row["op_name"] for row in details].count("DELEGATE")


def on_grid(graph, tensor, scale, count=1, axis=0):
    """Give a tensor an int8 grid."""
    parameters = flatbuffer.schema().QuantizationParametersT()
    parameters.scale = np.full(count, scale, np.float32)
    parameters.zeroPoint = np.zeros(count, np.int64)
    parameters.quantizedDimension = axis
    graph.tensors[tensor].quantization = parameters
    return tensor


def single(code, ratio):
    """An int8 model of one operator with that ratio of scales."""
    graph, schema = new_graph(), flatbuffer.schema()
    shape = (1, 8) if code == "FULLY_CONNECTED" else SHAPE
    scales = (1.0, 1.0) if code in WEIGHTS else (ratio, 1.0)
    image, output = (
        on_grid(graph, graph.add_tensor(shape, "int8", name), scale)
        for name, scale in zip(("image", "output"), scales, strict=True)
    )
    inputs = [image]
    kind = {"CONV_2D": "Conv2D", "DEPTHWISE_CONV_2D": "DepthwiseConv2D"}.get(
        code, code.title().replace("_", "")
    )
    options = getattr(schema, f"{kind}OptionsT")()
    if code in WEIGHTS:
        weights, axis = WEIGHTS[code]
        values = graph.add_constant(np.ones(weights, np.int8), "weights")
        bias = graph.add_constant(np.zeros(8, np.int32), "bias")
        inputs += [
            on_grid(graph, values, ratio, 8, axis),
            on_grid(graph, bias, ratio, 8),
        ]
        options.strideH = options.strideW = options.depthMultiplier = 1
    elif code != "QUANTIZE":
        inputs.append(on_grid(graph, graph.add_constant(np.ones((), np.int8), "three"), 1.0))
    graph.subgraph.inputs, graph.subgraph.outputs = np.array([[image], [output]], np.int32)
    graph.subgraph.operators.append(graph.new_operator(code, inputs, [output], options))
    for listed in graph.model.operatorCodes:
        listed.version = 3
    return graph.model


@pytest.mark.parametrize("code", xnnpack.LIMITS)
def test_xnnpack_takes_what_lies_within_the_limits_and_nothing_beyond(code):
    limit = xnnpack.LIMITS[code]
    for ratio in (limit.least or 1e-12, limit.end * 0.99):
        model = single(code, ratio)
        assert partitions(model) == 1, ratio
        assert not xnnpack.excesses(Graph(model))
    for ratio in (limit.least * 0.99, limit.end * 1.01)[not limit.least :]:
        model = single(code, ratio)
        assert refused(model) if limit.refuses else partitions(model) == 0, ratio
        assert [excess.ratio for excess in xnnpack.excesses(Graph(model))] == [pytest.approx(ratio)]


def refused(model):
    """Whether XNNPACK refuses a model, in a process of its own: LiteRT 2.3.0 may crash then."""
    script = (
        "import sys; from ai_edge_litert.interpreter import Interpreter as I;"
        "I(model_content=sys.stdin.buffer.read()).allocate_tensors()"
    )
    data = flatbuffer.serialized(model)
    done = subprocess.run([sys.executable, "-c", script], input=data, capture_output=True)
    return done.returncode < 0 or b"failed to create XNNPACK runtime" in done.stderr


@pytest.fixture(scope="module")
def swish():
    """A float classifier with a hard-swish and a product of two activations, and its ranges."""
    network = Network((1, SIDE, SIDE, 3)).conv(8)
    convolved, shape = network.at, network.graph.shape(network.at)
    three = network.constant(3.0, "float32")
    network.then("ADD", shape, three, kind="AddOptions", fusedActivationFunction=3)
    gate = network.at
    network.then("MUL", shape, gate, kind="MulOptions", source=convolved)
    model = network.conv(8).mean().dense().softmax().done()
    seen = observed(model, list(smooth_images(4, SIDE)))
    return model, usable(Graph(model), seen)


def output_of(graph, code):
    """The name of what the first operator of that kind makes."""
    place = next(made for made in graph.operators if graph.code(made) == code)
    return graph.unique_names()[int(place.outputs[0])]


@pytest.mark.parametrize("faint", ["CONV_2D", "MUL", "FULLY_CONNECTED"])
def test_a_range_too_narrow_for_xnnpack_is_widened_and_no_other(swish, faint):
    model, ranges = swish
    name = output_of(Graph(model), faint)
    low, high = ranges[name]
    narrow = ranges | {name: Range(low * 1e-6, high * 1e-6)}
    twin, wider, notes = accepted_twin(model, narrow, "uint8", "model")
    assert partitions(twin) == 1
    assert "1 range widened" in notes[0]
    assert {key for key in narrow if wider[key] != narrow[key]} == {name}
    assert narrow[name].high < wider[name].high < high


def test_what_one_operator_needs_is_not_too_wide_for_the_next(swish):
    """The hard-swish's input must be within 1024 of its gate, which must be within 256 of it."""
    model, ranges = swish
    graph = Graph(model)
    names = [output_of(graph, code) for code in ("CONV_2D", "ADD", "MUL")]
    faint = {name: Range(*(1e-7 * end for end in ranges[name])) for name in names}
    twin, wider, _ = accepted_twin(model, ranges | faint, "uint8", "model")
    assert partitions(twin) == 1
    assert {key for key in ranges if wider[key] != (ranges | faint)[key]} <= {*names}


def test_ranges_that_xnnpack_takes_stay_as_they_are(swish):
    model, ranges = swish
    twin, same, notes = accepted_twin(model, ranges, "uint8", "model")
    assert (same, notes, partitions(twin)) == (ranges, [], 1)
