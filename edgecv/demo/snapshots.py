"""Pictures kept on disk, a folder a class: what the next `edgecv build --data` trains on."""

import re
import time
from pathlib import Path

import cv2

from edgecv import files
from edgecv.demo.frames import Pixels
from edgecv.errors import DataError

LABEL = re.compile(r"[\w](?:[\w .+()-]{0,62}[\w+)-])?")  # no separator, no dot at either end
NAME = re.compile(r"\d{8}-\d{6}-\d{6}\.jpg")
QUALITY = 95


def encode_snapshot(pixels: Pixels) -> tuple[str, bytes]:
    """A file name by the present time, and a picture BGR as a JPEG file."""
    seconds, part = divmod(time.time_ns() // 1000, 1_000_000)
    name = f"{time.strftime('%Y%m%d-%H%M%S', time.localtime(seconds))}-{part:06d}.jpg"
    return name, encode_jpeg(pixels, QUALITY)


def write_snapshot(root: Path, label: str, name: str, jpeg: bytes) -> Path:
    """The file in the label's folder below `root` that a picture was written to.

    Raises DataError for a label or a name that is none, RunFolderError when it cannot be written.
    """
    if not LABEL.fullmatch(label):
        raise DataError(
            f"label {label[:64]!r}: is no name of a folder; letters, digits, spaces and _ - + . ( )"
            " are allowed, 64 at the most"
        )
    if not NAME.fullmatch(name):
        raise DataError(f"snapshot {name[:64]!r}: is no name of a snapshot")
    folder = root / label
    if folder.resolve() != root.resolve() / label:  # a link that leads elsewhere
        raise DataError(f"{folder}: leads out of {root}")
    return files.write_bytes(folder / name, jpeg)


def encode_jpeg(pixels: Pixels, quality: int) -> bytes:
    """A picture BGR as a JPEG file."""
    _, data = cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, quality])
    return data.tobytes()
