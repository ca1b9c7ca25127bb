"""The facts of an operator that decide its cost on the Edge TPU, and its weights' bytes there.

The parameter layout was read out of compiled files, in which the weights stand verbatim: output
channels are filled up to whole lanes, input channels to blocks, and each output channel brings its
bias and, where weights have several scales, two words more.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

from edgecv.coral.rule_tables import costs
from edgecv.tflite.graph import Graph, OperatorT

CONVOLUTION, DEPTHWISE = "CONV_2D", "DEPTHWISE_CONV_2D"
FULLY_CONNECTED, SOFTMAX, RESHAPE = "FULLY_CONNECTED", "SOFTMAX", "RESHAPE"
CONCATENATION = "CONCATENATION"
WEIGHTED = (CONVOLUTION, DEPTHWISE, FULLY_CONNECTED)
CONFIRMED = frozenset(  # operators of compiled files whose bytes the formula gives
    {*WEIGHTED, CONCATENATION, SOFTMAX, RESHAPE, "ADD", "AVERAGE_POOL_2D", "PAD", "QUANTIZE"}
    | {"RESIZE_BILINEAR", "TILE"}
)
SOFTMAX_SEEN = 1001  # classes


class Layer(NamedTuple):
    """One operator: its output's size, its filter, its channels."""

    kind: str  # the operator, as the schema spells it
    height: int  # of the output, in pixels
    width: int
    inputs: int  # channels
    outputs: int
    taps: int = 1  # height x width of the filter
    stored: str = ""  # how weights are: uint8, int8_per_channel, int8_per_tensor
    rows: int = 1  # of the input, in pixels; a flattening moves them
    columns: int = 1
    aligned: bool = True  # whether all that is put together has whole blocks of channels


def round_up(value: int, multiple: int) -> int:
    """The next multiple, or the value that is one."""
    return math.ceil(value / multiple) * multiple


def parameter_bytes(layer: Layer) -> int:
    """Bytes of a layer's parameters on the chip; 0 for what has none.

    For softmax and flattening each, one size was seen; for LSTM there is no formula.
    """
    rule: Callable[[Layer], int] | None = {
        CONVOLUTION: _dense,
        FULLY_CONNECTED: _dense,
        DEPTHWISE: _depthwise,
        SOFTMAX: _softmax,
        RESHAPE: _flatten,
    }.get(layer.kind)
    return rule(layer) if rule else 0


def has_no_formula(layer: Layer) -> bool:
    """Whether the bytes of a layer's parameters are not known."""
    return layer.kind.endswith("LSTM")


def doubt(layer: Layer) -> str:
    """Which of a layer's bytes no compiled file confirms, in words; empty where one does."""
    if layer.kind not in CONFIRMED:
        return layer.kind
    doubts = {
        f"{layer.kind} with one weight scale": layer.stored == "int8_per_tensor",
        f"{layer.kind} of {layer.outputs} classes": layer.kind == SOFTMAX
        and layer.outputs != SOFTMAX_SEEN,
        f"{layer.kind} of odd channels": not layer.aligned,
        f"{layer.kind} that moves channels": layer.kind == RESHAPE and _flatten(layer) > 0,
    }
    return next((words for words, holds in doubts.items() if holds), "")


def _dense(layer: Layer) -> int:
    constants = costs()["parameters"]
    lanes, bias = constants["lanes"], int(constants["bias_bytes"][layer.stored])
    weights = layer.taps * round_up(layer.inputs, int(constants["block"]))
    few = int(lanes["few"])
    if layer.outputs <= few:
        return round_up(few * bias, lanes["large"]) + few * weights
    lane = int(lanes["small"] if layer.outputs <= lanes["large"] else lanes["large"])
    return round_up(layer.outputs, lane) * (bias + weights)


def _depthwise(layer: Layer) -> int:
    """Each tap is stored four times: as a diagonal of the dense layer that it is computed by."""
    constants = costs()["parameters"]
    block, bias = int(constants["block"]), int(constants["bias_bytes"][layer.stored])
    return round_up(layer.outputs, block) * (bias + block * layer.taps)


def _softmax(layer: Layer) -> int:
    """Tables that compilers from 16 on add."""
    return 16 * (4 + 3 * round_up(layer.outputs, 4))


def _flatten(layer: Layer) -> int:
    """A permutation matrix, where rows of channels do not stay next to each other."""
    pixels = layer.rows * layer.columns
    block: int = costs()["parameters"]["block"]
    if pixels == 1 or layer.inputs % block == 0:
        return 0
    return round_up(layer.outputs, 64) * (4 + pixels * round_up(layer.inputs, block))


def layer_of(graph: Graph, operator: OperatorT) -> Layer:
    """The layer that an operator of a model is; weights that are float count as int8."""
    kind = graph.code(operator)
    source = _three(graph, int(operator.inputs[0])) if len(operator.inputs) else (1, 1, 1)
    target = _three(graph, int(operator.outputs[0])) if len(operator.outputs) else (1, 1, 1)
    rows, columns, inputs = source
    height, width, outputs = target
    if kind == RESHAPE and max(height, width) > 1:
        inputs = 4  # not flattened: pixels stay where they are
    plain = Layer(kind, height, width, inputs, outputs, rows=rows, columns=columns)
    if kind == CONCATENATION:
        parts = [_three(graph, int(tensor))[2] for tensor in operator.inputs]
        block = int(costs()["parameters"]["block"])
        return plain._replace(aligned=all(channels % block == 0 for channels in parts))
    if kind not in WEIGHTED:
        return plain
    weights = int(operator.inputs[1])
    shape = graph.shape(weights)
    if kind == FULLY_CONNECTED:
        return plain._replace(height=1, width=1, inputs=shape[-1], stored=_stored(graph, weights))
    return plain._replace(taps=shape[1] * shape[2], stored=_stored(graph, weights))


def _three(graph: Graph, tensor: int) -> tuple[int, int, int]:
    """A tensor's height, width and channels; what is missing is 1, a leading batch left out."""
    shape = [max(1, size) for size in graph.shape(tensor)] if tensor >= 0 else []
    height, width, channels = [1, 1, 1, *shape[-3:]][-3:] if len(shape) != 2 else (1, 1, shape[-1])
    return height, width, channels


def _stored(graph: Graph, weights: int) -> str:
    """How a layer's weights are stored, which decides what stands beside a bias."""
    grid = graph.tensors[weights].quantization
    scales = 0 if grid is None or grid.scale is None else len(grid.scale)
    if graph.dtype(weights) == "uint8":
        return "uint8"
    return "int8_per_tensor" if scales == 1 else "int8_per_channel"
