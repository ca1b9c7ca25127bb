"""A .keras or .h5 file, opened as data: a description in JSON, and arrays in HDF5.

Nothing in it is run or unpickled. What a file could do by its mere size, or by pointing out of
itself, is refused: zip members that unpack to many times their size, HDF5 links to other files.
"""

import io
import json
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import h5py
import numpy as np
from numpy.typing import NDArray

from edgecv.errors import WeightsError, nearest

CONFIG, VARIABLES, VERSION = "config.json", "model.weights.h5", "metadata.json"
MAX_BYTES = 4 << 30  # unpacked; the largest model of keras.applications has 1.4 GB
MAX_RATIO = 100  # of unpacked to packed bytes; Keras itself does not pack at all
UNREADABLE = (  # what h5py, zipfile and json raise over a file that is broken or something else
    OSError,
    LookupError,
    ValueError,
    TypeError,
    AttributeError,
    RuntimeError,
    NotImplementedError,
    MemoryError,
    EOFError,
    zipfile.BadZipFile,
    zlib.error,
)


class KerasFile(NamedTuple):
    """An open file: how Keras describes its model, and the group that holds its layers' arrays."""

    path: Path
    description: dict[str, Any]  # {} in a file of weights alone
    keras: int  # the major version of the Keras that wrote it
    arrays: h5py.Group


@contextmanager
def open_file(path: Path) -> Iterator[KerasFile]:
    """A .keras or .h5 file, open for reading. Raises WeightsError unless it is whole."""
    if not path.is_file():
        hint = nearest(str(path), ("imagenet", "random"))
        raise WeightsError(f"weights: no file '{path}'{hint} (imagenet | random | a .keras or .h5)")
    try:
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                table, version = _json(archive, CONFIG), _json(archive, VERSION)
                source: Path | io.BytesIO = io.BytesIO(_member(archive, VARIABLES))
        else:
            source, table, version = path, {}, {}
        with h5py.File(source, "r") as file:
            table = table or _object(file.attrs.get("model_config", "{}"))
            said = version.get("keras_version") or file.attrs.get("keras_version") or "2"
            arrays = file.get("model_weights", file)
            yield KerasFile(path, table, int(_text(said).split(".")[0]), arrays)
    except UNREADABLE as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise WeightsError(f"{path}: cannot be read as a whole .keras or .h5: {reason}") from error


def array(group: h5py.Group, *names: str) -> NDArray[np.float32]:
    """The array at the end of a path of names in a file. Raises ValueError where it is none."""
    dataset = descend(group, *names)
    if not isinstance(dataset, h5py.Dataset) or dataset.is_virtual or dataset.external:
        raise ValueError(f"no array of its own under '{'/'.join(names)}'")
    if dataset.dtype.kind not in "fiu" or dataset.nbytes > MAX_RATIO * _stored_bytes(dataset):
        raise ValueError(f"'{dataset.name}' holds {dataset.dtype} {dataset.shape}, not all there")
    return np.asarray(dataset[()], np.float32)


def descend(group: h5py.Group, *path: str) -> Any:
    """The entry at the end of a path of names, none of them a link out of the file."""
    for name in [part for names in path for part in names.split("/")]:
        if not isinstance(group, h5py.Group) or name not in group:
            raise KeyError(f"no '{name}' in '{getattr(group, 'name', '')}'")
        if not isinstance(group.get(name, getlink=True), h5py.HardLink):
            raise ValueError(f"'{name}' links to somewhere else")
        group = group[name]
    return group


def names(group: h5py.Group, key: str) -> list[str]:
    """A list of names in an attribute, which Keras cuts into `key0`, `key1`... when it is long."""
    keys = [key] if key in group.attrs else []
    keys += (f"{key}{part}" for part in range(len(group.attrs)) if f"{key}{part}" in group.attrs)
    return [_text(name) for key in keys for name in group.attrs[key]]


def _stored_bytes(dataset: h5py.Dataset) -> int:
    return int(dataset.id.get_storage_size())


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)


def _object(text: Any) -> dict[str, Any]:
    """JSON whose outermost value is an object."""
    table = json.loads(text)
    if not isinstance(table, dict):
        raise ValueError("its description is no object of JSON")
    return table


def _json(archive: zipfile.ZipFile, name: str) -> dict[str, Any]:
    return _object(_member(archive, name)) if name in archive.namelist() else {}


def _member(archive: zipfile.ZipFile, name: str) -> bytes:
    """One file of an archive, unpacked in memory; nothing is ever written to disk."""
    info = archive.getinfo(name)
    if info.file_size > min(MAX_BYTES, MAX_RATIO * info.compress_size + 4096):
        raise ValueError(f"{name} would unpack to {info.file_size:,} bytes")
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise ValueError(f"{name} is packed in a way that unpacks without a limit")
    with archive.open(info) as file:
        return file.read(info.file_size + 1)  # of more, zipfile says that the checksum is wrong
