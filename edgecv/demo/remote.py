"""A demo on a board, watched from here: its files placed, started by ssh, seen through a tunnel."""

import base64
import contextlib
import dataclasses
import json
import secrets
import shlex
import socket
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, Self, cast

from edgecv.demo import bundle, snapshots
from edgecv.demo.options import DemoOptions
from edgecv.demo.start import NEEDED, OLDEST
from edgecv.device import board, checkup, facts, ssh, wheels
from edgecv.device.description import Device
from edgecv.device.link import Link
from edgecv.device.output import LineTooLong, Output
from edgecv.errors import DataError, DeviceError, DeviceUnreachable, printable
from edgecv.progress import QUIET, Progress

BEAT_SECONDS = 2.0
END_SECONDS = 8.0  # in which the board closes its camera
TUNNEL_SECONDS = 30.0  # for the first answer through it
ANSWERED = b"HTTP/1.1 200"
LOOPBACK = "127.0.0.1"
SOCKET = "/tmp/edgecv-demo-{}"  # noqa: S108  # for its user alone; homes can be too long for one
Line = dict[str, Any]


def place_demo(
    device: Device, options: DemoOptions, progress: Progress = QUIET
) -> tuple[str, DemoOptions]:
    """The archive's path on the board, and the options with the models' paths there.

    What is there already is not copied again. Raises DeviceError.
    """
    with board.connect(device) as agent, tempfile.TemporaryDirectory() as folder:
        _check_python(agent, device)
        archive = board.place(agent, device, bundle.build(Path(folder)), progress)
        models = tuple(
            dataclasses.replace(model, path=board.place(agent, device, Path(model.path), progress))
            for model in options.models
        )
    return archive, dataclasses.replace(options, models=models)


def install(device: Device, progress: Progress = QUIET) -> None:
    """Install what the demo needs there, in edgecv's own venv. Raises DeviceError."""
    with board.connect(device) as agent:
        _check_python(agent, device)
        command = _install_command(agent, device)
    checkup.install_there(device, command, progress)


