"""From observed to usable ranges: what the network's own clips and copies say about them."""

import math
from collections.abc import Mapping

from edgecv.artifacts import Range
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
# Pixels of [-1, 1] on a grid of 1/128 with its zero at byte 128: a byte stands for itself to within
# one level. A step of 1/127.5 would put every real pixel exactly between two bytes: whoever rounds
# then moves each by half a level, which costs 1 to 2 points of agreement with the float model.
IMAGE = Range(-1.0, 127 / 128)
NARROWEST = 1e-3  # a dead tensor's range: its scale must not make other tensors' integers overflow


def refined(graph: Graph, observed: Mapping[str, Range]) -> dict[str, Range]:
    """The range to quantise each activation to, by its name.

    A clip that saturates is where the range ends, exactly; a clip that nothing reaches costs no
    resolution; linear outputs keep their sign. Zero is in every range.
    """
    names = graph.unique_names()
    ranges = {names[int(tensor)]: IMAGE for tensor in graph.subgraph.inputs}
    for operator in graph.operators:
        for tensor in map(int, operator.outputs):
            if graph.dtype(tensor) == "float32":
                name = names[tensor]
                ranges[name] = _behind(graph, operator, observed[name])
    _share(graph, ranges)
    return ranges


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


def _share(graph: Graph, ranges: dict[str, Range]) -> None:
    """Give the inputs and the output of copying operators one range, the widest, in place."""
    names = graph.unique_names()
    changed = True
    while changed:
        changed = False
        for operator in graph.operators:
            if graph.code(operator) not in ONE_SCALE:
                continue
            tensors = map(int, [*operator.inputs, *operator.outputs])
            group = [names[each] for each in tensors if names.get(each) in ranges]
            widest = Range(
                min(ranges[name].low for name in group), max(ranges[name].high for name in group)
            )
            changed |= any(ranges[name] != widest for name in group)
            ranges.update(dict.fromkeys(group, widest))
