"""Guest instructions of one inference, counted by QEMU: exact, the same on every machine.

Instructions are not time: a cache miss counts nothing, a dot product as much as an addition. But
they do not depend on the machine that counts, so a limit on them can be held to a per mille.
"""

import os
import tempfile
from pathlib import Path
from typing import NamedTuple

from edgecv.device.emulated_board import EmulatedBoard, cache_folder, data_folder, find, lay_out
from edgecv.device.emulated_root import PYTHON, build, check_programs, run
from edgecv.errors import DeviceError, nearest
from edgecv.files import sha256
from edgecv.progress import QUIET, Progress
from edgecv.recipe import RUNTIMES

INFERENCES = 2  # N; the answer is of 2N less that of N, over N
NEEDED = {"qemu-aarch64": "qemu-user", "gcc": "gcc"}  # Debian's static QEMU takes no plugin
ENVIRONMENT = {"PYTHONHASHSEED": "0", "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}


class Counts(NamedTuple):
    """Instructions of one inference in one thread, by what they do."""

    dot: int  # SDOT, UDOT: four products a lane
    multiply: int  # with or without an addition; scalar, vector, integer or float
    load: int
    store: int
    other: int

    @property
    def total(self) -> int:
        """All of them."""
        return sum(self)


def count(
    model: Path, board: str = "pi4", runtime: str = "litert", progress: Progress = QUIET
) -> Counts:
    """The instructions of one inference on the board's core, with the runtime's kernels.

    `runtime` is litert or tflite. Two counts of the same file differ by less than 0.1 %. Raises
    DeviceError when a program is missing or the runtime cannot run the model.
    """
    chosen = find(board)
    if runtime not in RUNTIMES:
        hint = nearest(runtime, RUNTIMES)
        raise DeviceError(f"runtime '{runtime}': not emulated; there are: litert, tflite{hint}")
    if not model.is_file():
        raise DeviceError(f"{model}: no such file")
    check_programs(NEEDED)
    if "-plugin" not in run(["qemu-aarch64", "-h"], "--count"):
        raise DeviceError(
            "--count: this qemu-aarch64 takes no plugin, as Debian 13's, which is static;"
            " Debian 12's qemu-user does, or a QEMU that is built with --enable-plugins, first on"
            " the PATH"
        )
    root, plugin = build(progress), _plugin()
    progress.line(f"count instructions: {model.name}, {runtime}, {chosen.cpu}")
    with tempfile.TemporaryDirectory() as folder:
        return _counted(model.resolve(), chosen, runtime, root, plugin, Path(folder))


def _counted(
    model: Path, board: EmulatedBoard, runtime: str, root: Path, plugin: Path, folder: Path
) -> Counts:
    """Run the model in emulation without a root of its own: QEMU looks each path up in `root`."""
    lay_out(board, folder / "board")
    for name in ("usr", "lib"):
        (folder / "board" / name).symlink_to(root / name)
    marks = folder / "marks"
    emulator = ["qemu-aarch64", "-cpu", board.cpu, "-L", str(folder / "board")]
    program = [root / "usr/bin" / PYTHON, data_folder() / "inferences.py", model]
    run(
        [
            *emulator,
            "-plugin",
            f"{plugin},out={marks}",
            *program,
            RUNTIMES[runtime].package,
            str(INFERENCES),
        ],
        f"{model}: {runtime} on the emulated {board.name}",
        **ENVIRONMENT,
        PYTHONPATH=str(root / "opt" / runtime / "lib" / PYTHON / "site-packages"),
    )
    _, once, twice, end = (list(map(int, line.split())) for line in marks.read_text().splitlines())
    classes = zip(once, twice, end, strict=True)
    return Counts(*(round((c - b - (b - a)) / INFERENCES) for a, b, c in classes))


def _plugin() -> Path:
    """The counting plugin, compiled once for this version of its source."""
    source = data_folder() / "count.c"
    plugin = cache_folder() / f"count-{sha256(source)[:16]}.so"
    if not plugin.exists():
        partial = plugin.with_suffix(f".{os.getpid()}")
        flags = ["-O2", "-shared", "-fPIC", "-fvisibility=hidden"]
        run(["gcc", *flags, "-o", partial, source], "emulated board: count.c")
        partial.replace(plugin)
    return plugin
