#!/usr/bin/env python3
"""Serves edgecv on the machine this file lies on: a board, or the host itself.

One file that needs Python 3.7 and, for what it hands to `worker.py` beside it, numpy and a TFLite
runtime. A request is one line of JSON on stdin, `{"method": "hello", "params": {}}`; the answer is
one line on stdout, `{"result": ...}` or `{"error": "..."}`, and before it any number of
`{"progress": [done, total]}`. Only the methods in the two tables below can be called. When stdin
ends, the agent and what it started end too.
"""

from __future__ import annotations

import binascii
import json
import os
import select
import signal
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:  # the module alone takes 0.6 MB of memory; platform and shutil take as much
    from typing import Any, BinaryIO, Callable, Dict, Optional, Set, Tuple

    Reply = Dict[str, Any]

CACHE = os.path.join(os.path.expanduser("~"), ".cache", "edgecv", "board")  # all that it leaves
TEMPORARY: Set[str] = set()  # files there that go with this process


def hello() -> Reply:
    """The machine's processor, cores and Python."""
    system = os.uname()
    return {
        "python": sys.version.split()[0],
        "executable": sys.executable,
        "system": "%s %s" % (system.sysname, system.release),
        "machine": system.machine,
        "cpu": cpu_model(),
        "cores": core_count(),
        "emulated": "QEMU_CPU" in os.environ,
    }


def locate(sha256: str) -> Reply:
    """Where the file with that hash is or will be, and how many of its bytes are here already."""
    path, partial = cache_path(sha256), cache_path(sha256) + ".partial"
    if os.path.exists(path) and digest(path) != sha256:
        os.remove(path)  # a bad card, or power lost at the wrong moment
    whole = os.path.exists(path)
    here = path if whole else partial
    size = os.path.getsize(here) if os.path.exists(here) else 0
    return {"path": path, "whole": whole, "bytes": size}


def store(sha256: str, offset: int, data: str, last: bool, keep: bool = True) -> Reply:
    """Add `data`, base64, to the file with that hash; `locate` checks it when it is whole.

    Without `keep`, the file goes when this process does.
    """
    path, partial = cache_path(sha256), cache_path(sha256) + ".partial"
    if not keep:
        TEMPORARY.update((path, partial))
    if offset and not os.path.exists(partial):  # another agent, with the same file, was faster
        return locate(sha256)
    os.makedirs(CACHE, mode=0o700, exist_ok=True)
    try:
        with open(partial, "r+b" if offset else "wb") as file:
            file.seek(offset)
            file.write(binascii.a2b_base64(data))
            file.truncate()
            file.flush()
            os.fsync(file.fileno())
    except OSError:
        if os.path.exists(partial):
            os.remove(partial)  # a full disk is not to stay full
        raise
    if last:
        os.replace(partial, path)
    return locate(sha256)


def clean() -> Reply:
    """Remove everything that edgecv left on this machine: agents, models, its own venv."""
    import shutil

    shutil.rmtree(CACHE, ignore_errors=True)
    return {"path": CACHE}


METHODS: Dict[str, Callable[..., Reply]] = {
    "hello": hello,
    "stored": locate,
    "store": store,
    "clean": clean,
}
WORK = {  # done in a process of its own, and whether that process serves the next request too
    "probe": False,
    "attempt": False,
    "first": False,
    "benchmark": False,  # so that its peak memory is that of one model
    "compare": False,
    "run": True,  # so that the model is loaded once for many batches
}


def cache_path(sha256: str) -> str:
    """The path of the file with that hash."""
    if len(sha256) != 64 or set(sha256) - set("0123456789abcdef"):
        raise ValueError("not a SHA-256: %r" % sha256)
    return os.path.join(CACHE, sha256)


def digest(path: str) -> str:
    """Hex SHA-256 of a file."""
    import hashlib  # takes 3 MB

    sha256 = hashlib.sha256()
    with open(path, "rb") as file:
        for block in iter(lambda: file.read(1 << 20), b""):
            sha256.update(block)
    return sha256.hexdigest()


def cpu_model() -> str:
    """The board's name where there is a device tree, otherwise the processor's."""
    board = read_text("/proc/device-tree/model")
    if board:
        return board.strip("\0")
    for line in (read_text("/proc/cpuinfo") or "").splitlines():
        name, _, value = line.partition(":")
        if name.strip() in ("model name", "Model", "Hardware"):
            return value.strip()
    return os.uname().machine


