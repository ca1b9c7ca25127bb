"""Downloads that resume, are checked, and are kept."""

import base64
import contextlib
import fcntl
import hashlib
import http.client
import os
import urllib.error
import urllib.request
from collections.abc import Iterator
from email.message import Message
from pathlib import Path

from edgecv.errors import WeightsError
from edgecv.files import sha256, write_text
from edgecv.progress import Progress

CHUNK = 1 << 18  # bytes; one step of the progress bar
TIMEOUT = 30.0  # seconds without an answer or a byte
ATTEMPTS = 3  # each goes on where the one before broke off
HDF5 = b"\x89HDF\r\n\x1a\n"
NETWORK = (urllib.error.URLError, http.client.HTTPException, ConnectionError, TimeoutError)


def cache_folder() -> Path:
    """Where downloads are kept: `edgecv` in the user's cache folder."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "edgecv"


def fetch(url: str, md5: str, folder: Path, progress: Progress) -> Path:
    """The file behind `url`: the one in `folder`, or downloaded into it first.

    Whether old or new, it must have the published MD5, or the one the server sent when there is
    none, and the SHA-256 it had when it was first seen.
    """
    path = folder / url.rsplit("/", 1)[-1]
    partial = path.with_suffix(".partial")
    try:
        with _locked(path.with_suffix(".lock")):
            if not path.exists():
                sent = _download(url, partial, path, progress)
                _check(partial, md5 or sent)
                partial.replace(path)
            _check(path, md5)
            _check_unchanged(path)
    except OSError as error:
        raise WeightsError(f"{path}: cannot be kept: {error.strerror or error}") from error
    return path


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    """One process at a time; the others wait and then find the file there."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _check(path: Path, md5: str) -> None:
    """Raise WeightsError, and remove the file, unless it has this MD5; without one, is HDF5."""
    with path.open("rb") as file:
        kind, found = file.read(len(HDF5)), ""
        file.seek(0)
        if md5:
            found = hashlib.file_digest(
                file, lambda: hashlib.md5(usedforsecurity=False)
            ).hexdigest()
    if found == md5 and (md5 or kind == HDF5):
        return
    path.unlink()
    what = f"has the MD5 {found}, not {md5}" if kind == HDF5 else "is not an HDF5 file"
    raise WeightsError(
        f"{path}: what arrived {what}; it was removed, try again or ask for a mirror"
    )


def _check_unchanged(path: Path) -> None:
    record = path.with_suffix(".sha256")
    now = sha256(path)
    if not record.exists():
        write_text(record, now)
    if (then := record.read_text(encoding="utf-8")) != now:
        raise WeightsError(
            f"{path}: its SHA-256 is {now} and was {then} when it was fetched;"
            f" remove it and {record.name} to fetch it again"
        )


def _download(url: str, partial: Path, path: Path, progress: Progress) -> str:
    """Fill `partial` from `url`, and return the MD5 the server says it has, if it does."""
    progress.line(f"fetching {url}")
    reason = ""
    for _ in range(ATTEMPTS):
        try:
            md5 = _continue(url, partial, progress)
        except urllib.error.HTTPError as error:
            reason = f"HTTP {error.code} {error.reason}"
            if error.code != 416:  # the server's file is shorter than what is here: start over
                break
            partial.unlink(missing_ok=True)
        except NETWORK as error:
            reason = str(getattr(error, "reason", error)) or type(error).__name__
        else:
            return md5
    raise WeightsError(
        f"weights: {url} cannot be fetched ({reason}): with a network the same command goes on"
        f" where it broke off; without one, fetch that file elsewhere and put it at {path}"
    )


def _continue(url: str, partial: Path, progress: Progress) -> str:
    """Append the rest of the file; start it over where the server sends all of it again."""
    if not url.startswith(("http://", "https://")):
        raise WeightsError(f"weights: {url}: not an http:// or https:// address")
    have = partial.stat().st_size if partial.exists() else 0
    opener = urllib.request.build_opener()
    opener.addheaders = [("User-Agent", "edgecv"), ("Range", f"bytes={have}-")]
    with opener.open(url, timeout=TIMEOUT) as response:
        have = have if response.status == 206 else 0
        rest = int(response.headers.get("Content-Length") or 0)
        with partial.open("r+b" if have else "wb") as file:
            file.seek(have)
            chunks = iter(lambda: response.read(CHUNK), b"")
            for chunk in progress.track(chunks, partial.stem, total=-(-rest // CHUNK)):
                file.write(chunk)
            file.truncate()
            if file.tell() < have + rest:
                raise http.client.IncompleteRead(b"", have + rest - file.tell())
        return _md5_sent(response.headers)


def _md5_sent(headers: Message) -> str:
    """The hex MD5 in Google Storage's own header, which lists hashes in base 64."""
    sent = ",".join(headers.get_all("x-goog-hash", [])).split(",")
    hashes = dict(each.strip().partition("=")[::2] for each in sent)
    return base64.b64decode(hashes.get("md5", "")).hex()
