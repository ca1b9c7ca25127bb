"""Boards behind ssh: OpenSSH's own client, with the user's keys, configuration and host keys.

The agent's files are placed once, in a folder named by their hash; a connection is kept open for a
minute, so that the next command need not log in.
"""

import base64
import hashlib
import os
import re
import shlex
import subprocess
import tarfile
import tempfile
import time
from collections import deque
from collections.abc import Sequence
from pathlib import Path
from typing import IO, NamedTuple, cast

from edgecv.device.description import Device
from edgecv.device.link import AGENT, Link
from edgecv.device.output import LineTooLong, Output
from edgecv.errors import DeviceError, DeviceUnreachable

FILES = (AGENT, *(AGENT.with_name(f"{name}.py") for name in ("worker", "conditions", "edgetpu")))
HELLO_SECONDS = 60.0  # a Pi Zero that was just switched on
LONGEST_SOCKET_FOLDER = 45  # a socket's path has 104 characters, of which ssh needs 58
OWN_PYTHON = '"$HOME/.cache/edgecv/board/venv/bin/python"'
LAST_LINES = 100  # of what a script shows
FULL = "No space left on device"
ABSENT = 66  # EX_NOINPUT
SSH_FAILED = 255  # of ssh itself, not of what it ran
NOT_STARTED = (126, 127)  # of a shell
OPTIONS = {
    "BatchMode": "yes",  # never a question that nobody sees
    "ConnectTimeout": "10",
    "ControlMaster": "auto",
    "ControlPersist": "60",
    "ServerAliveInterval": "5",
    "ServerAliveCountMax": "3",
    "ClearAllForwardings": "yes",  # the user's own, whose ports another ssh may hold
    "RemoteCommand": "none",
}

PYTHON = f"""
[ -n "$python" ] || [ ! -x {OWN_PYTHON} ] || python={OWN_PYTHON}
case "${{python:=python3}}" in "~/"*) python=$HOME/${{python#"~/"}} ;; esac
"""
START = f"""
cd "$HOME/.cache/edgecv/board/$1" 2>/dev/null || exit {ABSENT}
printf '%s' "$2" | sha256sum -c >/dev/null 2>&1 || exit {ABSENT}
python=$3 {PYTHON}
exec "$python" agent.py
"""
RUN = f'python=$2 {PYTHON} exec "$python" "$1"'  # a program that was placed there
PLACE = """
umask 077
mkdir -p "$HOME/.cache/edgecv/board" && cd "$HOME/.cache/edgecv/board" || exit 1
trap 'rm -rf "$1.$$"' EXIT
mkdir "$1.$$" && tar -xf - -C "$1.$$" && cd "$1.$$" && printf '%s' "$2" | sha256sum -c >&2 || exit 1
cd .. && rm -rf "$1" && mv "$1.$$" "$1"
"""


class Refusal(NamedTuple):
    """A message of ssh, and what the user can do about it."""

    said: str  # a regular expression
    words: str  # `{host}` is ssh's argument; `{0}` what the expression caught
    error: type[DeviceError] = DeviceError


NOT_RUNNING = Refusal(
    r"Can't open user config file|Connection refused",
    "is not running; start it: edgecv devices emulate",
    DeviceUnreachable,
)
REFUSALS = (  # the first that fits
    Refusal(
        r"Can't open user config file (.*?): (.*)",
        "{0}, the `ssh_config` of the device file: {1}",
    ),
    Refusal(
        r"HOST IDENTIFICATION HAS CHANGED(?:.|\n)*?(ssh-keygen -f .*?)\r?\n",
        "the host key is not the one it had before: another board at this address, or somebody in"
        " between; if you set the board up anew: {0}",
    ),
    Refusal(
        r"HOST IDENTIFICATION HAS CHANGED",
        "the host key is not the one it had before: another board at this address, or somebody in"
        " between; remove the old key from known_hosts if you set the board up anew",
    ),
    Refusal(
        r"Host key verification failed|host key is known for",
        "its host key is not known yet; connect by hand once and compare it: ssh {host}",
    ),
    Refusal(
        r"Permission denied \((.*)\)",
        "refused your key ({0}); put it there: ssh-copy-id {host}",
    ),
    Refusal(
        r"Could not resolve hostname",
        "no machine of that name in this network; a port is written ssh://USER@HOST:PORT, an IPv6"
        " address without brackets",
    ),
    Refusal(
        r"Connection refused",
        "nothing answers ssh there; on the board: sudo systemctl enable --now ssh",
        DeviceUnreachable,
    ),
    Refusal(
        r"timed out|No route to host|Network is unreachable|not responding",
        "does not answer; is it on, and in this network?",
        DeviceUnreachable,
    ),
    Refusal(
        r"sh: .*?(\S+): (?:not found|cannot execute|No such file|Permission denied)",
        "cannot start {0}; name another as `python` in the device file",
    ),
)


class AgentAbsent(DeviceError):
    """The agent has yet to be placed on the board."""


class ConnectionStale(DeviceUnreachable):
    """The connection that was kept open broke; a new one may do."""


def connect(device: Device) -> Link:
    """A link to the agent on a board, placed there first if need be.

    Raises DeviceError, with what to do, when ssh or the board's Python refuses.
    """
    for _ in range(2):
        try:
            return _started(device)
        except AgentAbsent:
            _place(device)
        except ConnectionStale:
            continue
    return _started(device)


