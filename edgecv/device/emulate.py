"""Starts and stops an emulated Raspberry Pi: a real ssh server in real aarch64 programs, by QEMU.

It shows that things work and that results are the same; how long they take there means nothing.
No file, port or handler outside the cache folder and the loopback interface is touched, and no
right beyond user namespaces is needed.
"""

import contextlib
import fcntl
import os
import shutil
import signal
import socket
import time
from pathlib import Path
from typing import IO, NamedTuple

from edgecv.device.emulated_board import EmulatedBoard, cache_folder, data_folder, find, lay_out
from edgecv.device.emulated_root import build, lock_file
from edgecv.errors import DeviceError
from edgecv.files import write_text
from edgecv.progress import QUIET, Progress
from edgecv.recipe import RUNTIMES

START_SECONDS = 30.0  # in which the ssh server must answer; it takes 1
POLL_SECONDS = 0.05
CONFIG = "ssh_config"  # in the cache folder, for all boards that run
LAST = "emulated_pi"  # also a name of the board that was started last
PYTHONS = {name: f"/opt/{name}/bin/python" for name in RUNTIMES}


class Running(NamedTuple):
    """A running board: `ssh -F <config> <host>` reaches it."""

    host: str  # what `config` calls it
    port: int  # on 127.0.0.1
    config: Path
    pythons: dict[str, str]  # the Python that has each runtime; /usr/bin/python3 has none


def start(board: str = "pi4", progress: Progress = QUIET, rebuild: bool = False) -> Running:
    """Build what is not in the cache, start the board's ssh server; a running one is handed back.

    The board's user is `pi`; its home, /tmp and /mnt/small (1 MiB) are empty at every start, the
    rest of its card is read-only. Raises DeviceError when it cannot be built or does not start.
    """
    chosen = find(board)
    with lock_file(cache_folder() / "boards"):
        if rebuild:
            _stop_all()
        root = build(progress, rebuild)
        _clear_away(root)
        folder = _folder(board)
        folder.mkdir(parents=True, exist_ok=True)
        with (folder / "pid").open("a+") as lock:
            if not _taken(lock):
                _start(chosen, root, lock)
        _list_running(board)
        return _running(board)


def stop(board: str = "pi4") -> bool:
    """End the board and everything that runs on it; whether it was running."""
    name = find(board).name
    with lock_file(cache_folder() / "boards"):
        stopped = _stop(name)
        _list_running()
        return stopped


def running_boards() -> list[str]:
    """The names of the boards that run now."""
    with lock_file(cache_folder() / "boards"):
        return _names()


def last_started() -> str:
    """The board that `emulated_pi` names: the last one started that still runs, else a Pi 4."""
    config = cache_folder() / CONFIG
    names = running_boards()
    words = config.read_text(encoding="utf-8").split() if config.exists() else []
    return words[1] if words[1:] and words[1] in names else "pi4"


def _stop(board: str) -> bool:
    if board not in _names():
        return False
    with (_folder(board) / "pid").open() as lock:
        pid = int(lock.read())
        os.kill(pid, signal.SIGKILL)  # the kernel then ends all in its PID namespace
        with contextlib.suppress(ChildProcessError):
            os.waitpid(pid, 0)
        fcntl.flock(lock, fcntl.LOCK_EX)  # until the last of them is gone
    return True


def _names() -> list[str]:
    """The boards that run: each keeps its file locked."""
    names = []
    for path in sorted(cache_folder().glob("run/*/pid")):
        with path.open() as lock:
            if _taken(lock):
                names.append(path.parent.name)
    return names


def _stop_all() -> None:
    for board in _names():
        _stop(board)


def _clear_away(root: Path) -> None:
    """Remove what earlier versions of edgecv built, and stop what runs of it."""
    outdated = [path for path in cache_folder().glob("root-*") if path != root]
    if outdated:
        _stop_all()
    for folder in outdated:
        shutil.rmtree(folder)


def _folder(board: str) -> Path:
    return cache_folder() / "run" / board