def core_count() -> int:
    """Cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def read_text(path: str) -> Optional[str]:
    """The text of a file of the system, or None where there is none."""
    try:
        with open(path) as file:
            return file.read().strip()
    except OSError:
        return None


class Worker:
    """The process that loads runtimes and models; the agent never does.

    It is forked, not started: the two share the interpreter's memory, and it is there at once.
    """

    def __init__(self) -> None:
        theirs, requests = os.pipe()
        self.answers, ours = os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            become_worker(theirs, ours)
        os.close(theirs)
        os.close(ours)
        os.set_blocking(requests, False)
        self.requests = requests

    def relay(self, line: bytes, replies: BinaryIO) -> bool:
        """Pass a request on and its replies back; False when the process ended over it."""
        left, received = memoryview(line), b""
        while True:
            unsent = [self.requests] if left else []
            ready, writable, _ = select.select([self.answers, sys.stdin], unsent, [])
            if sys.stdin in ready:  # the host hung up, or does not keep to the protocol
                self.end()
                sys.exit()
            if writable:
                try:
                    left = left[os.write(self.requests, left) :]
                except BrokenPipeError:
                    return False
            if self.answers not in ready:
                continue
            chunk = os.read(self.answers, 1 << 16)
            if not chunk:
                return False
            *lines, received = (received + chunk).split(b"\n")
            for reply in lines:
                replies.write(reply + b"\n")
            replies.flush()
            if lines and not lines[-1].startswith(b'{"progress"'):
                return True

    def end(self) -> int:
        """Its exit status; at once, without cleaning up, where it could crash."""
        os.kill(self.pid, signal.SIGKILL)
        return self.wait()

    def wait(self) -> int:
        """Its exit status, when it has ended."""
        os.close(self.requests)
        os.close(self.answers)
        return os.waitpid(self.pid, 0)[1]


def become_worker(requests: int, answers: int) -> None:
    """Serve as the worker in a process that was just forked; never returns."""
    try:
        os.dup2(requests, 0)
        os.dup2(answers, 1)
        os.closerange(3, max(requests, answers) + 8)
        sys.stdin = os.fdopen(0)  # the agent's may have read ahead

        import worker  # type: ignore[import-not-found]  # the file beside this one

        worker.main()
    except ImportError as error:  # a Python without ctypes, or the like
        os.write(1, json.dumps({"error": "ImportError: %s" % error}).encode() + b"\n")
    except BaseException:
        sys.excepthook(*sys.exc_info())
    finally:
        os._exit(1)


def main() -> None:
    """Answer requests until stdin ends."""
    replies = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # only replies may go to stdout
    replies.write(b"\n")  # ends whatever the login shell has printed
    replies.flush()
    try:
        answer_all(replies)
    finally:
        for path in filter(os.path.exists, TEMPORARY):
            os.remove(path)


def answer_all(replies: BinaryIO) -> None:
    """Answer one request after the other."""
    worker: Optional[Worker] = None
    for line in sys.stdin.buffer:
        method, params = parse_request(line)
        if method in WORK:
            worker = serve(line, WORK[method], worker, replies)
        else:
            send(replies, answer(method, params))
    if worker:
        worker.end()


def parse_request(line: bytes) -> Tuple[str, Reply]:
    """Method and parameters of a request."""
    try:
        request = json.loads(line.decode())
        return str(request["method"]), dict(request["params"])
    except (ValueError, KeyError, TypeError):
        return repr(line[:80]), {}


def answer(method: str, params: Reply) -> Reply:
    """The reply to a request for one of METHODS; whatever goes wrong, the host must hear of it."""
    try:
        if method not in METHODS:
            raise LookupError("no method named %r" % method)
        return {"result": METHODS[method](**params)}
    except Exception as error:
        return {"error": "%s: %s" % (type(error).__name__, " ".join(str(error).split()))}


def serve(line: bytes, keep: bool, worker: Optional[Worker], replies: BinaryIO) -> Optional[Worker]:
    """Answer a request by a worker: the one that is there when `keep`, otherwise a new one."""
    if worker and not keep:
        worker.end()
        worker = None
    worker = worker or Worker()
    if not worker.relay(line, replies):
        send(replies, {"error": "the runtime ended with %s" % exit_words(worker.wait())})
        return None
    if keep:
        return worker
    worker.end()
    return None


def exit_words(status: int) -> str:
    """The meaning of a status of os.wait: `signal 11 (SIGSEGV)` or `exit code 1`."""
    if os.WIFSIGNALED(status):
        number = os.WTERMSIG(status)
        hint = ": was there memory left?" if number == signal.SIGKILL else ""
        return "signal %d (%s)%s" % (number, signal.Signals(number).name, hint)
    return "exit code %d" % os.WEXITSTATUS(status)


def send(replies: BinaryIO, reply: Reply) -> None:
    """Write one line, now."""
    replies.write(json.dumps(reply).encode() + b"\n")
    replies.flush()


if __name__ == "__main__":
    main()
