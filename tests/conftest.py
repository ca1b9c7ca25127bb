"""What holds for every test: Ctrl-C works, slow files come first, workers share a folder."""

import os
import shutil
import signal
import tempfile

import pytest

from tests import durations, emulated_boards, shared

# Jobs in the background of a shell ignore Ctrl-C, as what they start does: not so with tests.
signal.signal(signal.SIGINT, signal.default_int_handler)


# Two tests run at a time, each on one thread: BLAS's threads spin while they wait for each other,
# and where other processes hold the cores, a least-squares fit takes five times as long on two.
THREADS = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS")


def is_worker(config):
    return hasattr(config, "workerinput")


def pytest_addoption(parser):
    parser.addoption("--measure", action="store_true", help="write tests/durations.json")


def pytest_configure(config):
    if not is_worker(config):
        os.environ.update(dict.fromkeys(THREADS, "1"))  # before a worker has imported numpy
        os.environ[shared.VARIABLE] = tempfile.mkdtemp(prefix="edgecv-tests-")
        own = os.path.join(os.environ[shared.VARIABLE], "measurements")
        os.environ["EDGECV_MEASUREMENTS"] = own  # estimates must not go by the user's
    if config.getoption("measure"):
        config.pluginmanager.register(durations.Measured(write=not is_worker(config)))


def pytest_unconfigure(config):
    if not is_worker(config):
        emulated_boards.stop_all()
        shutil.rmtree(os.environ[shared.VARIABLE], ignore_errors=True)


@pytest.hookimpl(tryfirst=True)  # before -m looks at the marks
def pytest_collection_modifyitems(items):
    """Files that take longest come first, so that the workers end together."""
    table = durations.load()
    files = durations.of_files(table)
    items.sort(key=lambda item: -files[durations.file_of(item.nodeid)])  # stable
    for item in items:
        if durations.is_slow(item, table):
            item.add_marker(pytest.mark.slow)
