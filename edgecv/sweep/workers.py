"""Who builds the cells: processes on this machine, or the workers of a Dask cluster."""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from edgecv.errors import EdgecvError
from edgecv.sweep.cell import Outcome, Task, build

WORKER_BYTES = 2_000_000_000  # TensorFlow, a batch of 32 at 224 pixels, the images
CONNECT_SECONDS = 10
INSTALL = "pip install 'edgecv[build]'"
GOES_ON = "the same command goes on"


class Workers(NamedTuple):
    """How many at once, and how many threads each has."""

    jobs: int
    threads: int


def local(jobs: int | None = None) -> Workers:
    """As many as the cores and the free memory allow, or `jobs`; the cores shared out."""
    cores = len(os.sched_getaffinity(0))
    fitting = max(1, min(cores, free_bytes() // WORKER_BYTES))
    jobs = jobs or fitting
    return Workers(jobs, max(1, cores // jobs))


def free_bytes() -> int:
    """Memory that can be had without swapping; as Linux estimates it."""
    try:
        lines = Path("/proc/meminfo").read_text(encoding="utf-8").splitlines()
        kibibytes = next(line.split()[1] for line in lines if line.startswith("MemAvailable"))
        return 1024 * int(kibibytes)
    except (OSError, StopIteration, ValueError):
        return WORKER_BYTES


@contextmanager
def cluster(scheduler: str) -> Iterator[Workers]:
    """The workers of the Dask scheduler at this address, for the block.

    Each needs edgecv, and this machine's folders at the same paths. Raises EdgecvError.
    """
    try:
        from distributed import Client
    except ImportError as error:
        raise EdgecvError(f"--scheduler: needs Dask ({error}); {INSTALL[:-2]},dask]'") from error
    import joblib

    try:
        client = Client(scheduler, timeout=CONNECT_SECONDS)
    except (OSError, ValueError) as error:
        raise EdgecvError(f"--scheduler {scheduler}: no Dask scheduler answers: {error}") from error
    with client:
        threads = [worker["nthreads"] for worker in client.scheduler_info(-1)["workers"].values()]
        if not threads:
            raise EdgecvError(f"--scheduler {scheduler}: has no workers; start dask worker")
        try:
            with joblib.parallel_config(backend="dask"):
                yield Workers(len(threads), max(1, min(threads)))
        except Exception as error:  # of any type, once the scheduler is gone
            expected = isinstance(error, TimeoutError) or type(error).__module__.startswith(
                "distrib"
            )
            if isinstance(error, EdgecvError) or not (expected or client.status != "running"):
                raise
            words = f"it or its workers are gone ({type(error).__name__}); start them again"
            raise EdgecvError(f"--scheduler {scheduler}: {words}; {GOES_ON}") from error


def build_all(tasks: Sequence[Task], workers: Workers) -> Iterator[Outcome]:
    """Outcomes in the order in which they come. Raises EdgecvError when a worker is killed."""
    import joblib

    parallel: Any = joblib.Parallel(n_jobs=workers.jobs, return_as="generator_unordered")
    try:
        yield from parallel(joblib.delayed(build)(task) for task in tasks)
    except EdgecvError:
        raise
    except RuntimeError as error:  # loky's TerminatedWorkerError is one
        if "terminated" not in str(error) and "killed" not in str(error).lower():
            raise
        raise EdgecvError(
            f"a worker was killed, most likely for want of memory: fewer at once, with --jobs"
            f" {max(1, workers.jobs - 1)}; {GOES_ON}"
        ) from error
