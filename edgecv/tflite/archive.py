"""The zip archive that follows a model in its file: label files, read within limits.

TFLite's task libraries and `unzip` find it there. Nothing is ever unpacked onto a disk, so that no
name in it matters; what it declares and what comes out of it are both limited.
"""

import io
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path

from edgecv.errors import UnsupportedModelError

MOST_BYTES = 1 << 20  # of one file; ImageNet's 21,841 names take a third of that
MOST_FILES = 32
METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)  # others unpack without a limit
DAMAGE = (
    *(OSError, zipfile.BadZipFile, zlib.error, NotImplementedError, RuntimeError, EOFError),
    *(ValueError, OverflowError, IndexError),
)


def text_files(path: Path) -> dict[str, bytes]:
    """The content of each .txt file in the archive behind a model, by its name; often none.

    Raises UnsupportedModelError when the archive is damaged, or holds more than is allowed.
    """
    try:
        if not zipfile.is_zipfile(path):
            return {}
        with zipfile.ZipFile(path) as archive:
            return _read(archive)
    except DAMAGE as error:
        reason = " ".join(str(error).split())[:100] or type(error).__name__
        raise UnsupportedModelError(
            f"{path}: the archive of label files in it is damaged ({reason}); name the labels with"
            " --labels, or remove it: zip -d"
        ) from error


def _read(archive: zipfile.ZipFile) -> dict[str, bytes]:
    members = [member for member in archive.infolist() if member.filename.endswith(".txt")]
    if len(members) > MOST_FILES:
        raise ValueError(f"{len(members)} text files; at most {MOST_FILES} are read")
    return {member.filename: _content(archive, member) for member in members}


def _content(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> bytes:
    if member.compress_type not in METHODS:
        raise ValueError(f"compression method {member.compress_type}; store and deflate are read")
    if member.file_size > MOST_BYTES:
        raise ValueError(f"a text file of {member.file_size} bytes; at most {MOST_BYTES} are read")
    with archive.open(member) as file:
        data = file.read(MOST_BYTES + 1)
    if len(data) > MOST_BYTES:
        raise ValueError(f"a text file larger than it says; at most {MOST_BYTES} are read")
    return data


def append_files(model: bytes, files: Mapping[str, bytes]) -> bytes:
    """The model, then a zip archive of these files, uncompressed so that it can be mapped."""
    if not files:
        return model
    whole = io.BytesIO(model)
    with zipfile.ZipFile(whole, "a", zipfile.ZIP_STORED) as archive:
        for name, content in files.items():
            archive.writestr(zipfile.ZipInfo(name), content)
    return whole.getvalue()


def safe_name(name: str) -> bool:
    """Whether a file of this name can only be unpacked into the folder it is unpacked in."""
    return name.isprintable() and not name.startswith(".") and not set(name) & set("/\\:")
