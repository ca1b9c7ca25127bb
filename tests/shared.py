"""What several test files need and is dear to make: made once in a test run, whoever asks first.

The workers of one run share a folder on disk; a lock keeps the second until the first is done.
"""

import fcntl
import os
import shutil
from collections.abc import Callable
from pathlib import Path

VARIABLE = "EDGECV_TESTS_SHARED"  # names the folder; set in conftest.py for all workers


def make_once(name: str, make: Callable[[Path], object]) -> Path:
    """The folder `name`, filled by `make` of the first who asks; a failed one is made anew."""
    root = Path(os.environ[VARIABLE])
    folder, unfinished = root / name, root / f"{name}.unfinished"
    with (root / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not folder.exists():
            shutil.rmtree(unfinished, ignore_errors=True)
            unfinished.mkdir()
            make(unfinished)
            unfinished.rename(folder)
    return folder