def _taken(lock: IO[str]) -> bool:
    """Whether a running board holds the lock; otherwise it is ours until the file is closed."""
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    return False


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
        return port


def _write_config(board: EmulatedBoard, port: int) -> None:
    """The ssh client's configuration; the board's key is known, and no other is accepted."""
    cache, folder = cache_folder(), _folder(board.name)
    alias = f"edgecv-{board.name}"
    host_key = " ".join((cache / "keys" / "host.pub").read_text().split()[:2])
    write_text(folder / "known_hosts", f"{alias} {host_key}\n")
    settings = {
        "HostName": "127.0.0.1",
        "Port": port,
        "User": "pi",
        "IdentityFile": f'"{cache / "keys" / "user"}"',
        "IdentitiesOnly": "yes",
        "HostKeyAlias": alias,
        "UserKnownHostsFile": f'"{folder / "known_hosts"}"',
        "GlobalKnownHostsFile": "none",
        "StrictHostKeyChecking": "yes",
    }
    lines = [
        f"Host {board.name} {LAST}",
        *(f"    {key} {value}" for key, value in settings.items()),
    ]
    write_text(folder / "ssh_config", "\n".join(lines) + "\n")


def _list_running(first: str = "") -> None:
    """The ssh configuration of all boards that run; of those that fit, ssh takes the first."""
    names = sorted(_names(), key=lambda name: name != first)
    if names:
        blocks = [(_folder(name) / "ssh_config").read_text() for name in names]
        write_text(cache_folder() / CONFIG, "\n".join(blocks))


def _start(board: EmulatedBoard, root: Path, lock: IO[str]) -> None:
    """Start the server, and leave its process id in the file that it keeps locked."""
    port = _free_port()
    _write_config(board, port)
    lay_out(board, _folder(board.name) / "files")
    pid = _spawn(board, root, port, lock)
    lock.truncate(0)
    lock.write(str(pid))
    lock.flush()
    _wait_until_up(board.name, pid, port)


def _spawn(board: EmulatedBoard, root: Path, port: int, lock: IO[str]) -> int:
    """Start the server in namespaces of its own; it keeps the lock as long as it lives."""
    folder = _folder(board.name)
    namespaces = ("--user", "--map-root-user", "--mount", "--pid", "--fork", "--kill-child")
    script = (data_folder() / "start.sh", root, folder / "files", board.cpu, port)
    command = ["unshare", *namespaces, "sh", *map(str, script)]
    log = os.open(folder / "log", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    nothing = os.open(os.devnull, os.O_RDWR)
    try:
        os.set_inheritable(lock.fileno(), True)
        files = [
            (os.POSIX_SPAWN_DUP2, from_, to) for from_, to in ((nothing, 0), (log, 1), (log, 2))
        ]
        return os.posix_spawnp("unshare", command, os.environ, file_actions=files, setsid=True)
    finally:
        os.set_inheritable(lock.fileno(), False)
        os.close(log)
        os.close(nothing)


def _wait_until_up(board: str, pid: int, port: int) -> None:
    """Return when the server greets; raise DeviceError, with its last words, when it does not."""
    until = time.monotonic() + START_SECONDS
    while time.monotonic() < until:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 5) as peer:
            if peer.recv(4) == b"SSH-":
                return
        if os.waitpid(pid, os.WNOHANG)[0]:
            break
        time.sleep(POLL_SECONDS)
    else:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
    words = (_folder(board) / "log").read_text(errors="replace").split("\n")
    reason = next((line for line in reversed(words) if line.strip()), "it said nothing")
    raise DeviceError(
        f"emulated {board}: did not start: {reason}; it needs user namespaces, or root"
    )


def _running(board: str) -> Running:
    """A running board, from the files its start left."""
    own = (_folder(board) / "ssh_config").read_text()
    port = int(own.partition("Port ")[2].split()[0])
    return Running(board, port, cache_folder() / CONFIG, PYTHONS)
