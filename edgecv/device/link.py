"""The host's end of the pipe to an agent: requests out, replies in, each within a time."""

import contextlib
import json
import os
import re
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import IO, Any, Self, cast

from edgecv.device import replies
from edgecv.device.output import LineTooLong, Output
from edgecv.errors import DeviceError, DeviceUnreachable

GREETING_LINES = 1000  # of a login shell, before the first reply
MOST_ERROR = 1000  # characters
CHATTER = "INFO: "  # TFLite's, which explains nothing
FOR_THE_DOCTOR = re.compile(
    r"LookupError|ImportError|ModuleNotFoundError|No space left on device|cannot open shared object"
)
AGENT = Path(__file__).with_name("agent.py")
# What to say of an agent that ended: by the method it was at, its log and its exit code.
Diagnose = Callable[[str, str, int], DeviceError | None]


def local(python: str = sys.executable, device: str = "host") -> "Link":
    """A link to an agent on this machine, in a process of its own."""
    return Link((python, str(AGENT)), device).greet()


class Link:
    """A running agent; it ends when the `with` block does, or when this process dies.

    Until its first reply, what is no reply is passed over: login shells like to greet.
    """

    def __init__(
        self, command: Sequence[str], device: str, diagnose: Diagnose | None = None
    ) -> None:
        self.device = device
        self.machine: dict[str, Any] = {}
        self._diagnose = diagnose
        self._greeted = False
        try:
            self._agent = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                bufsize=0,
                start_new_session=True,  # Ctrl-C is ours to pass on; its children go with it
            )
        except OSError as error:
            raise DeviceUnreachable(f"{device}: {command[0]}: {error.strerror}") from error
        self._requests = cast(IO[bytes], self._agent.stdin)
        self._output = Output(
            cast(IO[bytes], self._agent.stdout), cast(IO[bytes], self._agent.stderr)
        )
        os.set_blocking(self._requests.fileno(), False)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def greet(self, timeout: float = 30.0) -> Self:
        """The link itself, after `hello`: what the machine said is in `machine`. See `stream`."""
        try:
            self.machine = self.call("hello", timeout=timeout)
        except BaseException:
            self.close()
            raise
        return self

    def call(
        self, method: str, params: dict[str, Any] | None = None, timeout: float = 30.0
    ) -> dict[str, Any]:
        """The agent's result; see `stream` for the errors."""
        *_, last = self.stream(method, params or {}, timeout)
        result: dict[str, Any] = last["result"]
        return result

    def stream(
        self, method: str, params: dict[str, Any], timeout: float
    ) -> Iterator[dict[str, Any]]:
        """The agent's replies: any number of `progress`, then one `result`.

        `timeout` is in seconds without a progress that is ahead of the one before. Raises
        DeviceUnreachable when the agent is silent or gone, DeviceError when it reports a failure or
        answers nonsense.
        """
        self._send(json.dumps({"method": method, "params": params}) + "\n", method, timeout)
        done, deadline = -1, time.monotonic() + timeout
        while True:
            reply = self._reply(method, timeout, deadline)
            if "error" in reply:
                raise DeviceError(self._failure(method, str(reply["error"])))
            try:
                if "result" in reply:
                    yield {"result": replies.read_result(method, params, reply["result"])}
                    return
                progress = replies.read_progress(reply["progress"])
            except ValueError as error:
                raise DeviceError(f"{self.device}: answered nonsense: {error}") from error
            if progress > done:
                done, deadline = progress, time.monotonic() + timeout
                yield reply
            elif time.monotonic() > deadline:
                raise self._silent(method, timeout)

    def close(self) -> None:
        """End the agent and whatever it started."""
        self._requests.close()
        with contextlib.suppress(ProcessLookupError):  # it ended by itself
            os.killpg(self._agent.pid, signal.SIGKILL)
        self._agent.wait()
        self._output.close()

    def _send(self, request: str, method: str, timeout: float) -> None:
        """Write a request; a hung agent does not read what no longer fits into the pipe."""
        left = memoryview(request.encode())
        while left:
            if not select.select([], [self._requests], [], timeout)[1]:
                raise self._silent(method, timeout)
            try:
                left = left[os.write(self._requests.fileno(), left) :]
            except OSError:
                raise self._ended(method) from None

    def _reply(self, method: str, timeout: float, deadline: float) -> dict[str, Any]:
        """The next reply, which has to come before the deadline."""
        passed_over = ""
        for _ in range(1 if self._greeted else GREETING_LINES):
            line = self._line(method, timeout, deadline, passed_over)
            reply = _parsed(line)
            if reply:
                self._greeted = True
                return reply
            passed_over = line[:80].decode(errors="replace").strip() or passed_over
        raise DeviceError(f"{self.device}: no reply to '{method}' but {passed_over!r}")

    def _line(self, method: str, timeout: float, deadline: float, passed_over: str) -> bytes:
        try:
            line = self._output.line(deadline)
        except TimeoutError:
            raise self._silent(method, timeout, passed_over) from None
        except LineTooLong as error:
            raise DeviceError(f"{self.device}: answered '{method}' with {error}") from None
        if not line.endswith(b"\n"):
            raise self._ended(method)
        return line

    def _failure(self, method: str, said: str) -> str:
        """The agent's error as a DeviceError, with the command that shows what the board lacks."""
        lacks = method != "attempt" and FOR_THE_DOCTOR.search(said)
        hint = f"; what to do: edgecv devices check {self.device}" if lacks else ""
        return f"{self.device}: {method}: {said[:MOST_ERROR]}{hint}"

    def _silent(self, method: str, timeout: float, passed_over: str = "") -> DeviceUnreachable:
        after = f", after {passed_over!r}" if passed_over else ""
        return DeviceUnreachable(
            f"{self.device}: silent for {timeout:g} s during '{method}'{after}"
        )

    def _ended(self, method: str) -> DeviceError:
        """The message for an agent that is gone: the diagnosis, or its last line on stderr."""
        with contextlib.suppress(subprocess.TimeoutExpired):  # it closed its output and lives on
            self._agent.wait(timeout=5)
        lines = self._output.last_words().splitlines()
        log = "\n".join(line for line in lines if not line.startswith(CHATTER))
        diagnosis = self._diagnose and self._diagnose(method, log, self._agent.returncode or 0)
        reason = f": {log.splitlines()[-1]}" if log else ""
        return diagnosis or DeviceUnreachable(
            f"{self.device}: the agent ended during '{method}'{reason}"
        )


def _parsed(line: bytes) -> dict[str, Any] | None:
    """A line as a reply; None for another line."""
    try:
        reply = json.loads(line)
    except (ValueError, RecursionError):
        return None
    valid = isinstance(reply, dict) and reply.keys() & {"progress", "error", "result"}
    return reply if valid else None
