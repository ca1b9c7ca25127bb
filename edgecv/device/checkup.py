"""Visits to a board: to describe it, to check it, and to install what it lacks."""

import dataclasses
import re
from typing import Any

from edgecv.device import board, description, doctor, ssh
from edgecv.device.description import Board, Device
from edgecv.device.doctor import OK, PROBLEM, Finding
from edgecv.device.facts import gather
from edgecv.errors import DeviceError
from edgecv.progress import QUIET, Progress

INSTALL_SECONDS = 1800.0  # a Pi Zero with a slow card


def introduce(
    host: str, name: str | None = None, ssh_config: str = "", python: str = ""
) -> tuple[Device, dict[str, Any]]:
    """The device file for the board at an address, and what the board says of itself.

    Facts come from the shipped description of that board, where there is one; so does the name.
    Raises DeviceError when it cannot be reached.
    """
    with board.reach(Device(name or host, host, ssh_config, python)) as agent:
        machine = agent.machine
    known = description.described(machine["cpu"])
    plain = Device(name=re.sub(r"\W+", "_", host), board=Board(machine["cpu"]))
    device = known or plain
    described = dataclasses.replace(
        device,
        name=name or device.name,
        host=host,
        ssh_config=ssh_config,
        python=python,
        board=dataclasses.replace(device.board, emulated=machine["emulated"]),
    )
    return described, machine


def check(device: Device, install: bool = False, progress: Progress = QUIET) -> list[Finding]:
    """What there is to say about a device; a board that cannot be reached is a finding as well.

    With `install`, a missing runtime is installed in a venv of edgecv's own on the board.
    Raises DeviceError when that fails, or when the device file names another Python.
    """
    findings = _visit(device)
    missing = [each for each in findings if each.check == "runtime" and each.command]
    if not (install and missing):
        return findings
    if device.local or device.python:
        raise DeviceError(f"{device.name}: its Python is yours to change: {missing[0].command}")
    progress.line(f"{device.name}: {missing[0].command}")
    ssh.shell(device, f"{missing[0].command} >&2", seconds=INSTALL_SECONDS)
    return _visit(device)


def _visit(device: Device) -> list[Finding]:
    try:
        agent = board.reach(device)
    except DeviceError as error:
        words = str(error).removeprefix(f"{device.name}: ")
        return [Finding("reachable", PROBLEM, words, "", "")]
    with agent:
        reachable = Finding("reachable", OK, device.host, "", "")
        facts = gather(agent, device.delegate == "edgetpu")
    return [reachable, *doctor.examine(facts, device)]
