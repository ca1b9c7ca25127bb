"""Whether a board is fit to run and measure models, and what to do where it is not.

A check is one function of the facts; its docstring is what the user reads when it is not `ok`.
"""

import re
from collections.abc import Callable
from typing import Any, NamedTuple

from edgecv.device import wheels
from edgecv.device.description import Device
from edgecv.device.facts import Facts, Loaded
from edgecv.recipe import RUNTIMES

OK, WARNING, PROBLEM = "ok", "warning", "problem"
UNKNOWN = "the board does not tell"
EMULATED = "emulated: says nothing"
JOIN_VIDEO = "sudo usermod -aG video $USER, then log in again"
UDEV = "/etc/udev/rules.d/60-edgetpu.rules"
OPEN_STICK = (
    "for id in 1a6e 18d1; do echo"
    ' "SUBSYSTEM==\\"usb\\", ATTRS{idVendor}==\\"$id\\", GROUP=\\"plugdev\\", MODE=\\"0660\\"";'
    f" done | sudo tee {UDEV}; sudo udevadm control --reload; sudo usermod -aG plugdev $USER;"
    " then plug it in anew, and log in again"
)
INSTALL_GASKET = "sudo apt-get install gasket-dkms, of Google's apt repository; then restart"
OPEN_APEX = (
    f'echo \'SUBSYSTEM=="apex", MODE="0660", GROUP="apex"\' | sudo tee {UDEV};'
    " sudo groupadd -f apex; sudo usermod -aG apex $USER; then restart"
)
STICKS = ("1a6e:089a", "18d1:9302")  # a Coral stick before and after its first use
USB3_MBIT_S = 5000
NOW, SINCE_START = 0xF, 0xF0000  # of get_throttled
THROTTLED_BITS = ("under-voltage", "clock capped", "throttled", "soft temperature limit")
OLDEST_RUNTIME, NEWEST_RUNTIME = 12, 14  # of libedgetpu: from 12 on with int8 inputs and outputs
ILLEGAL = "SIGILL"  # how a program ends over an instruction that the processor does not have
BUSY_SHARE = 0.25  # of all cores; measurements are then not valid


class Verdict(NamedTuple):
    """The result of a check; `command` mends it."""

    status: str
    found: str
    command: str = ""


class Finding(NamedTuple):
    """A verdict with its check's name, and its fix where there is something to fix."""

    check: str
    status: str
    found: str
    fix: str
    command: str

    def to_json(self) -> dict[str, Any]:
        """The finding without what is empty."""
        return {name: value for name, value in self._asdict().items() if value}


Check = Callable[[Facts, Device], Verdict]


def board(facts: Facts, device: Device) -> Verdict:
    """Measured as another board than it is described as; correct the device file."""
    return Verdict(OK if facts.cpu.startswith(device.board.model) else PROBLEM, facts.cpu)


def python(facts: Facts, device: Device) -> Verdict:
    """The agent needs Python 3.7; name another as `python` in the device file."""
    return Verdict(OK if wheels.version(facts.python) >= (3, 7) else PROBLEM, facts.python)


def system(facts: Facts, device: Device) -> Verdict:
    """LiteRT, several times faster at int8, has no wheels for 32 bits: use a 64-bit system."""
    return Verdict(OK if facts.bits == 64 else WARNING, f"{facts.bits} bit, {facts.machine}")


def glibc(facts: Facts, device: Device) -> Verdict:
    """No TFLite runtime has a wheel for it: take a 64-bit system with Python 3.9 to 3.14."""
    there = f"{facts.glibc or 'no glibc'}, Python {facts.python}, {facts.wheel_machine}"
    fits = _wheel(facts, device) or _installed(facts)
    if fits:
        return Verdict(OK, facts.glibc)
    older = wheels.choose_wheel("3.11", facts.glibc, facts.wheel_machine, device.runtime)
    hint = f"; Python 3.11 has {older.requirement.split()[0]}, as in Debian 12" if older else ""
    return Verdict(PROBLEM, f"{there}{hint}")


def runtime(facts: Facts, device: Device) -> Verdict:
    """Install a TFLite runtime that loads; with --install edgecv does so, in a venv of its own."""
    tried = {name: facts.libraries[name] for name in RUNTIMES}
    working = [f"{name} {library.version}" for name, library in tried.items() if library.version]
    broken = [
        f"{name}: {library.error}"
        for name, library in tried.items()
        if library.error and not library.missing
    ]
    wanted = facts.libraries.get(device.runtime, Loaded("", ""))
    if ILLEGAL in f"{facts.trial_error} {'; '.join(broken)}":
        return _newer_core(facts, device, "; ".join([*broken, facts.trial_error]).strip("; "))
    if facts.trial_error:
        return Verdict(PROBLEM, facts.trial_error, _install(facts, device))
    if wanted.version or (device.runtime == "auto" and working):
        return Verdict(OK, ", ".join(working))
    return Verdict(PROBLEM, "; ".join(broken) or "none installed", _install(facts, device))


