"""Visits to a board: to describe it, to check it, and to install what it lacks."""

import dataclasses
import os
import re
from pathlib import Path
from typing import Any

from edgecv.device import board, description, doctor, ssh
from edgecv.device.description import Board, Device
from edgecv.device.doctor import OK, PROBLEM, Finding
from edgecv.device.facts import PROBE_SECONDS, gather
from edgecv.device.link import Link
from edgecv.errors import DeviceError, DeviceUnreachable
from edgecv.progress import QUIET, Progress
from edgecv.recipe import RUNTIMES

TRIAL = Path(__file__).with_name("trial.tflite")  # of tests/coral_models.py: classifier(10)

INSTALL_SECONDS = 1800.0  # a Pi Zero with a slow card
# Ends with the connection: `read` returns, and the shell's group ends, pip and what it started.
INSTALL = """
python3 -c 'import ensurepip' 2>/dev/null || {{
  echo "python3 lacks venv; on the board: sudo apt-get install python3-venv" >&2; exit 1; }}
try=$HOME/.cache/edgecv/board/try
mkdir -p "${{try%/*}}" && printf '#!/bin/sh\\n' > "$try" && chmod +x "$try" || exit 1
"$try" 2>/dev/null || {{
  echo "the home there runs no programs (noexec): name a Python elsewhere, in the device file" >&2
  exit 1; }}
rm "$try"
exec 3<&0
{{ read -r _ <&3; kill -KILL 0; }} &
{{ {}; }} >&2
code=$?
kill -KILL $!
exit $code
"""


def describe_board(
    host: str, name: str | None = None, ssh_config: str = "", python: str = ""
) -> tuple[Device, dict[str, Any]]:
    """The device file for the board at an address, and what the board says of itself.

    Facts come from the shipped description of that board, where there is one; so does the name.
    Raises DeviceError when it cannot be reached.
    """
    with board.reach(Device(name or host, host, ssh_config, python)) as agent:
        machine = agent.machine
    template = description.find_by_model(machine["cpu"])
    plain = Device(
        name=re.sub(r"\W+", "_", host), board=Board(machine["cpu"], cores=machine["cores"])
    )
    device = template or plain
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
    """The findings about a device; a board that cannot be reached is one, too.

    With `install`, a missing runtime is installed in a venv of edgecv's own on the board.
    Raises DeviceError when that fails, or when the device file names another Python.
    """
    findings = _visit(device, progress)
    missing = [finding for finding in findings if finding.check == "runtime" and finding.command]
    if not (install and missing):
        return findings
    install_there(device, missing[0].command, progress)
    return _visit(device, progress)


def install_there(device: Device, command: str, progress: Progress = QUIET) -> None:
    """Run on the board what installs into edgecv's own venv; it ends when this process does.

    Raises DeviceError when it fails, or when the device file names another Python.
    """
    if device.local or device.python:
        raise DeviceError(f"{device.name}: its Python is yours to change: {command}")
    progress.line(f"{device.name}: {command}")
    stdin, ours = os.pipe()
    try:
        ssh.shell(device, INSTALL.format(command), stdin=stdin, seconds=INSTALL_SECONDS)
    except DeviceError as error:
        raise type(error)(f"{error}{_reason(str(error))}") from error
    finally:
        os.close(stdin)
        os.close(ours)


INSTALL_FAILURES = {  # in pip's and the system's words
    "No matching distribution": "no ready-made wheel for this board in pip's indexes: on a 32-bit"
    " system /etc/pip.conf must name piwheels, as Raspberry Pi OS does; or use a 64-bit system",
    "No space left": "make room on the board, at least 400 MB",
}


def _reason(said: str) -> str:
    """What to do about a failed installation, as far as its last words tell."""
    return next((f"; {way}" for words, way in INSTALL_FAILURES.items() if words in said), "")


def _try_model(agent: Link, device: Device) -> str:
    """Why the device's runtime does not run a small int8 model on the processor; "" where it does.

    A wheel that is built for a newer processor is imported without a word, and ends here.
    """
    options = device.run_options()
    if device.delegate == "edgetpu":
        options["delegate"] = "auto"
    try:
        place = board.place(agent, device, TRIAL, keep=False)
        agent.call("first", {"model": place, **options}, PROBE_SECONDS)
    except DeviceUnreachable:
        raise
    except DeviceError as error:
        return str(error).removeprefix(f"{device.name}: ").removeprefix("first: ").partition(";")[0]
    return ""


def _visit(device: Device, progress: Progress) -> list[Finding]:
    try:
        agent = board.reach(device)
    except DeviceError as error:
        words = str(error).removeprefix(f"{device.name}: ")
        return [Finding("reachable", PROBLEM, words, "", "")]
    with agent:
        reachable = Finding("reachable", OK, device.host, "", "")
        facts = gather(agent, device.delegate == "edgetpu", progress)
        there = [name for name, library in facts.libraries.items() if library.version]
        if "numpy" in there and RUNTIMES.keys() & there:
            facts = facts._replace(trial_error=_try_model(agent, device))
    return [reachable, *doctor.examine(facts, device)]
