"""Models that are compiled for an Edge TPU, and the models they were made from."""

from collections.abc import Iterable
from pathlib import Path

from edgecv.errors import UnsupportedModelError
from edgecv.tflite.flatbuffer import ModelT
from edgecv.tflite.graph import Graph

CUSTOM = "edgetpu-custom-op"
ENDING = "_edgetpu.tflite"  # of the compiler's files
IDENTIFIER = b"TFL3"


def is_compiled(model: ModelT) -> bool:
    """Whether a model has a part that only an Edge TPU runs."""
    graph = Graph(model)
    return any(graph.code(operator) == CUSTOM for operator in graph.operators)


def source(path: Path) -> Path | None:
    """The model before compiling, where it lies beside the compiled one under the usual name."""
    plain = path.with_name(f"{path.name.removesuffix(ENDING)}.tflite")
    return plain if path.name.endswith(ENDING) and plain.is_file() else None


def check_runs(models: Iterable[Path], delegate: str) -> None:
    """Raise UnsupportedModelError for a compiled model where the delegate is not `edgetpu`."""
    for path in models if delegate != "edgetpu" else ():
        if _looks_compiled(path):
            before = source(path)
            other = f", {before}" if before else ""
            raise UnsupportedModelError(
                f"{path}: is compiled for the Edge TPU and runs on nothing else; use the file it"
                f" was compiled from{other}, or --device with a Coral, as coral_usb_rpi4"
            )


def check_float(path: Path) -> None:
    """Raise UnsupportedModelError for a compiled model where a float one is needed."""
    if _looks_compiled(path):
        raise UnsupportedModelError(
            f"{path}: is compiled for the Edge TPU, so it is int8 already;"
            " give the float model that it was made from"
        )


def _looks_compiled(path: Path) -> bool:
    """By its bytes alone: also where LiteRT, whose schema would tell, is not installed."""
    try:
        data = path.read_bytes()
    except OSError:  # whoever reads it says so
        return False
    return data[4:8] == IDENTIFIER and CUSTOM.encode() in data
