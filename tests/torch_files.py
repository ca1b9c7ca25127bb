"""Files as PyTorch writes them, made without it: a pickle of tensors, and their storages."""

import io
import struct
import zipfile

import numpy as np

MAGIC = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."
VERSION = b"\x80\x02M\xe9\x03."
SYSTEM = b"\x80\x02}(X\x10\x00\x00\x00protocol_versionM\xe9\x03X\r\x00\x00\x00little_endian\x88u."
STORAGES = {"f4": "FloatStorage", "f2": "HalfStorage", "i8": "LongStorage"}


def text(words):
    encoded = words.encode()
    return b"X" + struct.pack("<I", len(encoded)) + encoded


def number(value):
    return b"J" + struct.pack("<i", value)


def numbers(values):
    return b"(" + b"".join(map(number, values)) + b"t"


def tensor(key, array, **changes):
    """The description of an array in the storage `key`, with what is to be said wrongly of it."""
    steps = [step // array.itemsize for step in array.strides]
    said = {"offset": 0, "shape": array.shape, "strides": steps, "count": array.size, **changes}
    storage = STORAGES[array.dtype.str[1:]]
    return (
        b"ctorch._utils\n_rebuild_tensor_v2\n(("
        + text("storage")
        + f"ctorch\n{storage}\n".encode()
        + text(key)
        + text("cpu")
        + number(said["count"])
        + b"tQ"
        + number(said["offset"])
        + numbers(said["shape"])
        + numbers(said["strides"])
        + b"\x89ccollections\nOrderedDict\n)RtR"
    )


def pickled(items):
    """A dictionary of descriptions by their names."""
    rows = b"".join(text(name) + described for name, described in items.items())
    return b"\x80\x02ccollections\nOrderedDict\n)R(" + rows + b"u."


def zipped(data, blocks=(), **members):
    """The form since PyTorch 1.6, of a pickle and the bytes of its storages."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("net/data.pkl", data)
        for key, block in dict(blocks).items():
            archive.writestr(f"net/data/{key}", block)
        for name, content in members.items():
            archive.writestr(f"net/{name}", content)
    return file.getvalue()


def in_a_row(data, blocks):
    """The older form: the storages, each behind its length, after the pickles."""
    keys = b"\x80\x02](" + b"".join(map(text, blocks)) + b"e."
    stored = b"".join(struct.pack("<q", count) + block for count, block in blocks.values())
    return MAGIC + VERSION + SYSTEM + data + keys + stored


def write(path, arrays, older=False):
    """A .pth of arrays by their names."""
    arrays = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
    described = {name: tensor(name, array) for name, array in arrays.items()}
    if older:
        blocks = {name: (array.size, array.tobytes()) for name, array in arrays.items()}
        path.write_bytes(in_a_row(pickled(described), blocks))
    else:
        blocks = {name: array.tobytes() for name, array in arrays.items()}
        path.write_bytes(zipped(pickled(described), blocks))
