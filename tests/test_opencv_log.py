"""OpenCV is silent while damaged images are read, by the function of its version."""

import subprocess
import sys

import cv2
import numpy as np
import pytest

from edgecv.data import opencv_log
from edgecv.data.images import decode
from edgecv.errors import DataError

MOVED = """
import sys, types
import cv2
level = [3]
if hasattr(cv2, "setLogLevel"):  # as 4.13 has it
    log = types.SimpleNamespace(
        getLogLevel=lambda: level[0], setLogLevel=lambda new: level.__setitem__(0, new)
    )
    del cv2.setLogLevel, cv2.getLogLevel
    cv2.utils.logging = log
from edgecv.data import opencv_log
from edgecv.demo import sources
before = opencv_log.set_log_level(2)
with opencv_log.quiet():
    assert cv2.utils.logging.getLogLevel() == 0
assert opencv_log.set_log_level(before) == 2
sources.quiet()
assert cv2.utils.logging.getLogLevel() == 0
"""


def test_the_level_is_silent_within_the_block_and_as_before_after_it():
    before = opencv_log.set_log_level(2)
    try:
        with pytest.raises(ZeroDivisionError), opencv_log.quiet():
            assert opencv_log.set_log_level(opencv_log.SILENT) == opencv_log.SILENT
            raise ZeroDivisionError
        assert opencv_log.set_log_level(2) == 2
    finally:
        opencv_log.set_log_level(before)


def test_the_functions_of_4_13_and_later_are_found():
    """Of the OpenCV that is installed, with its older names taken away where it has them."""
    done = subprocess.run([sys.executable, "-c", MOVED], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_a_damaged_image_is_an_error_and_no_words_of_opencv(capfd):
    _, data = cv2.imencode(".png", np.zeros((8, 8, 3), np.uint8))
    with opencv_log.quiet(), pytest.raises(DataError):
        decode(data.tobytes()[:40])
    assert capfd.readouterr().err == ""
