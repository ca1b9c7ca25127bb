"""The Edge TPU section of a run's report: estimated and compiled, never mixed."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from edgecv.coral import compiler
from edgecv.coral.planner import plan
from edgecv.errors import DeviceError, UnsupportedModelError
from edgecv.progress import QUIET, Progress
from edgecv.recipe import QuantizeOptions
from edgecv.tflite import flatbuffer


class Section(NamedTuple):
    """The report's `coral`, None where the Edge TPU is not the target; and what to warn of."""

    table: dict[str, Any] | None = None
    warnings: Sequence[str] = ()


def section(model: Path, options: QuantizeOptions, progress: Progress = QUIET) -> Section:
    """`estimated`, by the plan; `compiled` too, where this machine has a compiler and it succeeds.

    The compiled file lies beside the model. What the plan finds, and what the compiler says when it
    fails, is a warning.
    """
    if options.target != "coral":
        return Section()
    progress.line("plan for the Edge TPU")
    table: dict[str, Any] = {"estimated": plan(flatbuffer.read(model), str(model)).summary()}
    findings = table["estimated"]["findings"]
    warnings = [f"Edge TPU: {finding['reason']}; {finding['fix']}" for finding in findings]
    try:
        compiler.find_compiler(compiler.CompileOptions())
    except DeviceError:
        return Section(table, warnings)
    progress.line("compile for the Edge TPU")
    try:
        out = model.with_name(f"{model.stem}_edgetpu.tflite")
        made = compiler.compile_model(model, out)
    except (DeviceError, UnsupportedModelError) as error:
        return Section(table, [*warnings, str(error)])
    return Section({**table, made["origin"]: {**made, "path": out.name}}, warnings)
