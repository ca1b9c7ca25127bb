"""The boards that can be emulated, and the files of their kernels that programs look at.

What a runtime finds in /proc/cpuinfo decides which kernels it uses, so it must be of the same core
as the processor QEMU emulates: the wrong pair crashes, or computes in another way.
"""

import os
import shutil
from pathlib import Path
from typing import NamedTuple

from edgecv.errors import DeviceError, nearest

CORES = 4  # of every board below


class EmulatedBoard(NamedTuple):
    """A Raspberry Pi by its processor; the text of its /proc/cpuinfo is `<name>.cpuinfo`."""

    name: str
    cpu: str  # QEMU's name of its core
    clock_khz: int

    @property
    def cpuinfo(self) -> str:
        """The /proc/cpuinfo of such a board."""
        return (data_folder() / f"{self.name}.cpuinfo").read_text(encoding="utf-8")

    @property
    def model(self) -> str:
        """The name in the board's device tree, which a Pi also has as /proc/device-tree."""
        return self.cpuinfo.partition("\nModel")[2].strip("\t :\n")


BOARDS = {
    row.name: row
    for row in (
        EmulatedBoard("pi3", "cortex-a53", 1_400_000),
        EmulatedBoard("zero2w", "cortex-a53", 1_000_000),
        EmulatedBoard("pi4", "cortex-a72", 1_800_000),
        EmulatedBoard("pi5", "cortex-a76", 2_400_000),
    )
}


def find(name: str) -> EmulatedBoard:
    """The board of that name; raises DeviceError when there is none."""
    if name not in BOARDS:
        hint = nearest(name, BOARDS)
        raise DeviceError(f"board '{name}': not emulated; there are: {', '.join(BOARDS)}{hint}")
    return BOARDS[name]


def data_folder() -> Path:
    """`emulated_pi`, in the installed package or in the source tree."""
    package = Path(__file__).parent.parent
    installed = package / "devices" / "emulated_pi"
    return installed if installed.is_dir() else package.parent / "devices" / "emulated_pi"


def cache_folder() -> Path:
    """Where emulated boards are kept: $EDGECV_EMULATED_PI, or in the user's cache folder."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return Path(os.environ.get("EDGECV_EMULATED_PI") or cache / "edgecv" / "emulated_pi").absolute()


def lay_out(board: EmulatedBoard, folder: Path) -> Path:
    """Write the board's `proc` and `sys` into `folder`, anew; the folder.

    The readings in `sys` never change: they show what a program can read, never how warm it is.
    """
    files = {
        "proc/cpuinfo": board.cpuinfo,
        "sys/firmware/devicetree/base/model": board.model + "\0",
        "sys/class/thermal/thermal_zone0/temp": "45000\n",
        **{f"sys/devices/system/cpu/{cpus}": f"0-{CORES - 1}\n" for cpus in CPU_LISTS},
    }
    for core in range(CORES):
        clock = f"sys/devices/system/cpu/cpu{core}/cpufreq"
        files[f"{clock}/scaling_governor"] = "ondemand\n"
        for reading in CLOCKS:
            files[f"{clock}/{reading}"] = f"{board.clock_khz}\n"
    shutil.rmtree(folder, ignore_errors=True)
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return folder


CPU_LISTS = ("possible", "present", "online")
CLOCKS = ("scaling_cur_freq", "scaling_max_freq", "cpuinfo_max_freq")
