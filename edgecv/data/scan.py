"""One look at every image file before any work: where it is, and whether it is whole."""

import hashlib
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from edgecv.data.images import FORMATS, JPEG, SUFFIXES, decode
from edgecv.data.opencv_log import quiet
from edgecv.errors import DataError
from edgecv.progress import Progress

IGNORED = {
    "__MACOSX",
    "Thumbs.db",
    "ehthumbs.db",
    "desktop.ini",
    "Desktop.ini",
}  # and every name that begins with a dot
MOST_DAMAGED = 0.05  # share of damaged files that are skipped; more than that is an error
NAMED = 3  # files that a message names before it counts


class Photo(NamedTuple):
    """A file that decodes."""

    path: Path
    sha256: str
    shorter: int  # side, in pixels


def subfolders(folder: Path) -> list[Path]:
    """The folders in `folder`, by name, without hidden ones."""
    return [entry for entry in _entries(folder) if entry.is_dir()]


def files_below(folder: Path) -> Iterator[Path]:
    """The files anywhere under `folder`, by name, without hidden ones; a folder is entered once."""
    return _files(folder)


def is_image(file: Path) -> bool:
    """Whether a file's ending is that of a format that is read."""
    return file.suffix.lower() in SUFFIXES


def image_files(folder: Path) -> list[Path]:
    """The image files anywhere under `folder`, by name; a folder is entered once."""
    return [file for file in _files(folder) if is_image(file)]


def files_beside(folder: Path) -> list[Path]:
    """The files in `folder` itself, in none of its folders."""
    return [file for file in _entries(folder) if not file.is_dir()]


def has_images(folder: Path) -> bool:
    """Whether there is an image file anywhere under `folder`."""
    return any(map(is_image, _files(folder)))


def contents(folder: Path) -> str:
    """The files of a folder for a message: `3 x .txt, 1 x .heic`."""
    return endings(list(_files(folder)), NAMED) or "no files"


def endings(files: Sequence[Path], most: int | None = None) -> str:
    """Files by their ending, the most frequent first: `3 x .txt, 1 x .heic`."""
    counts = Counter(file.suffix.lower() or "no ending" for file in files)
    return ", ".join(f"{count} x {ending}" for ending, count in counts.most_common(most))


def ignored_remark(where: Path | str, files: Sequence[Path]) -> list[str]:
    """A remark on files under `where` that are no images, counted by ending; none without any."""
    if not files:
        return []
    number = f"{len(files)} file{'s are' if len(files) > 1 else ' is'}"
    return [f"{where}: {number} left out ({endings(files)}); {FORMATS} is read"]


class Checked(NamedTuple):
    """The files that decode, in the given order; the others are named in a warning."""

    photos: list[Photo]
    warnings: list[str]


def check(root: Path, files: Sequence[Path], progress: Progress) -> Checked:
    """Every file decoded once.

    Raises DataError when more than 5 % are damaged.
    """
    with quiet(), ThreadPoolExecutor(os.cpu_count()) as pool:
        looked = list(progress.track(pool.map(_look, files), "checking images", len(files)))
    damaged = [
        f"{path.relative_to(root)}: {result}"
        for path, result in zip(files, looked, strict=True)
        if isinstance(result, DataError)
    ]
    photos = [photo for photo in looked if isinstance(photo, Photo)]
    return Checked(photos, damage_warnings(root, damaged, len(files)))


def damage_warnings(root: Path, damaged: Sequence[str], total: int) -> list[str]:
    """A warning of damaged files, the first few by name. Raises DataError for too many."""
    if not damaged:
        return []
    named = "; ".join(damaged[:NAMED])
    more = f"; and {len(damaged) - NAMED} more" if len(damaged) > NAMED else ""
    text = f"{root}: {len(damaged)} of {total} images cannot be read ({named}{more})"
    if len(damaged) > MOST_DAMAGED * total:
        raise DataError(f"{text}; at most {MOST_DAMAGED:.0%} are skipped: repair or remove them")
    return [f"{text}; skipped"]


def _look(path: Path) -> Photo | DataError:
    """Decode a file once, as fast as can be."""
    try:
        data = path.read_bytes()
        image = decode(data, fraction=8)
    except DataError as error:
        return error
    except OSError as error:
        return DataError(error.strerror or str(error))
    fraction = 8 if data.startswith(JPEG) else 1
    return Photo(path, hashlib.sha256(data).hexdigest(), min(image.shape[:2]) * fraction)


def rank(seed: int, root: Path, path: Path) -> str:
    """A sort key that is random, yet the same in every folder order and on every machine."""
    name = path.relative_to(root).as_posix()
    return hashlib.sha256(f"{seed}/{name}".encode(errors="surrogateescape")).hexdigest()


@contextmanager
def refuse_unreadable(root: Path) -> Iterator[None]:
    """Turns what the system refuses within the block into a DataError that names the file."""
    try:
        yield
    except OSError as error:
        raise DataError(f"{error.filename or root}: cannot be read: {error.strerror}") from error


def _files(folder: Path, entered: set[Path] | None = None) -> Iterator[Path]:
    """Every file under `folder`; a link back to where the walk was, or above, is not followed."""
    here = folder.resolve()
    entered = set(here.parents) if entered is None else entered
    entered.add(here)
    for entry in _entries(folder):
        if entry.is_dir():
            if entry.resolve() not in entered:
                yield from _files(entry, entered)
        elif entry.is_file() or entry.is_symlink():  # a broken link counts as damage
            yield entry


def _entries(folder: Path) -> list[Path]:
    entries = sorted(folder.iterdir())
    return [
        entry for entry in entries if not entry.name.startswith(".") and entry.name not in IGNORED
    ]
