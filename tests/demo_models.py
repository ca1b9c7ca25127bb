"""The small sign classifier as the demo gets models: files that say their labels and their crop."""

import atexit
import functools
import shutil
import tempfile
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np

from edgecv.tflite import metadata
from tests.tiny_models import tiny

CROP = 0.875


class Models(NamedTuple):
    float32: Path
    int8: Path


@functools.cache
def demo_models() -> Models:
    """Both files, made once in a test run."""
    folder = Path(tempfile.mkdtemp(prefix="edgecv-demo-"))
    atexit.register(shutil.rmtree, folder)
    found = [folder / f"signs_{each}.tflite" for each in Models._fields]
    for made, path in zip((tiny().float32, tiny().int8), found, strict=True):
        shutil.copy(made.path, path)
        metadata.attach(path, metadata.Metadata(tiny().labels, "tiny", CROP))
    return Models(*found)


def film_in(folder: Path) -> Path:
    """A video of twelve pictures, each brighter than the one before."""
    path = folder / "film.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 60, (64, 48))
    for each in range(12):
        writer.write(np.full((48, 64, 3), 20 * each, np.uint8))
    writer.release()
    return path
