"""The demo in a window of the desktop, drawn by OpenCV."""

import os
import sys

import cv2

from edgecv.demo.frames import Pixels
from edgecv.demo.pipeline import Pipeline, Result
from edgecv.errors import DeviceError

TITLE = "edgecv demo"
KEY_MS = 10  # to wait for a key
QUIT = (ord("q"), 27)  # or Escape
SHOWN = 3  # classes
WHITE, GRAY, BLUE, BLACK = (255, 255, 255), (90, 90, 90), (255, 160, 60), (0, 0, 0)  # BGR


def show(pipeline: Pipeline) -> None:
    """Draw what the pipeline sees until Q, Escape or the end; the space bar stops and starts it.

    Raises DeviceError where there is no screen, or OpenCV was built without windows.
    """
    if sys.platform == "linux" and not {"DISPLAY", "WAYLAND_DISPLAY"} & os.environ.keys():
        raise DeviceError("--window: there is no screen here; leave it out, and look at the page")
    shown: Result | None = None
    try:
        cv2.namedWindow(TITLE, cv2.WINDOW_NORMAL)
        while not pipeline.wait(0):
            if pipeline.latest is not shown and pipeline.latest is not None:
                shown = pipeline.latest
                cv2.imshow(TITLE, draw(shown, pipeline.figures.read()["fps"]))
            key = cv2.waitKey(KEY_MS) & 0xFF
            if key == ord(" "):
                (pipeline.stop if pipeline.running else pipeline.go_on)()
            if key in QUIT or cv2.getWindowProperty(TITLE, cv2.WND_PROP_VISIBLE) < 1:
                return
        cv2.destroyAllWindows()
    except cv2.error as error:
        raise DeviceError(
            "--window: this OpenCV has no windows: pip install opencv-python, not -headless"
        ) from error


def draw(result: Result, fps: float) -> Pixels:
    """A copy of a picture with its classes as bars, the model's square in it, and the rate."""
    canvas = result.frame.pixels.copy()
    height, width = canvas.shape[:2]
    side = round(min(height, width) * result.model.crop)
    left, top = (width - side) // 2, (height - side) // 2
    cv2.rectangle(canvas, (left, top), (left + side, top + side), WHITE, 1, cv2.LINE_AA)
    unit = max(1, height // 24)
    for row, (label, score) in enumerate(result.top(SHOWN)):
        base = unit + row * unit * 2
        end = unit + round(score * width / 3)
        cv2.rectangle(canvas, (unit, base), (unit + width // 3, base + unit), GRAY, cv2.FILLED)
        cv2.rectangle(canvas, (unit, base), (end, base + unit), BLUE, cv2.FILLED)
        _write(canvas, f"{label} {score:.0%}", (unit + unit // 4, base + unit * 4 // 5), unit)
    words = f"{fps:.1f} frames/s, {1e3 * result.inference_seconds:.1f} ms"
    _write(canvas, words, (unit, height - unit), unit)
    return canvas


def _write(canvas: Pixels, words: str, at: tuple[int, int], unit: int) -> None:
    for color, thickness in ((BLACK, 3), (WHITE, 1)):
        cv2.putText(
            canvas, words, at, cv2.FONT_HERSHEY_SIMPLEX, unit / 28, color, thickness, cv2.LINE_AA
        )