def _newer_core(facts: Facts, device: Device, words: str) -> Verdict:
    """The verdict on a wheel with instructions that this processor does not have."""
    tried = [
        name
        for name in RUNTIMES
        if facts.libraries[name].version or ILLEGAL in facts.libraries[name].error
    ]
    failed = device.runtime if device.runtime in tried else tried[0]
    name = f"{RUNTIMES[failed].distribution}=={facts.libraries[failed].version}"
    fitting = wheels.fitting_wheels(facts.python, facts.glibc, facts.wheel_machine, "auto")
    places = [n for n, wheel in enumerate(fitting) if wheel.requirement.startswith(name)]
    older = fitting[places[0] + 1 :][:1] if places else fitting[-1:]
    say = f'; runtime = "{older[0].runtime}" in the device file' if older else ""
    command = f"{wheels.install_command(older[0], device.python)}{say}" if older else ""
    found = f"{words}: its wheel is built for a newer core than that of the {facts.cpu}"
    return Verdict(PROBLEM, found, command)


def numpy(facts: Facts, device: Device) -> Verdict:
    """Runtimes need numpy; tflite-runtime numpy 1: with 2, it fails at the first model."""
    library = facts.libraries["numpy"]
    if not library.version:
        return Verdict(PROBLEM, library.error, _install(facts, device))
    used = sorted(_installed(facts), key=lambda name: name != device.runtime)[:1]
    clash = any(RUNTIMES[name].numpy_1 for name in used) and wheels.version(library.version) >= (2,)
    return (
        Verdict(PROBLEM, library.version, _install(facts, device))
        if clash
        else Verdict(OK, library.version)
    )


def edgetpu(facts: Facts, device: Device) -> Verdict:
    """Libedgetpu must be of the TFLite runtime's TF version: Google's apt has TF 2.5 alone."""
    if device.delegate != "edgetpu":
        return Verdict(OK, "not used")
    library = facts.libraries["edgetpu"]
    number = re.search(r"RuntimeVersion\((\d+)\)", library.version)
    if not number:
        return Verdict(PROBLEM, library.error or library.version)
    fits = OLDEST_RUNTIME <= int(number[1]) <= NEWEST_RUNTIME
    known = f"{OLDEST_RUNTIME} to {NEWEST_RUNTIME} are known to work"
    return (
        Verdict(OK, f"runtime {number[1]}")
        if fits
        else Verdict(WARNING, f"runtime {number[1]}; {known}")
    )


def usb(facts: Facts, device: Device) -> Verdict:
    """Plug the Coral stick into a USB 3 socket (blue): with USB 2 it takes 4-12 times longer."""
    speeds = [speed for stick, speed in facts.usb.items() if stick in STICKS]
    if device.delegate != "edgetpu" or facts.pcie_edgetpu or facts.pcie_card:
        return Verdict(OK, "on PCIe" if facts.pcie_edgetpu or facts.pcie_card else "not used")
    if not speeds:
        return Verdict(PROBLEM, "no Coral stick")
    if facts.usb_locked.intersection(STICKS):
        return Verdict(PROBLEM, "a Coral stick that you may not open", OPEN_STICK)
    return Verdict(OK if max(speeds) >= USB3_MBIT_S else WARNING, f"{max(speeds):g} Mbit/s")


def pcie(facts: Facts, device: Device) -> Verdict:
    """An Edge TPU on PCIe or M.2 needs the drivers gasket and apex, a user the group apex."""
    if device.delegate != "edgetpu" or not (facts.pcie_card or facts.pcie_edgetpu):
        return Verdict(OK, "not used")
    if not facts.pcie_edgetpu:
        return Verdict(PROBLEM, "a card without /dev/apex_0: no driver", INSTALL_GASKET)
    if facts.pcie_locked:
        return Verdict(PROBLEM, "/dev/apex_0, which you may not open", OPEN_APEX)
    return Verdict(OK, "/dev/apex_0")