def shell(
    device: Device,
    script: str,
    *arguments: str,
    stdin: int | IO[bytes] = subprocess.DEVNULL,
    seconds: float,
) -> str:
    """Run a script of edgecv on the board; its last lines. Raises DeviceError if it fails."""
    try:
        process = subprocess.Popen(
            command(device, script, arguments),
            stdin=stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            bufsize=0,
        )
    except OSError as error:
        raise DeviceUnreachable(f"{device.name}: ssh: {error.strerror}") from error
    with process:
        output = Output(cast(IO[bytes], process.stdout), cast(IO[bytes], process.stderr))
        try:
            last_lines = deque(output.lines(time.monotonic() + seconds), maxlen=LAST_LINES)
            process.wait(seconds)
        except (TimeoutError, LineTooLong, subprocess.TimeoutExpired):
            raise DeviceUnreachable(f"{device.name}: no end after {seconds:g} s") from None
        finally:
            process.kill()
        shown, said = b"".join(last_lines).decode(errors="replace"), output.last_words()
    if process.returncode and FULL in said:
        raise DeviceError(
            f"{device.name}: the disk of its home is full; make room there, or:"
            f" edgecv devices clean {device.name}"
        )
    if process.returncode:
        last = (said or shown.strip()).splitlines()[-1:]
        raise refusal(device, said, process.returncode) or DeviceError(
            f"{device.name}: {''.join(last) or f'exit code {process.returncode}'}"
        )
    return shown


def _started(device: Device) -> Link:
    """The agent, after its first reply. Raises AgentAbsent."""
    checksums = _checksums()
    words = command(device, START, (_folder(checksums), checksums, device.python))

    def diagnose(method: str, log: str, code: int) -> DeviceError | None:
        if code == ABSENT:
            return AgentAbsent(f"{device.name}: no agent")
        if code == SSH_FAILED and not log:
            return ConnectionStale(
                f"{device.name}: the agent, or the way to it, ended during '{method}'"
            )
        return refusal(device, log, code) or _wrong_python(device, log)

    return Link(words, device.name, diagnose).greet(HELLO_SECONDS)


def _place(device: Device) -> None:
    """Copy the agent's files to the board, where they appear all at once, checked."""
    checksums = _checksums()
    with tempfile.TemporaryFile() as packed:
        with tarfile.open(fileobj=packed, mode="w") as tar:
            for path in FILES:
                tar.add(
                    path, path.name, filter=lambda entry: entry.replace(uid=0, gid=0, deep=False)
                )
        packed.seek(0)
        shell(device, PLACE, _folder(checksums), checksums, stdin=packed, seconds=60)


def _checksums() -> str:
    """The agent's files as sha256sum lists them."""
    return "".join(f"{_sha256(path)}  {path.name}\n" for path in FILES)


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _folder(checksums: str) -> str:
    return f"agent-{hashlib.sha256(checksums.encode()).hexdigest()}"


def command(
    device: Device, script: str, arguments: Sequence[str], flags: Sequence[str] = ()
) -> list[str]:
    """ssh, running a POSIX shell with a script whatever the login shell is; `flags` go first.

    The script goes in one line without a quote in it: csh would end it at the first line's end.
    """
    options = {**OPTIONS, "ControlPath": f"{_socket_folder()}/%C"}
    usual = [part for name, value in options.items() for part in ("-o", f"{name}={value}")]
    text = f"{shlex.join(['set', '--', *arguments])}\n{script}"
    packed = base64.b64encode(text.encode()).decode()
    remote = f"exec sh -c 'eval \"$(echo {packed} | base64 -d)\"'"
    return ["ssh", *config(device), *flags, *usual, "-T", "--", device.host, remote]


def config(device: Device) -> list[str]:
    """The flags that name the device's ssh configuration, if it has its own."""
    return ["-F", str(Path(device.ssh_config).expanduser())] if device.ssh_config else []


def _socket_folder() -> Path:
    """A folder of this user alone, with a path short enough for sockets."""
    runtime = os.environ.get("XDG_RUNTIME_DIR")
    folder = Path(runtime or tempfile.gettempdir()) / f"edgecv-{os.getuid()}"
    if len(str(folder)) > LONGEST_SOCKET_FOLDER:
        folder = Path(f"/tmp/edgecv-{os.getuid()}")  # noqa: S108  # checked below
    folder.mkdir(mode=0o700, exist_ok=True)
    status = folder.lstat()
    if status.st_uid != os.getuid() or status.st_mode & 0o077 or folder.is_symlink():
        raise DeviceError(f"{folder}: must be a folder that only you can enter")
    return folder


def refusal(device: Device, log: str, code: int) -> DeviceError | None:
    """The words of ssh, or of the shell that did not find Python, in ours, with what to do."""
    if code not in (SSH_FAILED, *NOT_STARTED):
        return None
    for cause in (NOT_RUNNING, *REFUSALS) if device.board.emulated else REFUSALS:
        match = re.search(cause.said, log)
        if match:
            words = cause.words.format(
                *match.groups(), host=shlex.join([*config(device), device.host])
            )
            name = "" if device.name == device.host else f"{device.name}: "
            return cause.error(f"{name}{device.host}: {words}")
    return None


def _wrong_python(device: Device, log: str) -> DeviceError | None:
    """The error for a Python that does not understand the agent."""
    if "SyntaxError" not in log:
        return None
    version = shell(device, '"${1:-python3}" --version 2>&1', device.python, seconds=30).strip()
    return DeviceError(
        f"{device.name}: {device.python or 'python3'} is {version}, the agent needs 3.7 or newer;"
        " name another as `python` in the device file"
    )
