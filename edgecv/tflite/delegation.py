"""What a runtime gives to XNNPACK of a model, and why it keeps the rest on its built-in kernels.

`estimate` says it by the file alone, `measure` by loading it. Between parts that XNNPACK takes,
tensors are handed over: a model in many partitions is slow, whatever is left out of them.
"""

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from edgecv.errors import plural
from edgecv.tflite import flatbuffer, operators, runtime, xnnpack
from edgecv.tflite.graph import Graph, OperatorT

FLOAT, INT8 = "float32", "int8"
BYTES = {"int8", "uint8"}
# What XNNPACK's delegate has kernels for: tensorflow/lite/delegates/xnnpack/README.md. Those of
# int8 were tried on LiteRT 2.3.0, an operator each.
IN_BOTH = {
    *("ADD", "CONCATENATION", "CONV_2D", "DEPTHWISE_CONV_2D", "DEQUANTIZE", "FULLY_CONNECTED"),
    *("LOGISTIC", "MAX_POOL_2D", "MEAN", "MUL", "PAD", "QUANTIZE", "RESHAPE", "RESIZE_BILINEAR"),
    *("SLICE", "SPLIT", "SUB", "TANH", "TRANSPOSE", "ELU", "LEAKY_RELU", "TRANSPOSE_CONV"),
    *("STRIDED_SLICE", "DEPTH_TO_SPACE", "SPACE_TO_DEPTH"),
}
IN_FLOAT = {
    *("ABS", "AVERAGE_POOL_2D", "CEIL", "DIV", "EXPAND_DIMS", "FLOOR", "HARD_SWISH", "MAXIMUM"),
    *("MINIMUM", "NEG", "PRELU", "RELU", "RELU6", "RELU_N1_TO_1", "ROUND", "SOFTMAX", "SQRT"),
    *("SQUARE", "SQUARED_DIFFERENCE"),
}
KERNELS = {FLOAT: IN_BOTH | IN_FLOAT, INT8: IN_BOTH}
SHOWN = 4  # reasons that a line names


class LeftOut(NamedTuple):
    """An operator that runs on a built-in kernel, and why."""

    operator: str
    output: str  # the first tensor it makes
    reason: str


def estimate(graph: Graph) -> dict[str, Any]:
    """Partitions and operators of XNNPACK, and those left out, by what the file says; as JSON."""
    reasons = _reasons(graph)
    return _table(graph, reasons, _partitions(graph, reasons), {"origin": "estimated"})


def measure(path: Path) -> dict[str, Any]:
    """The same of a file that the runtime of this machine has loaded, with the runtime's name.

    A file that XNNPACK refuses is not loaded: LiteRT 2.3.0 frees some of it twice then. Raises
    DeviceError when there is no runtime, UnsupportedModelError when it refuses the file.
    """
    graph = Graph(flatbuffer.read(path))
    if any(excess.limit.refuses for excess in xnnpack.excesses(graph)):
        return estimate(graph)
    interpreter: Any = runtime.load(path.read_bytes(), checked=True)
    nodes = interpreter._get_ops_details()
    delegated = [node for node in nodes if node["op_name"] == "DELEGATE"]
    name, expected = runtime.runtime_name(), _reasons(graph)
    reasons = {
        place: expected.get(place, f"{name} does not give it to XNNPACK")
        for place in _outside(graph, delegated)
    }
    origin = {"origin": "measured", "runtime": name}
    return _table(graph, reasons, len(delegated), origin)


def text(found: Mapping[str, Any]) -> str:
    """A line on what `estimate` or `measure` gives."""
    by_reason: dict[str, list[str]] = {}
    for row in found["left_out"]:
        by_reason.setdefault(row["reason"], []).append(f"{row['operator']} {row['output']}")
    rows = [
        f"{names[0]}{f' and {len(names) - 1} more' if names[1:] else ''} ({reason})"
        for reason, names in by_reason.items()
    ]
    rest = sum(map(len, [*by_reason.values()][SHOWN:]))
    more = [f"{plural(rest, 'more operator')}"] if rest else []
    without = f"; without {'; '.join([*rows[:SHOWN], *more])}" if rows else ""
    parts = plural(found["partitions"], "partition")
    return f"{parts}, {found['operators']} of {found['of']} operators{without}"


def _table(
    graph: Graph, reasons: Mapping[int, str], partitions: int, origin: Mapping[str, str]
) -> dict[str, Any]:
    made = operators.operators(graph.model)
    rows = [
        LeftOut(made[place].name, made[place].output, reason)
        for place, reason in sorted(reasons.items())
    ]
    return {
        **origin,
        "partitions": partitions,
        "operators": len(graph.operators) - len(rows),
        "of": len(graph.operators),
        "left_out": [row._asdict() for row in rows],
    }


def _reasons(graph: Graph) -> dict[int, str]:
    """Why XNNPACK leaves operators out, by their places."""
    excesses = xnnpack.excesses(graph)
    refused = next((excess for excess in excesses if excess.limit.refuses), None)
    if refused:
        code = graph.code(graph.operators[refused.place])
        reason = f"XNNPACK refuses the model: of {code} the {refused}"
        return dict.fromkeys(range(len(graph.operators)), reason)
    reasons = {place: _no_kernel(graph, made) for place, made in enumerate(graph.operators)}
    reasons |= {excess.place: str(excess) for excess in excesses}
    return {place: reason for place, reason in reasons.items() if reason}


def _no_kernel(graph: Graph, operator: OperatorT) -> str:
    """That there is no kernel for an operator's types; empty where there is."""
    ends = [*operator.inputs[:1], *operator.outputs[:1]]
    types = {graph.dtype(int(tensor)) for tensor in ends if tensor >= 0}
    if types == BYTES:
        return "no kernel between uint8 and int8"
    stored = FLOAT if FLOAT in types else INT8 if types & BYTES else ""
    if graph.code(operator) in KERNELS.get(stored, ()):
        return ""
    return f"no {stored or ' or '.join(sorted(types))} kernel"


def _partitions(graph: Graph, outside: Collection[int]) -> int:
    """How many parts the rest falls into: a part takes all that it can reach without `outside`."""
    made = {tensor for tensor in range(len(graph.tensors)) if graph.is_constant(tensor)}
    made |= {-1, *map(int, graph.subgraph.inputs)}
    waiting, count = [*range(len(graph.operators))], 0
    while waiting:
        left, kind = [], None
        for place in waiting:
            operator = graph.operators[place]
            ready = {*map(int, operator.inputs)} <= made
            if ready and kind in (None, place in outside):
                kind = place in outside
                made.update(map(int, operator.outputs))
            else:
                left.append(place)
        if kind is None:  # reads what nothing makes
            return count
        waiting, count = left, count + (not kind)
    return count


def _outside(graph: Graph, delegated: Collection[Mapping[str, Any]]) -> list[int]:
    """The places of operators that run in none of the delegated parts, back from the outputs."""
    parts = {int(tensor): part for part in delegated for tensor in part["outputs"]}
    makers = {int(t): place for place, made in enumerate(graph.operators) for t in made.outputs}
    waiting, seen = [*map(int, graph.subgraph.outputs)], set[int]()
    places = set[int]()
    while waiting:
        tensor = waiting.pop()
        if tensor in seen:
            continue
        seen.add(tensor)
        if tensor in parts:
            waiting += map(int, parts[tensor]["inputs"])
        elif tensor in makers:
            places.add(makers[tensor])
            waiting += map(int, graph.operators[makers[tensor]].inputs)
    return sorted(places)
