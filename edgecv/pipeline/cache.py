"""Results of stages, found by what went into them, so that runs share what they have in common.

An entry is a folder named by the hash of the stage's inputs, with its files and their hashes. It
takes its name in one step when it is whole; so a process that dies leaves nothing half there, and
of two that finish the same, one stays. Of two that begin the same, one works and the other waits:
a lock that the system lets go of when its owner dies.
"""

import fcntl
import hashlib
import json
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from edgecv.errors import RunFolderError
from edgecv.files import sha256, write_atomically, write_text

MANIFEST, LOCKS = "manifest.json", "locks"


class Made(NamedTuple):
    """The facts of an entry beside its files."""

    seconds: float  # that its stage took


class StageCache:
    """A folder of entries, for any number of processes at once."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def key(self, stage: str, inputs: Mapping[str, Any]) -> str:
        """The entry's name: the stage and the hash of its inputs."""
        text = json.dumps(inputs, sort_keys=True, default=str)
        return f"{stage}-{hashlib.sha256(text.encode()).hexdigest()[:32]}"

    def __contains__(self, key: str) -> bool:
        return (self.folder / key / MANIFEST).is_file()

    @contextmanager
    def lock(self, key: str) -> Iterator[None]:
        """Alone with an entry; others wait. Raises RunFolderError when that cannot be."""
        try:
            (self.folder / LOCKS).mkdir(parents=True, exist_ok=True)
            lock = (self.folder / LOCKS / key).open("w")
        except OSError as error:
            raise RunFolderError(f"{self.folder}: cannot be used: {error.strerror}") from error
        with lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def fetch(self, key: str, files: Sequence[Path]) -> Made | None:
        """Copy an entry's files to the places they were kept from; None where there is none.

        An entry that is damaged is removed, and was none.
        """
        entry = self.folder / key
        if key not in self:
            return None
        try:
            manifest = json.loads((entry / MANIFEST).read_text(encoding="utf-8"))
            if any(sha256(entry / name) != sha for name, sha in manifest["files"].items()):
                raise ValueError("damaged")
            places = {name: files[int(name.partition(".")[0])] for name in manifest["files"]}
            if files[-1] not in places.values():
                raise ValueError("without what is made last")
            made = Made(float(manifest["seconds"]))
        except (OSError, ValueError, LookupError, TypeError, AttributeError):
            shutil.rmtree(entry, ignore_errors=True)
            return None
        for name, file in places.items():
            with write_atomically(file) as partial:
                shutil.copyfile(entry / name, partial)
        return made

    def keep(self, key: str, files: Sequence[Path], seconds: float) -> None:
        """Take copies of a stage's files, those that exist, unless another process did before."""
        self.folder.mkdir(parents=True, exist_ok=True)
        for left in self.folder.glob(f".new-{key}-*"):  # by one that was killed: this has the lock
            shutil.rmtree(left, ignore_errors=True)
        with tempfile.TemporaryDirectory(prefix=f".new-{key}-", dir=self.folder) as folder:
            new = Path(folder) / "entry"
            new.mkdir()
            for place, file in enumerate(files):
                if not file.exists():  # a model without batch norm has no statistics of it
                    continue
                with write_atomically(new / f"{place}{file.suffix}") as partial:
                    shutil.copyfile(file, partial)
            hashes = {path.name: sha256(path) for path in sorted(new.iterdir())}
            write_text(new / MANIFEST, json.dumps({"seconds": seconds, "files": hashes}))
            try:
                new.rename(self.folder / key)
            except OSError:
                if key not in self:
                    raise
