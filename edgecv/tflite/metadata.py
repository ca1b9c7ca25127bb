"""What a .tflite file says of itself: labels, how pixels become inputs, the architecture.

It is kept twice: as JSON in the model's metadata, under `edgecv`, and the labels as labels.txt in a
zip archive that follows the model in the same file, where `unzip` and TFLite's task libraries look.
"""

import dataclasses
import io
import json
import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edgecv import files
from edgecv.artifacts import CENTERED, Normalization
from edgecv.errors import UnsupportedModelError
from edgecv.tflite import flatbuffer

ENTRY = b"edgecv"
LABELS_FILE = "labels.txt"


@dataclass(frozen=True)
class Metadata:
    """What a user of the file has to know."""

    labels: tuple[str, ...] = ()
    arch: str = ""
    crop: float = 1.0  # central share of a photograph that the model sees
    normalization: Normalization = CENTERED  # of pixels, to what a float input takes


def read(path: Path) -> Metadata | None:
    """What a file says of itself; None when edgecv did not write it.

    Raises UnsupportedModelError when it is not a TFLite file, or the entry is damaged.
    """
    model = flatbuffer.read(path)
    for entry in model.metadata or []:
        if entry.name == ENTRY:
            try:
                return _parsed(bytes(model.buffers[entry.buffer].data))
            except (ValueError, KeyError, TypeError, IndexError) as error:
                raise UnsupportedModelError(f"{path}: damaged 'edgecv' metadata") from error
    return None


def attach(path: Path, metadata: Metadata) -> None:
    """Write `metadata` into a .tflite file, in place of what it said before."""
    model = flatbuffer.read(path)
    kept = [entry for entry in model.metadata or [] if entry.name != ENTRY]
    entry, buffer = flatbuffer.schema().MetadataT(), flatbuffer.schema().BufferT()
    text = json.dumps(dataclasses.asdict(metadata), ensure_ascii=False, separators=(",", ":"))
    buffer.data = np.frombuffer(text.encode(), np.uint8)
    model.buffers.append(buffer)
    entry.name, entry.buffer = ENTRY, len(model.buffers) - 1
    model.metadata = [*kept, entry]
    data = flatbuffer.serialized(model)
    files.write_bytes(path, _with_labels(data, metadata.labels) if metadata.labels else data)


def _with_labels(model: bytes, labels: tuple[str, ...]) -> bytes:
    """The model, then a zip archive with labels.txt, uncompressed so that it can be mapped."""
    file = io.BytesIO(model)
    with zipfile.ZipFile(file, "a", zipfile.ZIP_STORED) as archive:
        archive.writestr(zipfile.ZipInfo(LABELS_FILE), "\n".join(labels) + "\n")
    return file.getvalue()


def _parsed(data: bytes) -> Metadata:
    table = json.loads(data)
    mean, std = table["normalization"]
    return Metadata(
        tuple(table["labels"]), table["arch"], table["crop"], Normalization(tuple(mean), tuple(std))
    )
