"""What a run's report knows of its model on the Edge TPU: estimated and compiled, never mixed."""

from pathlib import Path
from typing import Any

from edgecv.coral import compiler
from edgecv.coral.planner import plan
from edgecv.errors import DeviceError, UnsupportedModelError
from edgecv.progress import QUIET, Progress
from edgecv.recipe import QuantizeOptions
from edgecv.tflite import flatbuffer


def section(
    model: Path, options: QuantizeOptions, progress: Progress = QUIET
) -> dict[str, Any] | None:
    """`estimated`, by the plan; `compiled` too, where this machine has a compiler and it succeeds.

    The compiled file lies beside the model. What the plan finds, and what the compiler says when it
    fails, is a warning. None where the Edge TPU is not the target.
    """
    if options.target != "coral":
        return None
    progress.line("plan for the Edge TPU")
    found: dict[str, Any] = {"estimated": plan(flatbuffer.read(model), str(model)).summary()}
    for each in found["estimated"]["findings"]:
        progress.warn(f"Edge TPU: {each['reason']}; {each['fix']}")
    try:
        compiler.find(compiler.Wishes())
    except DeviceError:
        return found
    progress.line("compile for the Edge TPU")
    try:
        out = model.with_name(f"{model.stem}_edgetpu.tflite")
        made = compiler.compile_model(model, out)
    except (DeviceError, UnsupportedModelError) as error:
        progress.warn(str(error))
        return found
    return {**found, made["origin"]: {**made, "path": out.name}}
