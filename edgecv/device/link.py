"""The host's end of the pipe to an agent: requests out, replies in, each within a time."""

import contextlib
import json
import os
import select
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, Any, Self, cast

from edgecv.errors import DeviceError, DeviceUnreachable

AGENT = Path(__file__).with_name("agent.py")


def local() -> "Link":
    """A link to an agent on this machine, in a process of its own."""
    return Link((sys.executable, str(AGENT)), "host")


class Link:
    """A running agent; it ends when the `with` block does, or when this process dies."""

    def __init__(self, command: Sequence[str], device: str) -> None:
        self.device = device
        self._received = bytearray()
        self._log = tempfile.TemporaryFile()  # noqa: SIM115  # closed by close()
        try:
            self._agent = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._log,
                bufsize=0,
                start_new_session=True,  # Ctrl-C is ours to pass on; its children go with it
            )
        except OSError as error:
            self._log.close()
            raise DeviceUnreachable(f"{device}: {command[0]}: {error.strerror}") from error
        self._requests = cast(IO[bytes], self._agent.stdin)
        self._replies = cast(IO[bytes], self._agent.stdout)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

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

        `timeout` is in seconds of silence. Raises DeviceUnreachable when the agent is silent or
        gone, DeviceError when it reports a failure or answers nonsense.
        """
        request = json.dumps({"method": method, "params": params}) + "\n"
        try:
            self._requests.write(request.encode())
        except OSError:
            raise self._ended(method) from None
        reply: dict[str, Any] = {}
        while "result" not in reply:
            reply = self._reply(method, timeout)
            if "error" in reply:
                raise DeviceError(f"{self.device}: {method}: {reply['error']}")
            yield reply

    def close(self) -> None:
        """End the agent and whatever it started."""
        self._requests.close()
        with contextlib.suppress(ProcessLookupError):  # it ended by itself
            os.killpg(self._agent.pid, signal.SIGKILL)
        self._agent.wait()
        self._replies.close()
        self._log.close()

    def _reply(self, method: str, timeout: float) -> dict[str, Any]:
        line = self._line(method, timeout)
        try:
            reply = json.loads(line)
        except ValueError:
            reply = None
        if not isinstance(reply, dict) or not reply.keys() & {"progress", "error", "result"}:
            shown = line[:80].decode(errors="replace")
            raise DeviceError(f"{self.device}: no reply to '{method}' but {shown!r}")
        return reply

    def _line(self, method: str, timeout: float) -> bytes:
        """The next line from the agent, which may take its time but not fall silent."""
        deadline = time.monotonic() + timeout
        while b"\n" not in self._received:
            left = max(0.0, deadline - time.monotonic())
            if not select.select([self._replies], [], [], left)[0]:
                raise DeviceUnreachable(
                    f"{self.device}: silent for {timeout:g} s during '{method}'"
                )
            chunk = self._replies.read(65536)
            if not chunk:
                raise self._ended(method)
            self._received += chunk
        line, _, self._received = self._received.partition(b"\n")
        return bytes(line)

    def _ended(self, method: str) -> DeviceUnreachable:
        """What to say of an agent that is gone: the last thing it wrote to stderr."""
        self._log.seek(0)
        words = self._log.read().decode(errors="replace").strip().splitlines()
        reason = f": {words[-1]}" if words else ""
        return DeviceUnreachable(f"{self.device}: the agent ended during '{method}'{reason}")