def page_size(facts: Facts, device: Device) -> Verdict:
    """Some wheels need pages of 4 KiB: `kernel=kernel8.img` in /boot/firmware/config.txt."""
    return Verdict(OK if facts.page_bytes == 4096 else WARNING, f"{facts.page_bytes} bytes")


def governor(facts: Facts, device: Device) -> Verdict:
    """The clock moves with the load, so latencies vary; hold it at its highest."""
    if facts.emulated:
        return Verdict(OK, EMULATED)
    steady = facts.governor in (None, "performance")
    command = "echo performance | sudo tee /sys/devices/system/cpu/cpu*/cpufreq/scaling_governor"
    return Verdict(OK if steady else WARNING, facts.governor or UNKNOWN, "" if steady else command)


def temperature(facts: Facts, device: Device) -> Verdict:
    """Close to the temperature at which the board slows down: let it cool, give it a fan."""
    now, limit = facts.temperature_celsius, device.board.throttles_celsius or 80
    if now is None or facts.emulated:
        return Verdict(OK, EMULATED if facts.emulated else UNKNOWN)
    status = PROBLEM if now >= limit else WARNING if now >= limit - 10 else OK
    return Verdict(status, f"{now:.0f} °C, slows down at {limit}")


def power(facts: Facts, device: Device) -> Verdict:
    """Use the official power supply and a fan; vcgencmd, which tells, is for the group video."""
    bits = facts.throttled
    if facts.firmware_error:
        return Verdict(WARNING, f"vcgencmd: {facts.firmware_error}", JOIN_VIDEO)
    if bits is None:
        return Verdict(OK, UNKNOWN)
    now = [name for bit, name in enumerate(THROTTLED_BITS) if bits >> bit & 1]
    before = [name for bit, name in enumerate(THROTTLED_BITS, 16) if bits >> bit & 1]
    if now:
        return Verdict(PROBLEM, f"{', '.join(now)}, now")
    if before:
        return Verdict(WARNING, f"{', '.join(before)}, since it started")
    return Verdict(OK, "enough, never throttled")


def disk(facts: Facts, device: Device) -> Verdict:
    """Make room on the board: a runtime needs 400 MB, a model its size."""
    free = facts.free_disk_bytes / 1e6
    return Verdict(_amount(free, 50, 400), f"{free:,.0f} MB free")


def memory(facts: Facts, device: Device) -> Verdict:
    """End other programs: a runtime with a model needs 50 to 200 MB."""
    if facts.free_memory_bytes is None:
        return Verdict(OK, UNKNOWN)
    free = facts.free_memory_bytes / 1e6
    return Verdict(_amount(free, 50, 200), f"{free:,.0f} MB free")


def load(facts: Facts, device: Device) -> Verdict:
    """Other programs keep the cores busy, so that latencies are not valid; see `top`."""
    if facts.other_load is None:
        return Verdict(OK, UNKNOWN)
    busy = facts.other_load > BUSY_SHARE * facts.cores
    words = f"{facts.other_load:.1f} of {facts.cores} cores busy"
    return Verdict(WARNING if busy else OK, words)


CHECKS: tuple[Check, ...] = (
    board,
    python,
    system,
    glibc,
    runtime,
    numpy,
    edgetpu,
    usb,
    pcie,
    page_size,
    governor,
    temperature,
    power,
    disk,
    memory,
    load,
)


def examine(facts: Facts, device: Device) -> list[Finding]:
    """A finding for every check, in their order."""
    return [_finding(check, check(facts, device)) for check in CHECKS]


def _finding(check: Check, verdict: Verdict) -> Finding:
    fix = "" if verdict.status == OK else (check.__doc__ or "")
    name = check.__name__.replace("_", " ")
    return Finding(name, verdict.status, verdict.found, fix, verdict.command)


def _amount(free: float, least: float, comfortable: float) -> str:
    return PROBLEM if free < least else WARNING if free < comfortable else OK


def _wheel(facts: Facts, device: Device) -> wheels.Wheel | None:
    return wheels.choose_wheel(facts.python, facts.glibc, facts.wheel_machine, device.runtime)


def _install(facts: Facts, device: Device) -> str:
    """The command that installs the wheel that fits, with the numpy that fits it."""
    wheel = _wheel(facts, device)
    if wheel and device.python and facts.externally_managed:
        own = wheels.install_command(wheel, "")
        return f"{own}; then leave `python` out of the device file: {device.python} is the system's"
    return wheels.install_command(wheel, device.python) if wheel else ""


def _installed(facts: Facts) -> list[str]:
    """The runtimes that load, in the order `auto` looks for them."""
    return [name for name in RUNTIMES if facts.libraries[name].version]
