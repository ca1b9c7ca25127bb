"""The machine around a measurement: what keeps it busy, its clock, temperature, power and memory.

Copied to the board beside `worker.py`: Python 3.7 and the standard library, nothing of edgecv.
Modules that only some questions need are imported there: together they would take 1 MB of memory.
"""

import os
import struct
import sys
import time
from typing import Any, Dict, List, Optional, Tuple

Reply = Dict[str, Any]

OTHER_LOAD_SECONDS = 0.5  # the system counts busy time in steps of 0.01 s
VCGENCMD = "vcgencmd"
CPU = "/sys/devices/system/cpu/cpu%d/cpufreq/"
FIRMWARE_SECONDS = 5.0  # in which vcgencmd answers, if it ever does
GOOGLE_PCI = "0x1ac1"  # the vendor of an Edge TPU on PCIe
THROTTLED = "/sys/devices/platform/soc/soc:firmware/get_throttled"


def probe() -> Reply:
    """The machine's facts for the doctor, apart from those of `attempt`."""
    import shutil

    load = OtherLoad()
    return {
        "meminfo": read_text("/proc/meminfo"),
        "throttled": None,
        **state(),
        "firmware_error": "" if read_text(THROTTLED) else ask_firmware("get_throttled")[1],
        "externally_managed": externally_managed(),
        "bits": 8 * struct.calcsize("P"),
        "glibc": glibc_version(),
        "page_bytes": os.sysconf("SC_PAGE_SIZE"),
        "free_disk_bytes": shutil.disk_usage(os.path.expanduser("~")).free,
        "usb": usb_devices(),
        **pcie_edgetpu(),
        "other_load": load.cores_used(),
    }


def glibc_version() -> str:
    """That of the C library, nothing if it is another one; platform's guess is wrong before 3.8."""
    try:
        return (os.confstr("CS_GNU_LIBC_VERSION") or "").partition("glibc ")[2]
    except (ValueError, OSError):  # a system that does not know the name
        return ""


class OtherLoad:
    """How many cores everything but this process keeps busy, from now on."""

    def __init__(self) -> None:
        self.start = (time.perf_counter(), time.process_time(), busy_seconds())

    def seconds(self) -> "Optional[Tuple[float, float]]":
        """How long others worked since the start, and how long ago that is; None if unknown."""
        wall, own, busy = self.start
        now = busy_seconds()
        if busy is None or now is None:
            return None
        others = (now - busy) - (time.process_time() - own)
        return others, time.perf_counter() - wall

    def cores_used(self) -> Optional[float]:
        """The average since the start, at least half a second; None where the system is silent."""
        time.sleep(max(0.0, self.start[0] + OTHER_LOAD_SECONDS - time.perf_counter()))
        seconds = self.seconds()
        return max(0.0, seconds[0] / seconds[1]) if seconds else None


def busy_seconds() -> Optional[float]:
    """Seconds that all cores together have worked since boot, for all processes (Linux only)."""
    text = read_text("/proc/stat")
    if text is None:
        return None
    user, nice, system, _, _, irq, soft_irq, steal = map(int, text.split()[1:9])
    return float(user + nice + system + irq + soft_irq + steal) / os.sysconf("SC_CLK_TCK")


def state() -> Reply:
    """Conditions that may explain a slow run, as far as this machine reports them."""
    cores = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else [0]
    clocks_khz = [read_text(CPU % core + "scaling_cur_freq") for core in cores]
    temperature = read_text("/sys/class/thermal/thermal_zone0/temp")  # thousandths of a degree
    conditions = {
        "load_average": os.getloadavg()[0],
        "governor": read_text(CPU % 0 + "scaling_governor"),
        "clock_mhz": max((int(clock) / 1000 for clock in clocks_khz if clock), default=None),
        "temperature_celsius": temperature and int(temperature) / 1000,
        "throttled": read_text(THROTTLED)
        or (vcgencmd("get_throttled") or "").partition("throttled=")[2],
    }
    return {name: value for name, value in conditions.items() if value not in (None, "")}


def vcgencmd(question: str) -> Optional[str]:
    """The answer of a Raspberry Pi's firmware; None on other machines, and where it gives none."""
    return ask_firmware(question)[0]


FIRMWARE_ERRORS: List[str] = []  # of this process; who does not answer is not asked again


def ask_firmware(question: str) -> Tuple[Optional[str], str]:
    """The answer of a Raspberry Pi's firmware, or why there is none; on other machines neither."""
    if not any(os.access(os.path.join(folder, VCGENCMD), os.X_OK) for folder in os.get_exec_path()):
        return None, ""
    if FIRMWARE_ERRORS:
        return None, FIRMWARE_ERRORS[0]
    import subprocess

    asked = [VCGENCMD, question]
    try:
        shown = subprocess.run(
            asked, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=FIRMWARE_SECONDS
        )
    except subprocess.TimeoutExpired:
        FIRMWARE_ERRORS.append("no answer in %g s" % FIRMWARE_SECONDS)
        return None, FIRMWARE_ERRORS[0]
    said = shown.stdout.decode(errors="replace").strip()
    if shown.returncode:
        return None, (said.splitlines() or ["exit code %d" % shown.returncode])[-1]
    return said or None, ""


def externally_managed() -> bool:
    """Whether pip refuses to install into this Python, which is the system's (PEP 668)."""
    import sysconfig

    marker = os.path.join(sysconfig.get_path("stdlib"), "EXTERNALLY-MANAGED")
    return sys.prefix == sys.base_prefix and os.path.exists(marker)


def usb_devices() -> List[Reply]:
    """Vendor and product, `1a6e:089a`, of what is plugged in, and its speed in Mbit/s."""
    import glob

    devices = []
    for folder in sorted(glob.glob("/sys/bus/usb/devices/*/idVendor")):
        vendor, product, speed = (
            read_text(os.path.join(os.path.dirname(folder), name)) or ""
            for name in ("idVendor", "idProduct", "speed")
        )
        devices.append(
            {
                "id": "%s:%s" % (vendor, product),
                "mbit_s": float(speed or 0),
                "writable": os.access(usb_node(os.path.dirname(folder)), os.W_OK),
            }
        )
    return devices


def usb_node(folder: str) -> str:
    """The file that a program opens to use a device on USB."""
    numbers = [int(read_text(os.path.join(folder, name)) or 0) for name in ("busnum", "devnum")]
    return "/dev/bus/usb/%03d/%03d" % tuple(numbers)


def pcie_edgetpu() -> Reply:
    """Whether there is an Edge TPU on PCIe, its driver's file, and leave to open that."""
    import glob

    vendors = [read_text(file) for file in glob.glob("/sys/bus/pci/devices/*/vendor")]
    return {
        "pcie_card": GOOGLE_PCI in vendors,
        "pcie_edgetpu": os.path.exists("/dev/apex_0"),
        "pcie_writable": os.access("/dev/apex_0", os.W_OK),
    }


def peak_rss_bytes() -> int:
    """The most memory this process ever had resident.

    Not ru_maxrss where it can be avoided: a new process inherits its parent's.
    """
    for line in (read_text("/proc/self/status") or "").splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    import resource  # not on Windows

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def read_text(path: str) -> Optional[str]:
    """The text of a file of the system, or None where there is none."""
    try:
        with open(path) as file:
            return file.read().strip()
    except OSError:
        return None
