"""The planner against Google's own compiled files, where some are at hand.

../shared/real/coral lies beside some checkouts; EDGECV_CORAL_TESTDATA names one of
google-coral/test_data (Apache-2.0). What is exact and what is not was found in other files by the
same compiler; see coral_compiled.csv.
"""

import os
from pathlib import Path

import pytest
from click.testing import CliRunner

from edgecv.cli import main
from edgecv.coral import package
from edgecv.coral.comparison import differences
from edgecv.coral.planner import plan
from edgecv.tflite import compiled, flatbuffer

SHARED = Path(__file__).parents[2] / "shared" / "real" / "coral"
NAMED = os.environ.get("EDGECV_CORAL_TESTDATA", "")
FOLDERS = [SHARED, *([Path(NAMED)] if NAMED else [])]
FILES = [path for folder in FOLDERS for path in sorted(folder.glob("**/*_edgetpu.tflite"))]
PAIRS = [path for path in FILES if compiled.source(path)]
SOFTMAX = 48_256  # bytes of its tables for 1001 classes: compilers before 16 leave them out
STRIPS = 0.11  # share that images which are sent in strips, with overlaps, take more

pytestmark = pytest.mark.skipif(not PAIRS, reason=f"no compiled models in {SHARED}")
pairs = pytest.mark.parametrize("path", PAIRS, ids=lambda path: path.stem)


def compared(path):
    """The plan of a file, what the compiler made of it, and the figures of both by name."""
    source = compiled.source(path)
    planned = plan(flatbuffer.read(source), source.name)
    made = package.summary(flatbuffer.read(path), path.name)
    return planned, made, {each.figure: each for each in differences(planned, made)}


@pairs
def test_a_plan_that_calls_its_parameters_exact_is(path):
    planned, _, found = compared(path)
    parameters = found["parameter bytes"]
    if planned.parameters_exact:
        assert parameters.estimated - parameters.compiled in (0, SOFTMAX)
    elif not planned.cache.unsized:
        assert parameters.estimated == pytest.approx(parameters.compiled, rel=0.02, abs=1000)


@pairs
def test_a_plan_says_cached_only_where_nothing_but_constants_is_streamed(path):
    planned, made, _ = compared(path)
    if planned.cache.verdict == "cached":
        assert made["streamed_bytes"] == planned.constant_bytes
    assert not (planned.cache.verdict == "streamed" and made["streamed_bytes"] == 0)


@pairs
def test_operators_runtime_and_transfers_are_those_of_the_compiled_file(path):
    planned, made, found = compared(path)
    left = [row["operator"] for row in planned.operators if row["place"] != "tpu"]
    actual = [code for code, times in made["cpu_operators"].items() for _ in range(times)]
    assert sorted(left) == sorted(actual)
    assert planned.min_runtime in (made["min_runtime"], 12)  # older compilers ask for less
    moved = found["input and output bytes"]
    assert moved.estimated <= moved.compiled <= moved.estimated * (1 + STRIPS)


@pairs
def test_a_compiled_file_is_inspected_and_runs_nowhere_here(path):
    shown = CliRunner().invoke(main, ["coral", "inspect", str(path)])
    assert shown.exit_code == 0
    assert "least runtime" in shown.output
    shown = CliRunner().invoke(main, ["profile", str(path)])
    assert (shown.exit_code, shown.output.count("\n")) == (1, 1)
    assert f"use the file it was compiled from, {compiled.source(path)}" in shown.output
