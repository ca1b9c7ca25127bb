"""plan(): what the Edge TPU compiler will make of a .tflite, estimated without it."""

import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from typing import Any

from edgecv.coral import rules
from edgecv.coral.constraints import BYTES, Node
from edgecv.coral.cycles import ELEMENTWISE, Work, work
from edgecv.coral.layers import Layer, doubt, has_no_formula, layer_of, parameter_bytes
from edgecv.coral.on_chip_cache import STREAMED, UNDECIDED, Cache, cache
from edgecv.coral.partition import edge_tpu_operators
from edgecv.coral.rule_tables import costs, table
from edgecv.coral.rules import CPU, REFUSED, TPU, RuleVerdict
from edgecv.coral.transfers import constant_bytes, io_bytes
from edgecv.coral.usb_latency import Demand, estimates
from edgecv.errors import UnsupportedModelError
from edgecv.tflite import compiled, flatbuffer, open_batch, operators
from edgecv.tflite.graph import Graph

COMPILER = "16.0.384591198"
SECOND_PART = RuleVerdict(
    CPU,
    "More than one subgraph is not supported: it comes after an operator that stays behind",
    "mend the first operator that does not map",
    "compiled",
    "compiled files of google-coral/test_data, google-coral/edgetpu#461",
)
MAPS_FULLY, MAPS_PARTLY, WOULD_NOT_COMPILE = 0, 3, 4  # exit codes


@dataclass(frozen=True)
class CoralPlan:
    """The expected mapping and latency; bytes and cycles are of the part on the Edge TPU alone."""

    model: str
    blockers: list[dict[str, Any]]  # why nothing would come out
    operators: list[dict[str, Any]]
    mapped: int
    cpu_macs_share: float
    min_runtime: int  # of the driver on the board
    parameter_bytes: int  # with the constants that are sent in every inference
    parameters_exact: bool  # whether compiled files confirm the formula for all of them
    parameters_unconfirmed: list[str]  # for what they do not
    constant_bytes: int  # of element-wise operators: not parameters, and never kept on the chip
    cache: Cache
    activation_peak_bytes: int
    io_bytes: int
    cycles: dict[str, Any]
    latency: list[dict[str, Any]]  # none while operators stay on the processor
    warnings: list[dict[str, str]]
    notes: list[str]  # what was assumed of the model
    origin: str = "estimated"
    compiler: str = COMPILER

    @property
    def exit_code(self) -> int:
        """0 maps fully, 3 partly, 4 would not compile, or nothing maps."""
        if self.blockers or not self.mapped:
            return WOULD_NOT_COMPILE
        return MAPS_FULLY if self.mapped == len(self.operators) else MAPS_PARTLY

    @property
    def verdict(self) -> str:
        """The outcome in words."""
        if not self.mapped and not self.blockers:
            return "nothing maps"
        words = {MAPS_FULLY: "maps fully", MAPS_PARTLY: "maps partly"}
        return words.get(self.exit_code, "would not compile")

    def to_dict(self) -> dict[str, Any]:
        """The plan as JSON has it."""
        return {"verdict": self.verdict, **asdict(self), "cache": self.cache._asdict()}

    def summary(self) -> dict[str, Any]:
        """The plan without its operators: what a report and `edgecv plan` have of it."""
        return {
            "origin": self.origin,
            "compiler": self.compiler,
            "verdict": self.verdict,
            "mapped": self.mapped,
            "operators": len(self.operators),
            "min_runtime": self.min_runtime,
            "parameter_bytes": self.parameter_bytes,
            "cache": self.cache.verdict,
            "cycles": self.cycles["total"],
            "elementwise_share": _share(self.cycles["by_kind"]["elementwise"], self.cycles),
            "latency": self.latency,
            "findings": self.findings,
        }

    @property
    def findings(self) -> list[dict[str, str]]:
        """Every reason once, with what it is about and its fix."""
        rows = [*self.blockers, *self.operators, *self.warnings]
        findings: dict[str, dict[str, str]] = {}
        for row in rows:
            if row.get("reason"):
                about = row.get("operator", "the model")
                kept = {key: row[key] for key in ("reason", "fix", "grade", "source")}
                findings.setdefault(row["reason"], {"about": about, **kept})
        return list(findings.values())

    def to_json(self) -> str:
        """The plan as one line of JSON."""
        return json.dumps(self.to_dict())


def plan(model: flatbuffer.ModelT, name: str = "the model") -> CoralPlan:
    """The compiler's verdict on every operator, and what the mapped ones will cost.

    An open batch is set to 1 in `model`, and `notes` say so. Raises UnsupportedModelError when the
    model has no operators or is compiled already.
    """
    notes = open_batch.set_batch(model)
    graph = Graph(model)
    nodes = [Node(graph, operator) for operator in graph.operators]
    _check(nodes, name)
    verdicts = [rules.verdict(node, _version(node)) for node in nodes]
    places = edge_tpu_operators(graph, [verdict.place == TPU for verdict in verdicts])
    verdicts = [
        SECOND_PART if verdict.place == TPU and place not in places else verdict
        for place, verdict in enumerate(verdicts)
    ]
    described = operators.operators(model)
    rows = [
        {
            "index": place,
            "operator": operator.name,
            "version": _version(nodes[place]),
            **_row(verdict),
        }
        | {"output": operator.output, "macs": operator.macs}
        for place, (operator, verdict) in enumerate(zip(described, verdicts, strict=True))
    ]
    layers = [layer_of(graph, graph.operators[place]) for place in sorted(places)]
    return replace(_costed(model, name, rows, nodes, layers, places), notes=notes)


