"""How long tests take, measured: which files begin, and what `make check` leaves out.

`make durations`, on an idle machine, writes durations.json anew: seconds of tests and, under their
own names, of the fixtures of whole files.
"""

import json
import time
from collections import Counter
from pathlib import Path

import pytest

TABLE = Path(__file__).with_name("durations.json")
SLOW = 0.5  # seconds; what takes less is one sum for each file, under `FILE::`


def load():
    """Seconds by file and name."""
    return json.loads(TABLE.read_text())


def file_of(key):
    return key.partition("::")[0]


def of_files(table):
    """The seconds of whole files."""
    files = Counter()
    for key, seconds in table.items():
        files[file_of(key)] += seconds
    return files


def is_slow(item, table):
    """Whether a test, or a fixture that it needs, takes long."""
    file = file_of(item.nodeid)
    needed = (f"{file}::{name}" for name in getattr(item, "fixturenames", ()))
    return any(key in table for key in (item.nodeid, *needed))


class Measured:
    """A plugin that writes the table at the end of a run of the whole suite."""

    def __init__(self, write):
        self.write = write  # which one of several processes does
        self.seconds = Counter()

    @pytest.hookimpl(hookwrapper=True)
    def pytest_fixture_setup(self, fixturedef, request):
        """What a fixture of a whole file takes travels with the report of the first who asked."""
        start = time.perf_counter()
        yield
        if fixturedef.scope != "function":
            item = request._pyfuncitem
            key = f"{file_of(item.nodeid)}::{fixturedef.argname}"
            item.user_properties.append((key, time.perf_counter() - start))

    def pytest_runtest_logreport(self, report):
        self.seconds[report.nodeid] += report.duration
        if report.when == "setup":
            for key, seconds in report.user_properties:
                self.seconds[key] += seconds
                self.seconds[report.nodeid] -= seconds

    def pytest_sessionfinish(self):
        if not self.write:
            return
        rows = Counter()
        for key, seconds in self.seconds.items():
            rows[key if seconds > SLOW else f"{file_of(key)}::"] += seconds
        files = of_files(rows)
        order = sorted(rows, key=lambda key: (-files[file_of(key)], file_of(key), -rows[key]))
        TABLE.write_text(json.dumps({key: round(rows[key], 1) for key in order}, indent=0) + "\n")
