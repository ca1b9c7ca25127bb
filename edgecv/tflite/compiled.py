"""Models that are compiled for an Edge TPU, and the models they were made from."""

from pathlib import Path

from edgecv.tflite.flatbuffer import ModelT
from edgecv.tflite.graph import Graph

CUSTOM = "edgetpu-custom-op"
ENDING = "_edgetpu.tflite"  # of the compiler's files


def is_compiled(model: ModelT) -> bool:
    """Whether a model has a part that only an Edge TPU runs."""
    graph = Graph(model)
    return any(graph.code(operator) == CUSTOM for operator in graph.operators)


def source(path: Path) -> Path | None:
    """The model before compiling, where it lies beside the compiled one under the usual name."""
    found = path.with_name(f"{path.name.removesuffix(ENDING)}.tflite")
    return found if path.name.endswith(ENDING) and found.is_file() else None
