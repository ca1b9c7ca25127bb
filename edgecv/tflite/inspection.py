"""The contents of a .tflite, without running it: contract, operators, costs, sizes, delegate."""

import zipfile
from collections import Counter
from pathlib import Path
from typing import Any

from edgecv.errors import DataError, UnsupportedModelError
from edgecv.tflite import contract, delegation, flatbuffer, open_batch, operators
from edgecv.tflite.compiled import CUSTOM, is_compiled
from edgecv.tflite.flatbuffer import ModelT
from edgecv.tflite.graph import Graph
from edgecv.tflite.operator_kinds import KINDS, costs
from edgecv.tflite.schema import enum_names


def inspect(path: Path) -> dict[str, Any]:
    """Everything that a file says, as JSON has it; nothing runs.

    `contract` is absent, and `no_contract` says why, for what does not take one image. Raises
    UnsupportedModelError when it is not a TFLite file.
    """
    model = flatbuffer.read_to_look_at(path)
    graph = Graph(model)
    return {
        "path": str(path),
        "bytes": path.stat().st_size,
        "scheme": scheme(graph),
        **_contract(path, model),
        "notes": [open_batch.RUN_AT_ONE] if open_batch.is_open(model) else [],
        "inputs": [_tensor(graph, int(tensor)) for tensor in graph.subgraph.inputs],
        "outputs": [_tensor(graph, int(tensor)) for tensor in graph.subgraph.outputs],
        "subgraphs": len(model.subgraphs),
        "operators": operators.counts(model),
        "macs": operators.macs(model),
        "parameter_bytes": operators.weight_bytes(model),
        "activation_peak_bytes": operators.activation_peak(model),
        "sections": sections(path, model),
        "delegate": _delegate(graph),
        "layers": _layers(model),
    }


def scheme(graph: Graph) -> str:
    """How a model's numbers are stored: compiled, int8, uint8, int16, dynamic, float16, float32."""
    if is_compiled(graph.model):
        return "compiled for the Edge TPU"
    made = Counter(graph.dtype(tensor) for tensor in graph.activations())
    common = made.most_common(1)[0][0] if made else "float32"
    if common != "float32":
        return common
    stored = {
        graph.dtype(int(tensor)) for op in graph.operators for tensor in op.inputs if tensor >= 0
    }
    weights = {"int8": "dynamic range (int8 weights)", "float16": "float16 weights"}
    return next((words for dtype, words in weights.items() if dtype in stored), "float32")


def sections(path: Path, model: ModelT) -> dict[str, int]:
    """The bytes of a file by what they are: they sum to its size."""
    whole, archive = path.stat().st_size, _archive_bytes(path)
    entries = {entry.buffer for entry in model.metadata or []}
    stored = (model.buffers[entry].data for entry in entries)
    notes = sum(len(data) for data in stored if data is not None)
    constants = operators.weight_bytes(model)
    compiled = _custom_bytes(Graph(model))
    rest = whole - constants - notes - archive - compiled
    table = {
        "constants": constants,
        "Edge TPU program": compiled,
        "metadata": notes,
        "archive of labels": archive,
        "description of the graph": rest,
    }
    return {name: size for name, size in table.items() if size}


def _contract(path: Path, model: ModelT) -> dict[str, Any]:
    try:
        said = contract.read_model(model, str(path), path=path)
    except (UnsupportedModelError, DataError) as error:
        reason = str(error).removeprefix(f"{path}: ").removesuffix(": see edgecv inspect")
        return {"no_contract": reason}
    warnings = said.image.warnings(path.name)
    return {"contract": said.to_dict(), "labels": list(said.output.labels), "warnings": warnings}


def _tensor(graph: Graph, tensor: int) -> dict[str, Any]:
    grid = contract.tensor_grid(graph, tensor)
    scaled = {"scale": grid.scale, "zero_point": grid.zero_point} if grid.scale else {}
    shape = list(graph.shape(tensor))
    return {"name": graph.name(tensor), "dtype": grid.dtype, "shape": shape, **scaled}


def _layers(model: ModelT) -> list[dict[str, Any]]:
    """Every operator of the main subgraph: its output, MACs, and bytes of its constants."""
    graph = Graph(model)
    rows = zip(operators.operators(model), costs(model), strict=True)
    return [
        {
            "index": index,
            "operator": operator.name,
            "kind": KINDS[cost.kind],
            "output": operator.output,
            "shape": list(graph.shape(operator.outputs[0])) if operator.outputs else [],
            "dtype": graph.dtype(operator.outputs[0]) if operator.outputs else "",
            "macs": operator.macs,
            "bytes": sum(_constant_bytes(graph, tensor) for tensor in set(operator.inputs)),
        }
        for index, (operator, cost) in enumerate(rows)
    ]


def _constant_bytes(graph: Graph, tensor: int) -> int:
    if tensor < 0 or not graph.is_constant(tensor):
        return 0
    return len(graph.model.buffers[graph.tensors[tensor].buffer].data)


def _delegate(graph: Graph) -> dict[str, Any]:
    """The delegate that would take the operators, by what the file says alone."""
    codes = [graph.code(operator) for operator in graph.operators]
    unknown = set(codes) - set(enum_names("BuiltinOperator").values()) - {CUSTOM}
    if CUSTOM in codes:
        taken = {"origin": "estimated", "operators": codes.count(CUSTOM), "of": len(codes)}
        name = "edgetpu"
    else:
        taken, name = delegation.estimate(graph), "xnnpack"
    return {**taken, "name": name if taken["operators"] else "none", "custom": sorted(unknown)}


def _custom_bytes(graph: Graph) -> int:
    options = (operator.customOptions for operator in graph.operators)
    return sum(len(option) for option in options if option is not None)


def _archive_bytes(path: Path) -> int:
    """The bytes of the zip archive behind a model."""
    try:
        if not zipfile.is_zipfile(path):
            return 0
        with zipfile.ZipFile(path) as archive:
            starts = [member.header_offset for member in archive.infolist()]
            return path.stat().st_size - min([*starts, archive.start_dir])
    except (OSError, ValueError, zipfile.BadZipFile):
        return 0
