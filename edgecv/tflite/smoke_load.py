"""One inference of a model from outside, in a process that may crash or hang.

No check of what a file says proves that a runtime survives it: the kernels trust far more than
`verify` can know. `python -m edgecv.tflite.smoke_load RUNTIME` is that process; it reads the model
from its input.
"""

import json
import os
import resource
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np

from edgecv.errors import EdgecvError, UnsupportedModelError
from edgecv.tflite import flatbuffer, tf_logging
from edgecv.tflite.runtime import Interpreter, load, runtime_name

SECONDS = 30.0  # for starting Python, loading and one inference of EfficientNet-B7 on a Pi 4

Shape = tuple[int, ...]


def load_in_child(model: Path | bytes, runtime: str = "auto") -> list[Shape]:
    """Run one inference in a child process; the shape of each output.

    Raises UnsupportedModelError when the runtime refuses the model, crashes on it or hangs,
    DeviceError when there is no runtime.
    """
    name = "the model" if isinstance(model, bytes) else str(model)
    data = model if isinstance(model, bytes) else flatbuffer.read_bytes(model)
    label = runtime_name(runtime)
    try:
        done = subprocess.run(
            [sys.executable, "-P", "-m", "edgecv.tflite.smoke_load", runtime],
            input=data,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            timeout=SECONDS,
            env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
        )
    except subprocess.TimeoutExpired as error:
        raise UnsupportedModelError(
            f"{name}: {label} takes more than {SECONDS:g} s for one inference"
        ) from error
    if done.returncode:
        raise UnsupportedModelError(f"{name}: the runtime crashed on it ({_end(done.returncode)})")
    reply = json.loads(done.stdout)
    if "error" in reply:
        raise UnsupportedModelError(f"{name}: {reply['error'].removeprefix('the model: ')}")
    return [tuple(shape) for shape in reply["shapes"]]


def _end(code: int) -> str:
    """An exit code of subprocess in words: `signal SIGSEGV`."""
    return f"exit code {code}" if code > 0 else f"signal {signal.Signals(-code).name}"


def _attempt(data: bytes, runtime: str) -> list[list[int]]:
    """The shape of each output after one inference, here."""
    interpreter = load(data, os.cpu_count() or 1, runtime)
    _fill(interpreter)
    try:
        interpreter.invoke()
    except (ValueError, RuntimeError) as error:
        reason = " ".join(str(error).split())[:200]
        raise UnsupportedModelError(f"cannot be run: {reason}") from error
    outputs = [details["index"] for details in interpreter.get_output_details()]
    return [list(interpreter.get_tensor(index).shape) for index in outputs]


def _fill(interpreter: Interpreter) -> None:
    """Give every input values of an image: what is read from nowhere would differ each time."""
    random = np.random.default_rng(0)
    for entry in interpreter.get_input_details():
        highest = 1.0 if np.issubdtype(entry["dtype"], np.floating) else 127.0
        values = highest * random.random(entry["shape"])
        interpreter.set_tensor(entry["index"], values.astype(entry["dtype"]))


def main() -> None:
    """Reply with one line of JSON: the shapes, or what was wrong."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # a crash here is nobody's to look into
    with os.fdopen(os.dup(1), "w") as replies:
        os.dup2(2, 1)  # runtimes print to stdout from C; only the reply may go there
        try:
            with tf_logging.silence_tensorflow():
                reply: dict[str, object] = {
                    "shapes": _attempt(sys.stdin.buffer.read(), *sys.argv[1:])
                }
        except (EdgecvError, MemoryError, TypeError, ValueError, RuntimeError) as error:
            reply = {"error": " ".join(str(error).split()) or type(error).__name__}
        json.dump(reply, replies)


if __name__ == "__main__":
    main()
