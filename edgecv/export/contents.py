"""The contents of an export: a run's labels, and the very model that its report is of."""

from pathlib import Path

from edgecv.artifacts import Report
from edgecv.errors import RecipeError, RunFolderError
from edgecv.files import sha256
from edgecv.report import figures
from edgecv.tflite import flatbuffer


def check_run(run: Path) -> None:
    """Raise RunFolderError where `run` is a model's file, or a SavedModel, and no run's folder."""
    if run.is_file() or (run / flatbuffer.SAVED_MODEL).is_file():
        raise RunFolderError(
            f"{run}: is a model and no run folder, which edgecv build makes; a Keras file or a"
            f" SavedModel is no .tflite: {flatbuffer.convert_command(str(run))}"
        )


def model(run: Path, result: Report, scheme: str | None) -> tuple[str, Path]:
    """The scheme, the run's own if None, and its file.

    Raises RecipeError when there is no such scheme, RunFolderError when the file is another one
    than was measured.
    """
    try:
        scheme = scheme or figures.final_scheme(result)
        if scheme not in result.files:
            raise RecipeError(f"--scheme: must be {' | '.join(result.files)}, got {scheme!r}")
        path, wanted = run / result.files[scheme]["path"], result.files[scheme]["sha256"]
    except (LookupError, TypeError, AttributeError) as error:
        raise RunFolderError(f"{run}: report.json: files: names no model") from error
    try:
        same = sha256(path) == wanted
    except OSError as error:
        raise RunFolderError(f"{path}: cannot be read: {error.strerror}") from error
    if not same:
        raise RunFolderError(
            f"{path}: is another file than report.json is of; edgecv build the run anew"
        )
    return scheme, path


def labels(run: Path) -> list[str]:
    """The class names, in the order of the scores. Raises RunFolderError."""
    path = run / "labels.txt"
    try:
        return path.read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise RunFolderError(f"{path}: cannot be read: {reason}") from error
