"""A board at work: connected, the right one, with the files that it needs."""

import base64
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from edgecv.device import link, ssh
from edgecv.device.description import Device
from edgecv.device.link import Link
from edgecv.errors import DeviceError, DeviceUnreachable
from edgecv.files import sha256
from edgecv.progress import QUIET, Progress

T = TypeVar("T")
PART_BYTES = 1 << 18  # of a file in one request
PART_SECONDS = 60.0


def reach(device: Device) -> Link:
    """A link to the agent at the device's address, whatever board that is."""
    if device.local:
        return link.local(device.python or sys.executable, device.name)
    return ssh.connect(device)


def connect(device: Device) -> Link:
    """A link to the device's agent. Raises DeviceError when it is another board."""
    connected = reach(device)
    cpu = connected.machine["cpu"]
    if not cpu.startswith(device.board.model):
        connected.close()
        raise DeviceError(
            f"{device.name}: {device.host} is a {cpu}, not a {device.board.model};"
            f" describe it: edgecv devices add {device.host}"
        )
    return connected


def retry_once(device: Device, task: Callable[[Link], T], progress: Progress = QUIET) -> T:
    """Run `task` with a link, once more when the connection is lost; its result."""
    with connect(device) as first:
        try:
            return task(first)
        except DeviceUnreachable as error:
            progress.line(f"{error}; once more")
    with connect(device) as second:
        return task(second)


def cool_down(device: Device, progress: Progress = QUIET) -> None:
    """Let the board rest before a measurement, as long as its description says."""
    if device.cooldown:
        progress.line(f"{device.name}: rests for {device.cooldown:g} s")
        time.sleep(device.cooldown)


def place(
    agent: Link, device: Device, path: Path, progress: Progress = QUIET, keep: bool = True
) -> str:
    """The path of a file on the board, copied there if it is not; its hash is its name there.

    A copy that was cut off goes on where it stopped; without `keep`, it goes with the agent. Raises
    DeviceError when the disk is full, or when what arrives is not what was sent.
    """
    if device.local:
        return str(path.resolve())
    data, name = path.read_bytes(), sha256(path)
    there = agent.call("stored", {"sha256": name}, PART_SECONDS)
    for _ in range(2):  # the second time, when the first half was damaged from an earlier one
        if there["whole"]:
            return str(there["path"])
        parts = range(min(there["bytes"], len(data) - 1), len(data), PART_BYTES)
        for offset in progress.track(parts, f"copy {path.name}", len(parts)):
            there = agent.call("store", _part(name, data, offset, keep), PART_SECONDS)
    raise DeviceError(f"{device.name}: {path.name}: damaged on the way")


def _part(name: str, data: bytes, offset: int, keep: bool) -> dict[str, Any]:
    """One request of an upload."""
    end = offset + PART_BYTES
    part = base64.b64encode(data[offset:end]).decode()
    last = end >= len(data)
    return {"sha256": name, "offset": offset, "data": part, "last": last, "keep": keep}
