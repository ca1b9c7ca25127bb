"""The facts of a board, from its agent's answers."""

import re
from typing import Any, NamedTuple

from edgecv.device.link import Link
from edgecv.errors import DeviceError, DeviceUnreachable
from edgecv.progress import QUIET, Progress
from edgecv.recipe import RUNTIMES

PROBE_SECONDS = 120.0  # importing a runtime takes a Pi Zero a while
PROBED = (
    *("bits", "glibc", "page_bytes", "free_disk_bytes", "pcie_edgetpu", "pcie_card"),
    *("firmware_error", "externally_managed"),
)
LOADED = ("numpy", *RUNTIMES, "edgetpu")


class Loaded(NamedTuple):
    """A library that was really loaded on the board, or why it was not."""

    version: str
    error: str = ""

    @property
    def missing(self) -> bool:
        """Whether it is not there at all, rather than broken."""
        return bool(re.search(r"not installed|No module named|cannot open shared", self.error))


class Facts(NamedTuple):
    """The present facts of a board; None where it does not report one."""

    cpu: str
    python: str
    machine: str  # of the kernel
    cores: int
    bits: int  # of Python, so of the system's programs
    glibc: str
    page_bytes: int
    free_disk_bytes: int
    free_memory_bytes: int | None
    throttled: int | None  # the bits of `vcgencmd get_throttled`
    governor: str | None
    temperature_celsius: float | None
    other_load: float | None  # cores kept busy by others
    usb: dict[str, float]  # Mbit/s by `vendor:product`
    pcie_edgetpu: bool
    libraries: dict[str, Loaded]
    usb_locked: frozenset[str] = frozenset()  # of `usb`, what this user may not open
    pcie_card: bool = False  # an Edge TPU is there, with or without its driver
    pcie_locked: bool = False
    firmware_error: str = ""  # why vcgencmd gives no answer
    externally_managed: bool = False  # pip refuses to install into this Python
    emulated: bool = False
    trial_error: str = ""  # why the runtime that a measurement takes runs no model

    @property
    def wheel_machine(self) -> str:
        """The machine in the names of wheels: 32-bit systems run on 64-bit kernels, too."""
        return "armv7l" if self.bits == 32 and self.machine == "aarch64" else self.machine


def gather(agent: Link, edgetpu: bool, progress: Progress = QUIET) -> Facts:
    """All facts for the doctor; libedgetpu is only loaded where `edgetpu` is set."""
    probed = agent.call("probe", timeout=PROBE_SECONDS)
    wanted = LOADED if edgetpu else LOADED[:-1]
    throttled = probed["throttled"]
    return Facts(
        **{name: agent.machine[name] for name in ("cpu", "python", "machine", "cores")},
        free_memory_bytes=_free_memory(probed["meminfo"]),
        throttled=int(throttled, 16) if throttled else None,
        governor=probed.get("governor"),
        temperature_celsius=probed.get("temperature_celsius"),
        other_load=probed["other_load"],
        usb={device["id"]: device["mbit_s"] for device in probed["usb"]},
        usb_locked=frozenset(device["id"] for device in probed["usb"] if not device["writable"]),
        pcie_locked=probed["pcie_edgetpu"] and not probed["pcie_writable"],
        emulated=agent.machine["emulated"],
        **{name: probed[name] for name in PROBED},
        libraries={
            name: _load(agent, name) for name in progress.track(wanted, f"check {agent.device}")
        },
    )


def _load(agent: Link, name: str) -> Loaded:
    """A library's version; one that crashes is an answer, a lost board is not."""
    try:
        reply: dict[str, Any] = agent.call("attempt", {"name": name}, PROBE_SECONDS)
    except DeviceUnreachable:
        raise
    except DeviceError as error:
        return Loaded("", str(error).partition("attempt: ")[2])
    return Loaded(reply["version"])


def _free_memory(meminfo: str | None) -> int | None:
    """The bytes that programs can still take, from /proc/meminfo."""
    match = re.search(r"MemAvailable:\s+(\d+) kB", meminfo or "")
    return int(match[1]) * 1024 if match else None
