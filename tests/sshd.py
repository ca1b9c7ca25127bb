"""A board for tests: a real sshd on loopback, with keys, a home and a client configuration."""

import contextlib
import getpass
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.waiting import wait_until

SSHD = shutil.which("sshd", path=f"{os.environ['PATH']}:/usr/sbin:/sbin")


@contextlib.contextmanager
def boards(folder: Path, monkeypatch) -> Iterator[Callable[..., "Board"]]:
    """A function that starts boards; they, and the connections to them, end with the block."""
    if not SSHD or not shutil.which("ssh"):
        pytest.skip("needs openssh-server and openssh-client")
    if os.getuid() == 0:
        Path("/run/sshd").mkdir(exist_ok=True)  # where it separates privileges
    sockets = Path(tempfile.mkdtemp(dir="/tmp"))  # short: a socket's path has 104 characters
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(sockets))
    started = []

    def start(**environment: str) -> Board:
        started.append(Board(folder, **environment).start())
        return started[-1]

    yield start
    for each in started:
        for socket_file in sockets.rglob("*"):
            control = f"ControlPath={socket_file}"
            command = ["ssh", "-F", each.config, "-o", control, "-O", "exit", "board"]
            subprocess.run(command, stderr=subprocess.DEVNULL)
        each.remove()
    shutil.rmtree(sockets)


class Board:
    """An sshd with its own host key; `environment` is what its sessions find.

    `greeting` is what the login shell runs before the command it was asked for.
    """

    def __init__(self, folder: Path, greeting: str = "", **environment: str) -> None:
        self.greeting = greeting
        self.folder = folder
        self.home = folder / "home"
        self.home.mkdir(exist_ok=True)
        self.reserved = reserve_port()
        self.port = self.reserved.getsockname()[1]
        self.environment = {"HOME": str(self.home), **environment}
        for name in ("host_key", "user_key"):
            if not (folder / name).exists():
                make_key(folder / name)
        (folder / "authorized_keys").write_text((folder / "user_key.pub").read_text())
        self.trust()
        self.config = folder / "ssh_config"
        self.config.write_text(
            f"Host board\n  HostName 127.0.0.1\n  Port {self.port}\n  User {getpass.getuser()}\n"
            f"  IdentityFile {folder}/user_key\n  IdentitiesOnly yes\n"
            f"  UserKnownHostsFile {folder}/known_hosts\n  GlobalKnownHostsFile none\n"
        )

    def trust(self) -> None:
        """Know the present host key."""
        key = (self.folder / "host_key.pub").read_text()
        (self.folder / "known_hosts").write_text(f"[127.0.0.1]:{self.port} {key}")

    def start(self) -> "Board":
        """Listen, as a process group of its own."""
        settings = {
            "ListenAddress": f"127.0.0.1:{self.port}",
            "HostKey": self.folder / "host_key",
            "AuthorizedKeysFile": self.folder / "authorized_keys",
            "StrictModes": "no",  # /tmp is anybody's
            "UsePAM": "no",
            "PasswordAuthentication": "no",
            "PidFile": self.folder / "pid",
            "SetEnv": " ".join(f"{name}={value}" for name, value in self.environment.items()),
        }
        if self.greeting:
            settings["ForceCommand"] = f'{self.greeting}; eval "$SSH_ORIGINAL_COMMAND"'
        lines = "".join(f"{name} {value}\n" for name, value in settings.items())
        (self.folder / "sshd_config").write_text(lines)
        log = self.folder / "log"
        log.write_text("")
        self.process = subprocess.Popen([SSHD, "-D", "-E", log, "-f", self.folder / "sshd_config"])
        wait_until(lambda: "listening" in log.read_text() or self.process.poll() is not None)
        assert self.process.poll() is None, log.read_text()
        return self

    def stop(self) -> None:
        """End the listener and every session: the board loses its power."""
        for pid in [*descendants(self.process.pid), self.process.pid]:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.process.wait()

    def remove(self) -> None:
        """Stop for good: its port is anybody's again."""
        self.stop()
        self.reserved.close()

    def sessions(self) -> list[int]:
        """The processes that run for somebody who logged in: agents and workers."""
        return [pid for pid in descendants(self.process.pid) if "python" in command_line(pid)]

    def device(self, **keys: str | float | list[int]) -> Path:
        """A device file for this board."""
        keys = {"host": "board", "ssh_config": str(self.config), "python": sys.executable, **keys}
        path = self.folder / "bench.toml"
        path.write_text("".join(f"{key} = {json.dumps(value)}\n" for key, value in keys.items()))
        return path


def make_key(path: Path) -> None:
    """A new ed25519 key pair."""
    command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(path)]
    path.unlink(missing_ok=True)
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL)


def reserve_port() -> socket.socket:
    """A socket that keeps a port of its own, and does not listen: who connects is refused.

    A server that sets SO_REUSEADDR, as sshd does, can listen there all the same.
    """
    reserved = socket.socket()
    reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    reserved.bind(("127.0.0.1", 0))
    return reserved


def descendants(pid: int) -> list[int]:
    """The processes below a process, the closest first."""
    try:
        tasks = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except OSError:
        return []
    children = [int(each) for each in tasks]
    return children + [below for child in children for below in descendants(child)]


def command_line(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text()
    except OSError:
        return ""


def runs(pid: int) -> bool:
    """Whether a process has not ended, whoever has to bury it."""
    try:
        return "State:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return False
