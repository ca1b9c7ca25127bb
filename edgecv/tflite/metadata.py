"""edgecv's metadata in a .tflite file: labels, how pixels become inputs, the architecture.

It is kept twice: as JSON in the model's metadata, under `edgecv`, and the labels as labels.txt in a
zip archive that follows the model in the same file, where `unzip` and TFLite's task libraries look.
"""

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

import numpy as np

from edgecv import files
from edgecv.artifacts import CENTERED, Normalization
from edgecv.errors import UnsupportedModelError
from edgecv.tflite import archive, flatbuffer

ENTRY = b"edgecv"
LABELS_FILE = "labels.txt"


@dataclass(frozen=True)
class Metadata:
    """The facts that a user of the file needs."""

    labels: tuple[str, ...] = ()
    arch: str = ""
    crop: float = 1.0  # central share of a photograph that the model sees
    normalization: Normalization = CENTERED  # of pixels, to what a float input takes


def read(path: Path) -> Metadata | None:
    """The metadata of a file; None when edgecv did not write it.

    Raises UnsupportedModelError when it is not a TFLite file, or the entry is damaged.
    """
    return read_model(flatbuffer.read(path), str(path))


def read_model(model: flatbuffer.ModelT, name: str = "the model") -> Metadata | None:
    """The metadata of a model in memory, as `read`; messages call it `name`."""
    for entry in model.metadata or []:
        if entry.name == ENTRY:
            try:
                return _parsed(bytes(model.buffers[entry.buffer].data))
            except (ValueError, KeyError, TypeError, IndexError) as error:
                raise UnsupportedModelError(f"{name}: damaged 'edgecv' metadata") from error
    return None


def attach(
    path: Path, metadata: Metadata, texts: Mapping[str, bytes] = MappingProxyType({})
) -> None:
    """Write `metadata` into a .tflite file, in place of what it said before.

    The archive behind the model then has the labels, and beside them the files in `texts`.
    """
    model = flatbuffer.read(path)
    write_model(model, metadata)
    kept = {name: data for name, data in texts.items() if archive.safe_name(name)}
    if metadata.labels:
        kept[LABELS_FILE] = "".join(f"{label}\n" for label in metadata.labels).encode()
    files.write_bytes(path, archive.append_files(flatbuffer.serialized(model), kept))


def attach_labels(path: Path, labels: tuple[str, ...]) -> None:
    """Append labels.txt to a .tflite file, and say nothing else of it."""
    text = "".join(f"{label}\n" for label in labels).encode()
    files.write_bytes(path, archive.append_files(path.read_bytes(), {LABELS_FILE: text}))


def write_model(model: flatbuffer.ModelT, metadata: Metadata) -> None:
    """Make a model in memory say `metadata`, in place of what it said before."""
    kept = [entry for entry in model.metadata or [] if entry.name != ENTRY]
    entry, buffer = flatbuffer.schema().MetadataT(), flatbuffer.schema().BufferT()
    text = json.dumps(dataclasses.asdict(metadata), ensure_ascii=False, separators=(",", ":"))
    buffer.data = np.frombuffer(text.encode(), np.uint8)
    model.buffers.append(buffer)
    entry.name, entry.buffer = ENTRY, len(model.buffers) - 1
    model.metadata = [*kept, entry]


def _parsed(data: bytes) -> Metadata:
    table = json.loads(data)
    mean, std = (tuple(map(float, values)) for values in table["normalization"])
    crop = float(table["crop"])
    if not (0 < crop <= 1 and len(mean) == len(std) == 3 and all(scale > 0 for scale in std)):
        raise ValueError("a crop or a normalization that no image has")
    labels = tuple(map(str, table["labels"]))
    return Metadata(labels, str(table["arch"]), crop, Normalization(mean, std))
