"""A .pth file of PyTorch as arrays: the zip form, and the older one of pickles in a row.

Nothing of a file is run. See `pickled` for what of a pickle is understood.
"""

import io
import math
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from edgecv.models.weights import pickled
from edgecv.models.weights.pickled import DTYPES, Storage, Tensor

MAGIC = 0x1950A86A20F9469CFC6C  # begins the older form, as an integer in a pickle of its own
VERSION = 1001
BROKEN = (  # what comes of a file that is cut short, or is something else
    zipfile.BadZipFile,
    NotImplementedError,
    RuntimeError,
    LookupError,
    TypeError,
    AttributeError,
    EOFError,
)
Arrays = dict[str, NDArray[Any]]


def read(source: Path | IO[bytes]) -> Arrays:
    """The tensors of a .pth by their names, in the order of the file.

    Raises ValueError where it is cut short, is no dictionary of tensors, or asks for more than
    tensors; OSError where it cannot be read.
    """
    data = source.read_bytes() if isinstance(source, Path) else source.read()
    try:
        return _read_zip(data) if data[:2] == b"PK" else _read_older(data)
    except BROKEN as error:
        raise ValueError(f"is no whole .pth ({error})") from error


def _read_zip(data: bytes) -> Arrays:
    """The form since PyTorch 1.6: a pickle, and a file for every storage."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        members = {info.filename.partition("/")[2]: info for info in archive.infolist()}
        if any(info.compress_type != zipfile.ZIP_STORED for info in members.values()):
            raise ValueError("has packed members, which PyTorch does not write")
        if "data.pkl" not in members:
            raise ValueError("has no data.pkl, as a .pth has")
        if "byteorder" in members and archive.read(members["byteorder"]) != b"little":
            raise ValueError("was written on a machine with the other order of bytes")
        tensors = _check_tensors(pickled.load(io.BytesIO(archive.read(members["data.pkl"]))))
        return _arrays(tensors, lambda storage: archive.read(members[f"data/{storage.key}"]))


def _read_older(data: bytes) -> Arrays:
    """The older form: five pickles, and then every storage with its length before it."""
    file = io.BytesIO(data)
    if pickled.load(file) != MAGIC or pickled.load(file) != VERSION:
        raise ValueError("does not begin as a .pth does")
    if pickled.load(file).get("little_endian") is not True:
        raise ValueError("was written on a machine with the other order of bytes")
    tensors = _check_tensors(pickled.load(file))
    kinds = {tensor.storage.key: tensor.storage for tensor in tensors.values()}
    blocks = {}
    for key in pickled.load(file):
        count = int.from_bytes(file.read(8), "little")
        if key not in kinds or count != kinds[key].numbers:
            raise ValueError(f"has a storage of {count} numbers that no tensor describes")
        blocks[key] = file.read(count * np.dtype(DTYPES[kinds[key].kind]).itemsize)
    return _arrays(tensors, lambda storage: blocks[storage.key])


def _check_tensors(content: Any) -> Mapping[str, Tensor]:
    """The tensors of a file by their names."""
    whole = isinstance(content, dict) and content and all(type(name) is str for name in content)
    if not whole or not all(isinstance(tensor, Tensor) for tensor in content.values()):
        raise ValueError("is no dictionary of tensors by their names")
    tensors: Mapping[str, Tensor] = content
    return tensors


def _arrays(tensors: Mapping[str, Tensor], block: Callable[[Storage], bytes]) -> Arrays:
    """Every tensor cut from its storage, which is asked for once. Raises ValueError if outside."""
    blocks: dict[str, NDArray[Any]] = {}
    arrays = {}
    for name, tensor in tensors.items():
        storage = tensor.storage
        if storage.key not in blocks:
            blocks[storage.key] = _numbers(storage, block)
        arrays[name] = _cut(name, tensor, blocks[storage.key])
    return arrays


def _numbers(storage: Storage, block: Callable[[Storage], bytes]) -> NDArray[Any]:
    try:
        data = block(storage)
    except KeyError as error:
        raise ValueError(f"lacks the storage {storage.key}") from error
    dtype = np.dtype(DTYPES[storage.kind])
    if len(data) < storage.numbers * dtype.itemsize:
        raise ValueError(f"ends within the storage {storage.key}")
    return np.frombuffer(data, dtype, storage.numbers)


def _cut(name: str, tensor: Tensor, numbers: NDArray[Any]) -> NDArray[Any]:
    """A copy of a tensor's numbers, all of them within its storage."""
    count = math.prod(tensor.shape)
    steps = zip(tensor.shape, tensor.strides, strict=True)
    last = tensor.offset + sum(max(side - 1, 0) * step for side, step in steps)
    if count > len(numbers) or (count and last >= len(numbers)):
        raise ValueError(f"'{name}' reaches beyond its storage of {len(numbers)} numbers")
    strides = [step * numbers.itemsize for step in tensor.strides]
    view = np.lib.stride_tricks.as_strided(
        numbers[tensor.offset :], tensor.shape, strides, writeable=False
    )
    return view.copy()
