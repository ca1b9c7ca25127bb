"""The TFLite runtime of this machine: an interpreter for a model, and scores for images."""

import ctypes
import importlib
import importlib.metadata
import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from edgecv.artifacts import CENTERED, Normalization
from edgecv.errors import DeviceError, UnsupportedModelError
from edgecv.recipe import RUNTIMES, Runtime
from edgecv.tflite import flatbuffer, tf_logging
from edgecv.tflite.pixels import decode, encode, grid_of, usual_normalization

EDGETPU = "libedgetpu.so.1"
XNNPACK = "XNNPack"  # in the runtime's words when the delegate refuses a model


class Interpreter(Protocol):
    """The part of LiteRT's and tflite-runtime's interpreters that edgecv uses."""

    def get_input_details(self) -> list[dict[str, Any]]: ...  # noqa: D102
    def get_output_details(self) -> list[dict[str, Any]]: ...  # noqa: D102
    def set_tensor(self, index: int, value: npt.NDArray[Any]) -> None: ...  # noqa: D102
    def get_tensor(self, index: int) -> npt.NDArray[Any]: ...  # noqa: D102
    def tensor(self, index: int) -> Callable[[], npt.NDArray[Any]]: ...  # noqa: D102
    def allocate_tensors(self) -> None: ...  # noqa: D102
    def invoke(self) -> None: ...  # noqa: D102


def runtime_name(runtime: str = "auto") -> str:
    """The runtime's name and version, as reports show it: `litert 2.3.0`.

    Raises DeviceError when it is not installed.
    """
    spec = _installed(runtime)
    return f"{spec.label} {importlib.metadata.version(spec.distribution)}"


def load(
    model: Path | bytes,
    num_threads: int = 1,
    runtime: str = "auto",
    delegate: str = "auto",
    checked: bool = False,
) -> Interpreter:
    """An interpreter with its tensors allocated, on XNNPACK where that takes the model.

    `delegate` is `auto`, `builtin` (no XNNPACK) or `edgetpu`; bytes that were `checked` are not
    parsed again, which boards without LiteRT could not.

    Raises DeviceError when the runtime is missing or cannot work beside TensorFlow in one process,
    UnsupportedModelError when it refuses the file. A file that a user names may crash the process:
    see `trial`.
    """
    spec = _installed(runtime)
    if not spec.beside_tensorflow and "tensorflow" in sys.modules:
        raise DeviceError(f"{spec.label} cannot run in a process that has loaded TensorFlow")
    name = "the model" if isinstance(model, bytes) else str(model)
    data = model if isinstance(model, bytes) else flatbuffer.read_bytes(model)
    if not (spec.verifies or checked):
        flatbuffer.parse(data, name)
    module = importlib.import_module(f"{spec.package}.interpreter")
    try:
        with tf_logging.silence_tensorflow():
            interpreter = _allocated(module, data, num_threads, delegate)
            if isinstance(
                model, Path
            ):  # a file from outside: what the runtime cannot do shows here
                interpreter.invoke()
    except (ValueError, RuntimeError) as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise UnsupportedModelError(f"{name}: {spec.label} refuses it: {reason[:200]}") from error
    return interpreter


def _allocated(module: Any, data: bytes, num_threads: int, delegate: str) -> Interpreter:
    """An interpreter with its tensors allocated; XNNPACK refuses some int8 scales that others take.

    Raises ValueError or RuntimeError when the runtime refuses the model.
    """
    options = _kernels(module, delegate)
    made: Interpreter = module.Interpreter(model_content=data, num_threads=num_threads, **options)
    try:
        made.allocate_tensors()
    except RuntimeError as error:
        if delegate != "auto" or XNNPACK not in str(error):
            raise
        return _allocated(module, data, num_threads, "builtin")
    return made


def _kernels(module: Any, delegate: str) -> dict[str, Any]:
    """The interpreter's options for a delegate. Raises DeviceError when it cannot be loaded."""
    if delegate == "builtin":
        kernels = module.OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
        return {"experimental_op_resolver_type": kernels}
    if delegate == "edgetpu":
        try:
            ctypes.CDLL(EDGETPU)  # a delegate that fails to load it complains when it is collected
            return {"experimental_delegates": [module.load_delegate(EDGETPU)]}
        except OSError as error:
            raise DeviceError(
                f"{error}: install libedgetpu of the TF version that {module.__name__} is of"
            ) from error
        except ValueError as error:
            reason = " ".join(str(error).split()) or "no Edge TPU is connected"
            raise DeviceError(f"{EDGETPU}: {reason}") from error
    return {}


def run(
    interpreter: Interpreter,
    images: npt.NDArray[np.uint8],
    normalization: Normalization | None = None,
) -> npt.NDArray[np.float32]:
    """Real numbers [n, scores] for pictures [n, height, width, channels], one at a time.

    Pixels are normalized so, else as the input's grid says, else to [-1, 1].
    """
    details, output = interpreter.get_input_details()[0], interpreter.get_output_details()[0]
    grid = grid_of(details)
    taken = normalization or usual_normalization(grid) or CENTERED
    rows = []
    for image in images:
        interpreter.set_tensor(details["index"], encode(image[np.newaxis], grid, taken))
        interpreter.invoke()
        rows.append(decode(interpreter.get_tensor(output["index"]), grid_of(output)).ravel())
    return np.stack(rows)


def _installed(runtime: str) -> Runtime:
    """The runtime asked for, or with `auto` the first that is installed."""
    wanted = list(RUNTIMES.values()) if runtime == "auto" else [RUNTIMES[runtime]]
    for spec in wanted:
        if importlib.util.find_spec(spec.package):
            return spec
    spec = wanted[0]
    what = "no TFLite runtime" if runtime == "auto" else spec.label
    raise DeviceError(f"{what} is not installed; {_way_to_install(spec)}")


def _way_to_install(spec: Runtime) -> str:
    """What to type, or what to use where this Python is too new for its wheels."""
    if sys.version_info[:2] <= spec.last_python:
        return f"pip install {spec.distribution}"
    last = ".".join(map(str, spec.last_python))
    others = [name for name, row in RUNTIMES.items() if row.last_python > spec.last_python]
    return f"it has wheels up to Python {last}; use that, or --runtime {others[0]}"
