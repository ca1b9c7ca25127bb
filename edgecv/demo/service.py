"""Starts a demo with the machine: a systemd unit of the user's own, and the files that it runs."""

import contextlib
import dataclasses
import json
import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path

from edgecv.demo.options import PORT, DemoModel, DemoOptions
from edgecv.errors import DeviceError
from edgecv.files import write_text

NAME = "edgecv-demo.service"
ARCHIVE = "demo.zip"
ORDER = "order.json"
UNIT = """\
# Written by edgecv demo --service; edgecv demo --service remove takes it away again.
[Unit]
Description=edgecv demo: {what}
StartLimitIntervalSec=0

[Service]
ExecStart={command}
WorkingDirectory={folder}
Restart=on-failure
RestartSec=5
UMask=0077
NoNewPrivileges=yes

[Install]
WantedBy=default.target
"""


def install(options: DemoOptions, archive: Path) -> str:
    """Install and start the service, now and whenever the machine starts; how to control it.

    Raises DeviceError when systemd does not take it; the unit then stays for `systemctl` to start.
    """
    folder = _data_folder()
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if archive.resolve() != folder / ARCHIVE:
        shutil.copyfile(archive, folder / ARCHIVE)
    models = tuple(_kept(model, folder) for model in options.models)
    snapshots = str(Path(options.snapshots or Path.home() / "snapshots").expanduser().resolve())
    kept = dataclasses.replace(
        options,
        models=models,
        snapshots=snapshots,
        socket="",
        source=_absolute(options.source),
        port=PORT if options.port is None else options.port,  # the one that viewers are told
    )
    write_text(folder / ORDER, json.dumps({"do": "page", "options": dataclasses.asdict(kept)}))
    (folder / ORDER).chmod(0o600)  # it holds the token
    command = " ".join(map(_quoted, (sys.executable, folder / ARCHIVE, folder / ORDER)))
    what = ", ".join(model.name for model in models).replace("%", "%%")
    write_text(unit_path(), UNIT.format(what=what, command=command, folder=_escaped(folder)))
    _systemctl("daemon-reload")
    _check_port(kept)
    _systemctl("enable", NAME)
    _systemctl("restart", NAME)
    return f"{unit_path()}: runs; its words: journalctl --user -u {NAME}{_lingering()}"


def _absolute(source: str) -> str:
    """A file or folder by its whole path: the service runs in a folder of its own."""
    path = Path(source).expanduser()
    return str(path.resolve()) if path.exists() else source


def _check_port(options: DemoOptions) -> None:
    """Raise DeviceError when another program than this service listens on the port."""
    with contextlib.suppress(DeviceError):  # it may hold the port itself
        _systemctl("stop", NAME)
    family = socket.AF_INET6 if ":" in options.host else socket.AF_INET
    try:
        socket.create_server((options.host, options.port or 0), family=family).close()
    except OSError as error:
        raise DeviceError(
            f"{unit_path()}: is written, but not started: {options.host}, port {options.port}:"
            f" cannot be listened on: {error.strerror}; choose another --port"
        ) from error


def remove() -> str:
    """Stop the service, and remove its unit and files; their paths."""
    if not unit_path().exists():
        return f"{unit_path()}: is not there"
    with contextlib.suppress(DeviceError):  # without a running systemd there is nothing to stop
        _systemctl("disable", "--now", NAME)
    unit_path().unlink()
    shutil.rmtree(_data_folder(), ignore_errors=True)
    with contextlib.suppress(DeviceError):
        _systemctl("daemon-reload")
    return f"{unit_path()}: removed"


def unit_path() -> Path:
    """Where systemd looks for the units of this user."""
    config = Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config")
    return config / "systemd" / "user" / NAME


def _data_folder() -> Path:
    data = Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share")
    return (data / "edgecv" / "demo").resolve()


def _kept(model: DemoModel, folder: Path) -> DemoModel:
    """A model in the service's own folder, where nobody clears a cache."""
    path = folder / f"{model.name.replace('/', '_')}.tflite"
    if Path(model.path).resolve() != path:
        shutil.copyfile(model.path, path)
    return dataclasses.replace(model, path=str(path))


def _quoted(word: object) -> str:
    """A word of a command, as systemd reads it (systemd.service(5), COMMAND LINES)."""
    plain = str(word).replace("\\", "\\\\").replace('"', '\\"')
    return '"' + _escaped(plain).replace("$", "$$") + '"'


def _escaped(text: object) -> str:
    return str(text).replace("%", "%%")


def _systemctl(*words: str) -> None:
    command = ["systemctl", "--user", *words]
    try:
        done = subprocess.run(command, capture_output=True, text=True)
        said = done.stderr.strip().splitlines()
    except OSError as error:
        done, said = None, [str(error.strerror)]
    if done is None or done.returncode:
        reason = said[-1] if said else "it failed"
        raise DeviceError(
            f"{unit_path()}: is written, but not started: {' '.join(command)}: {reason}"
        )


def _lingering() -> str:
    """The step left before the service starts without a login; empty where none is."""
    try:
        done = subprocess.run(["loginctl", "enable-linger"], capture_output=True)
    except OSError:
        return ""
    return "" if not done.returncode else "; to start without a login: sudo loginctl enable-linger"
