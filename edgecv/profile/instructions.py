"""Instructions of one inference as an entry that a report or a limit in CI can use."""

from typing import Any

from edgecv.artifacts import TFLiteModel
from edgecv.device import emulated_board, instructions
from edgecv.device.description import Device
from edgecv.errors import RecipeError
from edgecv.files import sha256
from edgecv.progress import QUIET, Progress
from edgecv.recipe import RUNTIMES, ProfileOptions
from edgecv.tflite import flatbuffer


def count_instructions(
    model: TFLiteModel,
    options: ProfileOptions,
    device: Device,
    board: str = "pi4",
    progress: Progress = QUIET,
) -> dict[str, Any]:
    """Instructions by class, `total` and what was counted; equal to 0.1 % on every machine.

    Raises RecipeError on a real device or for more than one thread, DeviceError when the board
    cannot be emulated or its runtime cannot run the model, UnsupportedModelError without a model.
    """
    if not device.board.emulated:
        raise RecipeError(
            f"--count: '{device.name}' is a real board, and QEMU counts;"
            " count on the emulated one: --device emulated_pi"
        )
    if options.threads != 1:
        raise RecipeError(f"--count: counts one thread; leave --threads {options.threads} out")
    runtime = next(iter(RUNTIMES)) if options.runtime == "auto" else options.runtime
    chosen = emulated_board.find(board)
    flatbuffer.read_bytes(model.path)
    counts = instructions.count(model.path, board, runtime, progress)
    return {
        "device": device.name,
        "origin": "counted",
        "board": chosen.name,
        "core": chosen.cpu,
        "runtime": _wheel(runtime),
        "threads": 1,
        "model": model.scheme,
        "model_sha256": sha256(model.path),
        "valid": True,
        **counts._asdict(),
        "total": counts.total,
    }


def _wheel(runtime: str) -> str:
    """The wheel on the emulated board, as pip names it; with another one, the count is another."""
    name = f"{RUNTIMES[runtime].distribution}=="
    pins = (emulated_board.data_folder() / f"{runtime}.txt").read_text(encoding="utf-8").split()
    return next(pin for pin in pins if pin.startswith(name))
