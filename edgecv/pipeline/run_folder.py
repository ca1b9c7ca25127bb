"""A run's folder: refused when it holds another run, resumed when it holds this one.

`.state/` holds what only an unfinished run needs (the lock, the training checkpoint, seconds per
stage); it goes when report.json, the last file, is written. Every file is whole or absent, so a
stage whose output exists is a stage that is done.
"""

import fcntl
import json
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from edgecv.errors import RunFolderError
from edgecv.files import check_cleared, write_text
from edgecv.recipe import Recipe, load

RECIPE, REPORT, STATE, LOCK = "recipe.toml", "report.json", ".state", "lock"


@dataclass
class RunFolder:
    """Where a run's files lie, and what of it is already there."""

    path: Path
    seconds: dict[str, float] = field(default_factory=dict)

    @property
    def state(self) -> Path:
        """The folder for what is needed until the run is finished."""
        return self.path / STATE

    @property
    def finished(self) -> bool:
        """Whether the report, written last, is there, and every file that it names."""
        try:
            report = json.loads((self.path / REPORT).read_text(encoding="utf-8"))
            return all((self.path / file["path"]).is_file() for file in report["files"].values())
        except (OSError, ValueError, KeyError, TypeError):
            return False

    @contextmanager
    def time_stage(self, stage: str) -> Iterator[None]:
        """Add the block's seconds to the stage's, also across an interruption."""
        start = time.perf_counter()
        try:
            yield
        finally:
            self.add_seconds(stage, time.perf_counter() - start)

    def add_seconds(self, stage: str, seconds: float) -> None:
        """Add seconds to a stage's."""
        self.seconds[stage] = round(self.seconds.get(stage, 0.0) + seconds, 2)
        write_text(self.state / "seconds.json", json.dumps(self.seconds))


@contextmanager
def open_run(path: Path, recipe: Recipe, force: bool, wait: bool = False) -> Iterator[RunFolder]:
    """The folder for this recipe, new or to be resumed, locked until the end.

    Another process's lock is waited for, or refused.

    Raises RunFolderError when the folder holds something else and `force` is off. A run that fails
    before it made anything leaves nothing behind.
    """
    check_kept(path, recipe, force)
    _refuse_others(path, recipe, force)
    if RunFolder(path).finished and not force:
        yield RunFolder(path)
        return
    with _locked(path, wait):
        if force:
            _clear(path)
        for partial in path.glob(".*.partial*"):
            partial.unlink()
        begun_before = (path / RECIPE).is_file()
        if not begun_before:
            write_text(path / RECIPE, recipe.to_toml())
        seconds = path / STATE / "seconds.json"
        run = RunFolder(path, json.loads(seconds.read_text()) if seconds.exists() else {})
        try:
            yield run
        finally:
            if run.finished:
                shutil.rmtree(run.state, ignore_errors=True)
            elif not begun_before and not _has_made_something(path):
                _clear(path)
                shutil.rmtree(path, ignore_errors=True)


def check_kept(path: Path, recipe: Recipe, force: bool, source: Path | None = None) -> None:
    """Raise RecipeError where building by force would remove what the recipe reads, or itself.

    Raise RunFolderError where the path is a file, or a folder of something else than a run.
    A recipe file `source` that is just what a run would write again may lie there.
    """
    _check_place(path)
    named = [recipe.data.path, recipe.model.weights, recipe.quantize.calibration]
    if source and source.read_text(encoding="utf-8-sig") != load(source).to_toml():
        named.append(str(source))
    if force:
        check_cleared(path, (Path(source).expanduser() for source in named if source))


@contextmanager
def _locked(path: Path, wait: bool) -> Iterator[None]:
    """The folder, made if need be, for this process alone."""
    file = path / STATE / LOCK
    while True:
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            lock = file.open("w")
        except OSError as error:
            reason = error.strerror
            raise RunFolderError(f"{path}: cannot be used as output folder: {reason}") from error
        with lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
            except OSError as error:
                raise RunFolderError(f"{path}: another edgecv is building here") from error
            if file.exists() and file.stat().st_ino == os.fstat(lock.fileno()).st_ino:
                yield
                return  # else whoever had it before has removed the file with its folder


def _check_place(path: Path) -> None:
    """Take only an empty folder or a run's."""
    if not path.exists():
        return
    if not path.is_dir():
        raise RunFolderError(f"{path}: is a file; the output must be a folder")
    is_run = (path / RECIPE).is_file() or (path / STATE).is_dir()
    if any(path.iterdir()) and not is_run:
        raise RunFolderError(f"{path}: is not empty and holds no run; choose another with -o")


def _refuse_others(path: Path, recipe: Recipe, force: bool) -> None:
    """Take only this very recipe's run, or any by force."""
    if not force and (path / RECIPE).is_file() and load(path / RECIPE) != recipe:
        raise RunFolderError(
            f"{path}: holds a run of another recipe or other images;"
            " choose another folder with -o, or --force to build anew"
        )


def _has_made_something(path: Path) -> bool:
    """Whether there is more than what every run begins with."""
    begun = {RECIPE, "labels.txt", STATE, LOCK, "seconds.json"}
    return any(entry.name not in begun for entry in path.rglob("*"))


def _clear(path: Path) -> None:
    """Remove what a run's folder holds, but for the lock, which is held."""
    for entry in path.iterdir():
        if entry.name == STATE:
            _clear(entry)
        elif entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry)
        elif entry.name != LOCK:
            entry.unlink()
