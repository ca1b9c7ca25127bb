"""The planner against Google's own compiled files, where a checkout of them is at hand.

EDGECV_CORAL_TESTDATA names a folder of google-coral/test_data (Apache-2.0). What is exact and what
is not was found in other files by the same compiler; see coral_compiled.csv.
"""

import os
from pathlib import Path

import pytest

from edgecv.coral import package
from edgecv.coral.comparison import differences
from edgecv.coral.planner import plan
from edgecv.tflite import compiled, flatbuffer

FOLDER = os.environ.get("EDGECV_CORAL_TESTDATA", "")
PAIRS = [
    path
    for path in sorted(Path(FOLDER).glob("**/*_edgetpu.tflite") if FOLDER else ())
    if compiled.source(path)
]
INEXACT = ("lstm", "split_concat", "movenet")  # no formula, or only nearly

pytestmark = pytest.mark.skipif(not PAIRS, reason="EDGECV_CORAL_TESTDATA names no compiled models")


@pytest.mark.parametrize("path", PAIRS, ids=lambda path: path.stem)
def test_parameters_of_a_compiled_file_are_those_of_the_plan(path):
    source = compiled.source(path)
    found = {
        each.figure: each
        for each in differences(
            plan(flatbuffer.read(source), source.name), package.summary(flatbuffer.read(path))
        )
    }
    parameters = found["parameter bytes"]
    if not any(name in path.name for name in INEXACT):
        assert parameters.estimated == pytest.approx(parameters.compiled, abs=48_256)  # softmax


def test_operators_are_placed_as_in_nearly_all_compiled_files():
    right = 0
    for path in PAIRS:
        source = compiled.source(path)
        rows = plan(flatbuffer.read(source), source.name).operators
        left = [row["operator"] for row in rows if row["place"] != "tpu"]
        actual = package.summary(flatbuffer.read(path))["cpu_operators"]
        right += sorted(left) == sorted(
            code for code, times in actual.items() for _ in range(times)
        )
    assert right >= 0.9 * len(PAIRS)
