"""compile_model(): the real edgetpu_compiler, found where the user has it; never installed by us.

Its exit code is not believed: it says success for files in which nothing is mapped. What counts is
the file that it wrote, read back.
"""

import contextlib
import os
import re
import shutil
import signal
import subprocess
import tempfile
from pathlib import Path
from typing import Any, NamedTuple

from edgecv import files
from edgecv.coral import log, package
from edgecv.coral.comparison import differences
from edgecv.coral.planner import plan
from edgecv.errors import DeviceError, RecipeError, UnsupportedModelError
from edgecv.tflite import flatbuffer

NAME = "edgetpu_compiler"
VARIABLE = "EDGECV_EDGETPU_COMPILER"
VERSION = re.compile(r"\d+(\.\d+)+")
GRACE_SECONDS = 30  # beyond the compiler's own timeout
INSTALL = (
    "edgetpu_compiler runs on x86-64 Debian or Ubuntu; edgecv does not bring it. To install it:",
    "  1. add Google's apt repository coral-edgetpu-stable, as on coral.ai/docs/edgetpu/compiler,",
    "     its key in /etc/apt/keyrings/coral.gpg, named by signed-by= (apt-key is gone)",
    "  2. sudo apt-get update && sudo apt-get install edgetpu-compiler",
    "or name what you have: --compiler FILE, EDGECV_EDGETPU_COMPILER, or --image CONTAINER_IMAGE",
)


class CompileOptions(NamedTuple):
    """How to compile."""

    compiler: str = ""  # its file; "" searches the PATH
    image: str = ""  # a container image that holds the compiler
    timeout: int = 180  # seconds
    min_runtime: int | None = None  # of the driver on the board
    search: bool = False  # after a failure, leave operators out from the end until it compiles


def find_compiler(options: CompileOptions) -> list[str]:
    """The beginning of the command line. Raises DeviceError when there is no compiler."""
    if options.image:
        engine = shutil.which("docker") or shutil.which("podman")
        if not engine:
            raise DeviceError("--image: needs docker or podman, and neither is on the PATH")
        return [engine]
    named = options.compiler or os.environ.get(VARIABLE, "")
    program = shutil.which(Path(named).absolute() if Path(named).is_file() else named or NAME)
    if named and not program:
        where = "--compiler" if options.compiler else VARIABLE
        raise DeviceError(f"{where}: {named} is no program that can be run")
    if not program:
        raise DeviceError(f"{NAME}: not found; looked at --compiler, {VARIABLE} and the PATH")
    return [str(Path(program).absolute())]  # it is run in another folder


def compile_model(
    model: Path,
    out: Path,
    options: CompileOptions = CompileOptions(),  # noqa: B008
) -> dict[str, Any]:
    """Compile a model to `out`; its log, its contents, and how they differ from the plan.

    `origin` is `compiled` where the compiler says its version, `unverified` where it does not.
    Raises DeviceError without a compiler, UnsupportedModelError when nothing usable came out.
    """
    if options.image.startswith("-"):
        raise RecipeError(f"--image: must be the name of an image, got {options.image}")
    files.check_outputs([out, out.with_suffix(".log")], [model])
    flat = flatbuffer.read(model)
    planned = plan(flat, str(model))
    content = flatbuffer.serialized(flat) if planned.notes else flatbuffer.read_bytes(model)
    find_compiler(options)
    with tempfile.TemporaryDirectory(prefix="edgecv-coral-") as name:
        folder = Path(name)
        (folder / "model.tflite").write_bytes(content)
        run = _run(folder, options, searching=False)
        if not _output(folder).is_file() and options.search:
            run = _run(folder, options, searching=True)
        data = _checked(_output(folder), run, model)
    compiled = package.summary(flatbuffer.parse(data, str(model)), str(model))
    files.write_bytes(out, data)
    files.write_text(out.with_suffix(".log"), run[1])
    said = log.parse(run[1])
    recognized = VERSION.fullmatch(said.version) is not None
    return {
        "origin": "compiled" if recognized else "unverified",
        "compiler": said.version or "unknown",
        "path": str(out),
        "notes": planned.notes,
        "bytes": len(data),
        "compiled": {**compiled, "origin": "compiled" if recognized else "unverified"},
        "differences": [difference.to_json() for difference in differences(planned, compiled)],
        "log": said.to_dict(),
    }


def _run(folder: Path, options: CompileOptions, searching: bool) -> tuple[str, str]:
    """How the compiler ended and what it printed."""
    flags = ["-s", "-o", ".", "-t", str(options.timeout)]
    flags += ["-m", str(options.min_runtime)] if options.min_runtime is not None else []
    flags += ["-d"] if searching else []
    command = find_compiler(options)
    if options.image:
        mount = f"type=bind,source={folder},target=/work"
        command += ["run", "--rm", "--network", "none", "--platform", "linux/amd64"]
        if Path(command[0]).name == "docker":  # podman's root is the user already
            command += ["--user", f"{os.getuid()}:{os.getgid()}"]
        command += ["--mount", mount, "--workdir", "/work", options.image, NAME]
    return _finished([*command, *flags, "model.tflite"], folder, options.timeout + GRACE_SECONDS)


def _finished(command: list[str], folder: Path, seconds: float) -> tuple[str, str]:
    """Run a command, and end it with all that it started when it takes too long."""
    try:
        process = subprocess.Popen(
            command,
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    except OSError as error:
        raise DeviceError(f"{command[0]}: cannot be run: {error.strerror}") from error
    try:
        printed, _ = process.communicate(timeout=seconds)
        ended = f"exit code {process.returncode}"
    except subprocess.TimeoutExpired:
        _kill(process)
        printed, _ = process.communicate()
        ended = f"no end after {seconds:g} s"
    except BaseException:
        _kill(process)
        process.communicate()
        raise
    return ended, printed.decode(errors="replace")


def _kill(process: subprocess.Popen[bytes]) -> None:
    """End a process and all that it started."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)


def _output(folder: Path) -> Path:
    return folder / "model_edgetpu.tflite"


def _checked(output: Path, run: tuple[str, str], model: Path) -> bytes:
    """The bytes of the compiled file. Raises UnsupportedModelError, saying why there are none."""
    ended, printed = run
    said = log.parse(printed)
    if not output.is_file():
        raise UnsupportedModelError(f"{model}: does not compile: {_reason(said, ended)}")
    data = output.read_bytes()
    try:
        package.packages(flatbuffer.parse(data), "what the compiler wrote")
    except UnsupportedModelError as error:
        raise UnsupportedModelError(
            f"{model}: nothing of it was mapped: {_reason(said, ended)}"
        ) from error
    return data


def _reason(said: log.Log, ended: str) -> str:
    """The first known failure with its fix, else the last unknown line, else the exit code."""
    if said.failures:
        first = said.failures[0]
        return f"{first['reason']} ('{first['text']}'); {first['fix']}"
    unmapped = [row for row in said.rows if not row.mapped]
    if unmapped:
        return f"{unmapped[0].operator}: {unmapped[0].status}"
    return f"{ended}, and it said: {said.unknown[-1]}" if said.unknown else f"{ended}, and no word"
