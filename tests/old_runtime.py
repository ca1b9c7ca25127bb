"""tflite-runtime, which is there on Python 3.11 alone."""

import pytest


def need_tflite():
    """Skip, with the reason, where it cannot be installed."""
    pytest.importorskip("tflite_runtime", reason="tflite-runtime has no wheel for this Python")
