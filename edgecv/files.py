"""Files that are whole or absent, and never written over what is read: writes, hashes, sizes."""

import gzip
import hashlib
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from edgecv.errors import EdgecvError, RecipeError, RunFolderError


@contextmanager
def write_atomically(path: Path) -> Iterator[Path]:
    """A temporary path beside `path` that takes its name when the block ends well.

    Raises RunFolderError, with the system's reason, when the disk is full or may not be written.
    """
    partial = path.with_name(f".{path.stem}.{os.getpid()}.partial{path.suffix}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield partial
        with partial.open("rb") as file:
            os.fsync(file.fileno())
        partial.replace(path)
    except EdgecvError as error:  # says what is wrong already; no reader knows the temporary name
        if str(partial) not in str(error):
            raise
        raise type(error)(str(error).replace(str(partial), str(path))) from error
    except Exception as error:
        refused = _refused_by_system(error)
        if refused is None:
            raise
        raise RunFolderError(f"{path}: cannot be written: {refused.strerror or refused}") from error
    finally:
        with suppress(OSError):  # it is not there, or there is no folder it could be in
            partial.unlink()


def make_folder(path: Path) -> Path:
    """Make a folder for what comes out, with those above it. Raises RunFolderError."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RunFolderError(
            f"{path}: cannot be used as output folder: {error.strerror}"
        ) from error
    return path


def check_outputs(outputs: Iterable[Path], inputs: Iterable[Path]) -> None:
    """Raise RecipeError where a file to be written is one that is read, by any path or link.

    An input that is a folder stands for all files in it; one that is not there, for nothing.
    """
    sources = [source for source in inputs if source.exists()]
    for output in (path for path in outputs if path.exists()):
        if output.is_dir():
            raise RecipeError(f"--out: {output}: is a folder; name a file in it")
        for source in sources:
            if _is_in(output, source):
                raise RecipeError(
                    f"--out: {output}: is a file that is read, {source}; choose another file"
                    if source.is_file()
                    else f"--out: {output}: is one of the files in {source}; choose another file"
                )


def check_cleared(folder: Path, inputs: Iterable[Path]) -> None:
    """Raise RecipeError where a folder that will be emptied is, or holds, what is read."""
    for source in (source for source in inputs if folder.is_dir() and source.exists()):
        places = [source.parent.resolve() / source.name, source.resolve()]
        if any(_is_same(parent, folder) for place in places for parent in (place, *place.parents)):
            raise RecipeError(
                f"--force: {folder}: would be emptied with {source}, which is read;"
                " choose another folder with -o"
            )


def _is_in(output: Path, source: Path) -> bool:
    """Whether a file is the source, or one of those in it: also by a link."""
    if not source.is_dir():
        return _is_same(output, source)
    if any(_is_same(parent, source) for parent in output.resolve().parents):
        return True
    linked = output.stat().st_nlink > 1
    return linked and any(_is_same(output, path) for path in source.rglob("*"))


def _is_same(first: Path, second: Path) -> bool:
    try:
        return first.samefile(second)
    except OSError:  # at least one is not there
        return False


def _refused_by_system(error: BaseException | None) -> OSError | None:
    """The OSError behind an error: a zip archive on a full disk raises ValueError on closing."""
    while error is not None and not isinstance(error, OSError):
        error = error.__cause__ or error.__context__
    return error


def write_text(path: Path, text: str) -> Path:
    """Write `text` as UTF-8, whole or not at all."""
    with write_atomically(path) as partial:
        partial.write_text(text, encoding="utf-8")
    return path


def write_bytes(path: Path, data: bytes) -> Path:
    """Write `data`, whole or not at all."""
    with write_atomically(path) as partial:
        partial.write_bytes(data)
    return path


def sha256(path: Path) -> str:
    """Hex SHA-256 of a file, read in blocks."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def gzip_bytes(path: Path) -> int:
    """Size in bytes after gzip -9: what a download or an update costs."""
    return len(gzip.compress(path.read_bytes(), compresslevel=9, mtime=0))