class Session:
    """A demo that runs on a board for as long as the `with` block lasts, and not longer.

    `lines` are its news; `port` is that of its page, on this machine's loopback interface. Raises
    DeviceError, with the command to type, when something is missing there.
    """

    def __init__(self, device: Device, archive: str, options: DemoOptions, do: str) -> None:
        self.device = device
        self.port = _free_port(options.port) if do == "page" else 0
        there = SOCKET.format(secrets.token_hex(16))
        options = dataclasses.replace(options, socket=there if do == "page" else "")
        forward = ["-L", f"{LOOPBACK}:{self.port}:{there}"] if do == "page" else []
        # A connection of its own: when it ends, this demo does, and nothing else.
        own = ["-o", "ControlPath=none", "-o", "ClearAllForwardings=no", *forward]
        command = ssh.command(device, ssh.RUN, (archive, device.python), own)
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            bufsize=0,
            start_new_session=True,  # Ctrl-C is ours to pass on
        )
        self._orders = cast(IO[bytes], self._process.stdin)
        self._news = Output(
            cast(IO[bytes], self._process.stdout), cast(IO[bytes], self._process.stderr)
        )
        self._ended = threading.Event()
        self._order({"do": do, "options": dataclasses.asdict(options)})
        threading.Thread(target=self._beat, daemon=True).start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """End the demo there, and wait until its camera is free."""
        self._ended.set()
        with contextlib.suppress(OSError):
            self._orders.close()
        try:
            self._process.wait(END_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._news.close()

    def lines(self) -> Iterator[Line]:
        """The lines of the board's demo, until it ends by itself. Raises DeviceError."""
        try:
            for text in self._news.lines():
                line = parse_line(text)
                if line:
                    self._judge(line)
                    yield line
        except LineTooLong as error:
            raise DeviceError(f"{self.device.name}: the demo sends {error}") from None
        code = self._process.wait()
        if code:
            raise self._broken(code)

    def _order(self, order: Line) -> None:
        with contextlib.suppress(OSError):  # `lines` says why
            self._orders.write(json.dumps(order).encode() + b"\n")
            self._orders.flush()

    def _beat(self) -> None:
        while not self._ended.wait(BEAT_SECONDS):
            try:
                self._orders.write(b"\n")
                self._orders.flush()
            except (OSError, ValueError):
                return

    def _judge(self, line: Line) -> None:
        """Raise DeviceError when a line says that the demo cannot run there."""
        name = self.device.name
        if "ready" in line:
            self._check_tunnel()
        if "error" in line:
            raise DeviceError(f"{name}: {line['error']}")
        if "missing" in line:
            with board.connect(self.device) as agent:
                command = _install_command(agent, self.device)
            missing = line["missing"] if isinstance(line["missing"], list) else []
            lacks = ", ".join(str(package).partition(">")[0] for package in missing)
            at = shlex.join(["ssh", *ssh.config(self.device), self.device.host])
            how = "" if self.device.python else "; edgecv demo --install does it, or by hand"
            raise DeviceError(f"{name}: lacks {lacks}{how}: {at} {shlex.quote(command)}")

    def _check_tunnel(self) -> None:
        """Raise DeviceError when the page does not come through: it would stay empty."""
        try:
            with socket.create_connection((LOOPBACK, self.port), TUNNEL_SECONDS) as tunnel:
                tunnel.sendall(b"GET /state HTTP/1.0\r\n\r\n")
                answer = tunnel.recv(len(ANSWERED))
        except OSError:
            answer = b""
        if answer != ANSWERED:
            raise DeviceError(
                f"{self.device.name}: its ssh server forwards nothing, so no page comes through; in"
                " /etc/ssh/sshd_config there: AllowStreamLocalForwarding yes, AllowTcpForwarding"
                " yes; or without a page: --headless"
            )

    def _broken(self, code: int) -> DeviceError:
        said = self._news.last_words()
        last = (said.splitlines() or [f"exit code {code}"])[-1]
        return ssh.refusal(self.device, said, code) or DeviceUnreachable(
            f"{self.device.name}: the demo, or the way to it, ended: {last}"
        )


def parse_line(text: bytes) -> Line:
    """A line of the board's news; {} for any other, as of a login shell that likes to greet.

    What is shown of it is printable.
    """
    try:
        line = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    if not isinstance(line, dict):
        return {}
    if "said" in line:
        line["said"] = "\n".join(map(printable, str(line["said"]).splitlines()))
    return line


def write_snapshot(root: Path, line: Line) -> Path:
    """The file below `root` that a snapshot from a board was written to. Raises DataError."""
    try:
        sent = line["snapshot"]
        label, name = str(sent["label"]), str(sent["name"])
        jpeg = base64.b64decode(sent["jpeg"], validate=True)
    except (KeyError, TypeError, ValueError) as error:
        raise DataError("a snapshot from the board is damaged") from error
    return snapshots.write_snapshot(root, label, name, jpeg)


def _check_python(agent: Link, device: Device) -> None:
    """Raise DeviceError, before anything is copied or installed, where the demo cannot run."""
    python = agent.machine["python"]
    if wheels.version(python)[:2] < OLDEST:
        raise DeviceError(
            f"{device.name}: the demo needs Python {'.'.join(map(str, OLDEST))}, there is {python};"
            " name a newer one as `python` in the device file, or measure: edgecv profile"
        )


def _install_command(agent: Link, device: Device) -> str:
    """The shell command that installs a fitting runtime and the demo's packages on the board."""
    machine = facts.gather(agent, edgetpu=False)
    wheel = wheels.choose_wheel(
        machine.python, machine.glibc, machine.wheel_machine, device.runtime
    )
    if wheel is None:
        raise DeviceError(
            f"{device.name}: no wheel of a TFLite runtime fits Python {machine.python} there"
        )
    return wheels.install_command(
        wheel, device.python, [package for package in NEEDED.values() if package != "numpy"]
    )


def _free_port(wanted: int | None) -> int:
    """A port for the page on this machine: the one that is asked for, or any that is free."""
    with socket.socket() as free:
        free.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # one that was just in use
        try:
            free.bind((LOOPBACK, wanted or 0))
        except OSError as error:
            raise DeviceError(
                f"--port: {wanted} of this machine cannot be listened on: {error.strerror}"
            ) from error
        port: int = free.getsockname()[1]
        return port