def _costed(
    model: flatbuffer.ModelT,
    name: str,
    rows: list[dict[str, Any]],
    nodes: list[Node],
    layers: list[Layer],
    places: set[int],
) -> CoralPlan:
    total = sum(row["macs"] for row in rows)
    outside = sum(row["macs"] for place, row in enumerate(rows) if place not in places)
    graph, size, done = Graph(model), sum(map(parameter_bytes, layers)), work(layers)
    peak, constants = operators.activation_peak(model, places), constant_bytes(graph, places)
    unconfirmed = list(dict.fromkeys(filter(None, map(doubt, layers))))
    held = cache(size, peak, constants, unsized=any(has_no_formula(layer) for layer in layers))
    demand = Demand(done.cycles(), io_bytes(graph, places), held.streamed_bytes)
    blockers = [*_model_blockers(graph), *(row for row in rows if row["place"] == REFUSED)]
    whole = len(places) == len(rows) and not blockers
    return CoralPlan(
        model=name,
        blockers=blockers,
        operators=rows,
        mapped=len(places),
        cpu_macs_share=outside / total if total else 0.0,
        min_runtime=_runtime(nodes[place].code for place in places),
        parameter_bytes=size + constants,
        parameters_exact=not unconfirmed,
        parameters_unconfirmed=unconfirmed,
        constant_bytes=constants,
        cache=held,
        activation_peak_bytes=peak,
        io_bytes=demand.io_bytes,
        cycles=_cycles(done, layers),
        latency=estimates(demand) if whole else [],
        warnings=[*_risks(nodes, places), *_memory_warnings(size, held)],
        notes=[],
    )


def _share(cycles: float, all_of_them: dict[str, Any]) -> float:
    return cycles / all_of_them["total"] if all_of_them["total"] else 0.0


def _check(nodes: list[Node], name: str) -> None:
    if not nodes:
        raise UnsupportedModelError(f"{name}: has no operators")
    if any(node.code == compiled.CUSTOM for node in nodes):
        raise UnsupportedModelError(
            f"{name}: is compiled already; look into it: edgecv coral inspect"
        )


def _runtime(codes: Iterable[str]) -> int:
    """The least version of the driver that operators with these names need."""
    least = int(table("runtimes")["int8_runtime"])
    return max([least, *(int(table("operators")[code].get("runtime", 0)) for code in codes)])


def _version(node: Node) -> int:
    return int(node.graph.model.operatorCodes[node.operator.opcodeIndex].version)


def _row(verdict: RuleVerdict) -> dict[str, str]:
    return {key: value for key, value in verdict._asdict().items() if value}


def _model_blockers(graph: Graph) -> list[dict[str, str]]:
    """The reasons for which the compiler refuses a whole file, whatever its operators are."""
    activations = graph.activations()
    blockers = []
    if not any(graph.dtype(tensor) in BYTES for tensor in activations):
        blockers.append(_finding("not_quantized"))
    if any(_is_dynamic(graph, tensor) for tensor in activations):
        blockers.append(_finding("dynamic_sizes"))
    if any(graph.shape(int(tensor))[:1] not in ((), (1,)) for tensor in graph.subgraph.inputs):
        blockers.append(_finding("more_than_one"))
    return blockers


def _finding(name: str) -> dict[str, str]:
    return {"name": name, **table("findings")[name]}


def _is_dynamic(graph: Graph, tensor: int) -> bool:
    signature = graph.tensors[tensor].shapeSignature
    sizes = [] if signature is None else [int(size) for size in signature]
    return min([*sizes, *graph.shape(tensor)], default=1) < 1


def _cycles(done: Work, layers: list[Layer]) -> dict[str, Any]:
    """Cycles with their band, by kind of layer, and how much of them is a guess.

    The weight of element-wise operators was fitted on ADD; for the others it is assumed.
    """
    constants, total = costs()["cycles"], done.cycles()
    guessed = work(layer for layer in layers if layer.kind in ELEMENTWISE - {"ADD"}).cycles()
    return {
        "total": total,
        "low": total * constants["low"],
        "high": total * constants["high"],
        "by_kind": {kind: constants[kind] * value for kind, value in done._asdict().items()},
        "guessed_share": _share(guessed, {"total": total}),
    }


def _risks(nodes: list[Node], places: set[int]) -> list[dict[str, str]]:
    """The risks of operators that map, without repetition."""
    counts = Counter(
        (node.code, rule)
        for place in sorted(places)
        for rule in rules.risks(nodes[place])
        for node in (nodes[place],)
    )
    return [
        {"operator": code, "count": str(count), **rule._asdict()}
        for (code, rule), count in counts.items()
    ]


def _memory_warnings(parameters: int, held: Cache) -> list[dict[str, str]]:
    names = ["crowded"] * held.crowded + ["unsized"] * held.unsized
    if held.verdict == STREAMED or (held.verdict == UNDECIDED and not held.unsized):
        names.append(held.verdict)
    return [_finding(name) for name in names if parameters or held.unsized]
