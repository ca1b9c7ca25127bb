"""From observed to usable ranges: what the network's own clips and copies say about them."""

import math
from collections.abc import Mapping

from edgecv.artifacts import Range
from edgecv.tflite import contract
from edgecv.tflite.flatbuffer import ModelT
from edgecv.tflite.graph import Graph, OperatorT

BOUNDS = {  # where an activation's outputs end, by the schema's name for it
    "RELU": Range(0.0, math.inf),
    "RELU6": Range(0.0, 6.0),
    "RELU_N1_TO_1": Range(-1.0, 1.0),
}
FIXED = {  # the int8 kernels know only these
    "SOFTMAX": Range(0.0, 1.0),
    "LOGISTIC": Range(0.0, 1.0),
    "TANH": Range(-1.0, 1.0),
}
ONE_SCALE = {  # the int8 kernels copy or compare bytes: inputs and output share one grid
    "AVERAGE_POOL_2D",
    "CONCATENATION",
    "MAX_POOL_2D",
    "PAD",
    "RESHAPE",
    "SQUEEZE",
    "STRIDED_SLICE",
    "TRANSPOSE",
}
NARROWEST = 1e-3  # a dead tensor's range: its scale must not make other tensors' integers overflow


def refined(graph: Graph, observed: Mapping[str, Range]) -> dict[str, Range]:
    """The range to quantize each activation to, by its name.

    A clip that saturates is where the range ends, exactly; a clip that nothing reaches costs no
    resolution; linear outputs keep their sign. Zero is in every range.
    """
    names = graph.unique_names()
    ranges = {names[int(tensor)]: image_range(graph.model) for tensor in graph.subgraph.inputs}
    for operator in graph.operators:
        for tensor in map(int, operator.outputs):
            if graph.dtype(tensor) == "float32":
                name = names[tensor]
                ranges[name] = _behind(graph, operator, observed[name])
    for tensor, low in _unread_below(graph).items():
        ranges[names[tensor]] = _raised(ranges[names[tensor]], low)
    _share(graph, ranges)
    return ranges


def image_range(model: ModelT) -> Range:
    """The range of a model's image: its bytes stand for themselves to within one level.

    Pixels of [-1, 1] go on a grid of 1/128 with its zero at byte 128. A step of 1/127.5 would put
    every real pixel exactly between two bytes: whoever rounds then moves each by half a level,
    which costs 1 to 2 points of agreement with the float model.
    """
    (mean, *_), (std, *_) = contract.read_model(model).image.normalization
    zero = math.ceil(mean)
    step = mean / zero / std if zero else 1 / std
    return Range(-mean / std, 255 * step - mean / std)


def _behind(graph: Graph, operator: OperatorT, observed: Range) -> Range:
    """The range of what an operator makes."""
    code = graph.code(operator)
    if code in FIXED:
        return FIXED[code]
    activation = code if code in BOUNDS else graph.fused(operator)
    bounds = BOUNDS.get(activation, Range(-math.inf, math.inf))
    low = max(min(observed.low, 0.0), bounds.low)
    high = min(max(observed.high, 0.0), bounds.high)
    return Range(low, high) if high - low >= NARROWEST else Range(low, low + NARROWEST)


def _raised(whole: Range, low: float) -> Range:
    """A range without what lies below `low`."""
    return Range(max(whole.low, low), whole.high) if whole.high - low >= NARROWEST else whole


def _unread_below(graph: Graph) -> dict[int, float]:
    """Where a hard-swish's input ends: below -3, x * relu6(x + 3) is 0 whatever x is.

    By tensor, for those that nothing else reads.
    """
    readers: dict[int, list[OperatorT]] = {}
    for operator in graph.operators:
        for tensor in map(int, operator.inputs):
            readers.setdefault(tensor, []).append(operator)
    shifts = {}
    for operator in graph.operators:
        if graph.code(operator) != "ADD" or graph.fused(operator) not in {"RELU", "RELU6"}:
            continue
        source, *constants = sorted(map(int, operator.inputs), key=graph.is_constant)
        shift = graph.constant(constants[0])
        gate = int(operator.outputs[0])
        others = [reader for reader in readers[source] if reader is not operator]
        if shift is not None and all(_gated(graph, other, source, gate) for other in others):
            shifts[source] = -float(shift.max())
    return shifts


def _gated(graph: Graph, operator: OperatorT, source: int, gate: int) -> bool:
    """Whether an operator is the product of `source` and `gate`."""
    return graph.code(operator) == "MUL" and {source, gate} == set(map(int, operator.inputs))


def _share(graph: Graph, ranges: dict[str, Range]) -> None:
    """Give the inputs and the output of copying operators one range, the widest, in place."""
    names = graph.unique_names()
    for tensors in scale_groups(graph):
        group = [names[t] for t in tensors if names[t] in ranges]
        if len(group) > 1:
            lows, highs = zip(*(ranges[name] for name in group), strict=True)
            ranges.update(dict.fromkeys(group, Range(min(lows), max(highs))))


def scale_groups(graph: Graph) -> list[list[int]]:
    """The activations, in the order they are made, by groups that must share one grid."""
    group_of = {tensor: [tensor] for tensor in graph.activations()}
    for operator in graph.operators:
        if graph.code(operator) not in ONE_SCALE:
            continue
        tensors = map(int, [*operator.inputs, *operator.outputs])
        joined = [member for tensor in tensors for member in group_of.get(tensor, [])]
        joined = [*dict.fromkeys(joined)]
        group_of.update(dict.fromkeys(joined, joined))
    return list({id(group): group for group in group_of.values()}.values())
