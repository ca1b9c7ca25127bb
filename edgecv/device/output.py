"""What a program of a board writes, read within limits: lines of stdout, the end of stderr.

Both are read together, so that neither can fill up and stop the program, nor this machine's memory.
"""

import os
import select
import time
from collections.abc import Iterator
from typing import IO

MOST_LINE = 64 << 20  # bytes; the scores of 16 images take some hundred thousand
MOST_WORDS = 1 << 16  # bytes of stderr, of which the last lines say why a program ended
CHUNK = 1 << 16


class LineTooLong(Exception):
    """A line has no end within MOST_LINE."""


class Output:
    """The two pipes of a running program."""

    def __init__(self, stdout: IO[bytes], stderr: IO[bytes]) -> None:
        self._stdout, self._stderr = stdout, stderr
        self._open = [stdout, stderr]
        self._received = bytearray()
        self._searched = 0  # bytes of `_received` that hold no line's end
        self._words = bytearray()

    def line(self, deadline: float | None = None) -> bytes:
        """The next line of stdout with its end; what is left without one, and b"" at the end.

        Raises TimeoutError when it has not come by `deadline`, of time.monotonic(), LineTooLong.
        """
        while (end := self._received.find(b"\n", self._searched)) < 0:
            self._searched = len(self._received)
            if self._searched > MOST_LINE:
                raise LineTooLong(f"a line without an end, {self._searched >> 20} MB so far")
            if self._stdout not in self._open:
                break
            self._wait(None if deadline is None else max(0.0, deadline - time.monotonic()))
        length = end + 1 or len(self._received)
        line = bytes(self._received[:length])
        del self._received[:length]
        self._searched = 0
        return line

    def lines(self, deadline: float | None = None) -> Iterator[bytes]:
        """All lines until the end of stdout, which has to come before the deadline; see `line`."""
        while line := self.line(deadline):
            yield line
            if deadline is not None and time.monotonic() > deadline:
                raise TimeoutError

    def last_words(self) -> str:
        """The end of what stderr has had until now."""
        while self._stderr in select.select(self._open, [], [], 0)[0]:
            self._read(self._stderr)
        return self._words.decode(errors="replace").strip()

    def close(self) -> None:
        """Close both pipes."""
        self._stdout.close()
        self._stderr.close()

    def _wait(self, seconds: float | None) -> None:
        ready = select.select(self._open, [], [], seconds)[0]
        if not ready:
            raise TimeoutError
        for pipe in ready:
            self._read(pipe)

    def _read(self, pipe: IO[bytes]) -> None:
        chunk = os.read(pipe.fileno(), CHUNK)
        if not chunk:
            self._open.remove(pipe)
        elif pipe is self._stdout:
            self._received += chunk
        else:
            self._words += chunk
            del self._words[:-MOST_WORDS]
