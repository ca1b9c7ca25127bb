"""An inference's time, laid to its operators: arithmetic on what was measured of its parts."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from edgecv.tflite.flatbuffer import ModelT
from edgecv.tflite.graph import Graph
from edgecv.tflite.operator_kinds import costs, scheme
from edgecv.tflite.operators import operators
from edgecv.tflite.slice import Step


class Part(NamedTuple):
    """A model that ran: a whole one, or a part of it."""

    seconds: float  # p50
    delegate: str  # that took some of it, as `worker.delegate_of` says
    beside: float  # seconds of the whole model, by turns with it: the machine's pace then


class Parts(NamedTuple):
    """Everything that is measured of a model."""

    whole: Part
    calls: Mapping[str, Part]  # of next to nothing, by the delegate that took it
    operators: Sequence[Part | str]  # one a step; a string says why it was not measured
    prefixes: Mapping[int, Part]  # by how many steps it has

    def ms(self, part: Part) -> float:
        """Milliseconds of a part, at the pace at which the whole was measured."""
        return 1e3 * part.seconds * self.whole.seconds / part.beside

    def net(self, part: Part) -> float:
        """The same without its call."""
        kind = part.delegate if part.delegate in self.calls else "builtin"
        return max(0.0, self.ms(part) - self.ms(self.calls[kind]))


def attribute_costs(tree: ModelT, steps: Sequence[Step], parts: Parts) -> dict[str, Any]:
    """Costs by operator and by type, what they leave of the whole, and prefixes as a check.

    `residue_ms` is the whole less its call and all operators: above zero where the whole misses
    caches that an operator alone has to itself, below where operators save each other work.
    """
    rows = _described(tree, steps)
    net = [
        parts.net(operator) if isinstance(operator, Part) else 0.0 for operator in parts.operators
    ]
    total, whole = sum(net), parts.net(parts.whole)
    for row, ms, operator in zip(rows, net, parts.operators, strict=True):
        if isinstance(operator, Part):
            row |= {"ms": ms, "share": ms / total if total else 0.0, "delegate": operator.delegate}
        else:
            row["reason"] = operator
    prefixes = [
        {"operators": length, "ms": parts.net(part), "sum_ms": sum(net[:length])}
        for length, part in parts.prefixes.items()
    ]
    return {
        "scheme": scheme(tree),
        "whole_ms": parts.ms(parts.whole),
        "call_ms": {name: parts.ms(part) for name, part in parts.calls.items()},
        "sum_ms": total,
        "residue_ms": whole - total,
        "residue_share": (whole - total) / whole if whole else 0.0,
        "delegates": Counter(row["delegate"] for row in rows if "ms" in row),
        "types": _types(rows),
        "prefixes": prefixes,
        "operators": rows,
    }


def _described(tree: ModelT, steps: Sequence[Step]) -> list[dict[str, Any]]:
    """The facts of the operators; `bytes`, of all tensors of one, each once, is estimated."""
    graph, described, cost = Graph(tree), operators(tree), costs(tree)
    rows = []
    for place in (step.operator for step in steps):
        tensors = {
            tensor
            for tensor in (*described[place].inputs, *described[place].outputs)
            if tensor >= 0
        }
        rows.append(
            {
                "index": place,
                "operator": described[place].name,
                "output": described[place].output,
                "shape": list(graph.shape(described[place].outputs[0])),
                "macs": described[place].macs,
                "bytes": sum(map(graph.size_bytes, tensors)),
                "kind": cost[place].kind,
                "weights": cost[place].weights,
                "activations": cost[place].activations,
            }
        )
    return rows


def _types(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Sums of the rows of each kind of operator, the costliest first."""
    types: dict[str, dict[str, Any]] = {}
    for row in (row for row in rows if "ms" in row):
        kind = types.setdefault(row["operator"], {"operator": row["operator"], "count": 0})
        kind["count"] += 1
        for name in ("ms", "share", "macs", "bytes"):
            kind[name] = kind.get(name, 0) + row[name]
    return sorted(types.values(), key=lambda kind: -kind["ms"])
