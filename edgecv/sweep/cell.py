"""One cell of a sweep: whether it is done, and building it in a worker, also if it fails."""

import functools
import json
import multiprocessing
import os
import signal
import threading
import time
import traceback
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from edgecv.errors import EdgecvError, RecipeError, RunFolderError
from edgecv.files import write_text
from edgecv.pipeline.cache import StageCache
from edgecv.pipeline.run_folder import RECIPE, RunFolder
from edgecv.recipe import Recipe, load
from edgecv.sweep.grid import Cell
from edgecv.tradeoff.runs import FAILED

TRACE = "failed.txt"
WATCH_SECONDS = 0.2


class Task(NamedTuple):
    """The task of building a cell; its worker may be on another machine with the same folders."""

    cell: Cell
    out: Path
    cache: Path
    threads: int
    here: Path  # what the paths of its recipe are seen from


class Outcome(NamedTuple):
    """The outcome of a cell; without a reason, it is built."""

    name: str
    reason: str = ""


def is_done(cell: Cell, out: Path, wanted: Recipe) -> bool:
    """Whether the cell's folder holds a finished run of that very recipe, hashes included."""
    run = RunFolder(out / cell.name)
    try:
        return run.finished and load(run.path / RECIPE) == wanted
    except RecipeError:  # building it says what is wrong
        return False


def build(task: Task) -> Outcome:
    """Build a cell without measuring it; a failure is kept in its folder as its reason."""
    folder, cache = task.out / task.cell.name, StageCache(task.cache)
    _die_with(os.getppid())
    forget(folder)
    try:
        os.chdir(task.here)
        _use_threads(task.threads)
        from edgecv.pipeline import build as pipeline

        pipeline.build(task.cell.recipe, folder, cache=cache, measure=False)
    except EdgecvError as error:
        return record_failure(folder, str(error))
    except Exception as error:  # a bug in one cell must not cost the others
        return record_failure(
            folder, f"{type(error).__name__}: {error}"[:500], traceback.format_exc()
        )
    finally:
        _clear_session()
    return Outcome(task.cell.name)


def record_failure(folder: Path, reason: str, trace: str = "") -> Outcome:
    """Keep the reason where the report looks for it, unless somebody's run is there."""
    reason = " ".join(reason.split())
    if not RunFolder(folder).finished:
        with suppress(RunFolderError):  # a full disk may be the very reason
            write_text(folder / FAILED, json.dumps({"reason": reason}))
            if trace:
                write_text(folder / TRACE, trace)
    return Outcome(folder.name, reason)


@functools.cache
def _die_with(parent: int) -> None:
    """End this process when its parent is gone: killed, it could not tell its workers."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(WATCH_SECONDS)
        os.kill(os.getpid(), signal.SIGKILL)

    if multiprocessing.parent_process() is not None:
        threading.Thread(target=watch, daemon=True).start()


def forget(folder: Path) -> None:
    """Remove what an earlier failure left, and the folder if that was all."""
    for name in (FAILED, TRACE):
        (folder / name).unlink(missing_ok=True)
    with suppress(OSError):
        folder.rmdir()


def _use_threads(threads: int) -> None:
    """Import TensorFlow, which looks at these variables once, as it starts."""
    for name in ("OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS"):
        os.environ[name] = str(threads)
    from edgecv.models.tensorflow import import_tensorflow

    import_tensorflow()


def _clear_session() -> None:
    """Let go of the cell's graphs: the next one may be built by the same process."""
    import tf_keras

    tf_keras.backend.clear_session()
