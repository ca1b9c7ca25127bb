"""Waiting for another process: for as long as a busy machine may need, since time is no result."""

import time
from collections.abc import Callable

SECONDS = 120.0  # for what takes one or two, where nothing else runs


def wait_until(true: Callable[[], object]) -> None:
    """Ask until the answer is yes."""
    until = time.monotonic() + SECONDS
    while not true():
        assert time.monotonic() < until
        time.sleep(0.02)
