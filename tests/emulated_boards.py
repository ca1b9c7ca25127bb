"""The emulated board that tests of several files use: started once, stopped at the end."""

import os
from pathlib import Path

from edgecv.device import emulate
from tests import shared

STARTED = "started-boards"


def start(name: str) -> emulate.Running:
    """The board, running; the tests stop it at their end, unless it ran before they began."""
    if name not in emulate.running_boards():
        with (Path(os.environ[shared.VARIABLE]) / STARTED).open("a") as note:
            note.write(f"{name}\n")
    return emulate.start(name)


def stop_all() -> None:
    """Stop what `start` has started, once no worker is left."""
    note = Path(os.environ[shared.VARIABLE]) / STARTED
    for name in set(note.read_text().split()) if note.exists() else ():
        emulate.stop(name)
