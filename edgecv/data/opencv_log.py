"""OpenCV's own words on stderr: one place for what its versions, 4.8 to 5, call differently."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import cv2

SILENT = 0


def set_log_level(level: int) -> int:
    """Set what OpenCV writes to stderr, SILENT or more, and return what it was before."""
    utils: Any = cv2.utils
    log: Any = cv2 if hasattr(cv2, "setLogLevel") else utils.logging  # from 4.13 on
    before = int(log.getLogLevel())
    log.setLogLevel(level)
    return before


@contextmanager
def quiet() -> Iterator[None]:
    """OpenCV says what is wrong with a damaged file by an exception, not also on stderr."""
    level = set_log_level(SILENT)
    try:
        yield
    finally:
        set_log_level(level)
