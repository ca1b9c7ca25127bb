"""Keeping what C++ libraries log to standard error away from the user's screen."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def silence_tensorflow() -> Iterator[None]:
    """Nothing written to file descriptor 2 in this block is shown; exceptions still carry theirs.

    TFLite and the converter log from C++ past Python's sys.stderr, and have no switch for it.
    """
    sys.stderr.flush()
    try:
        kept = os.dup(2)
    except OSError:  # standard error is closed: there is nothing to silence
        yield
        return
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        yield
    finally:
        sys.stderr.flush()
        os.dup2(kept, 2)
        os.close(nowhere)
        os.close(kept)
