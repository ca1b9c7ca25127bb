"""The archive that carries the demo to a board: edgecv's files that it needs, and nothing else."""

import zipfile
from collections.abc import Iterator
from pathlib import Path

from edgecv.files import sha256, write_atomically

PACKAGE = Path(__file__).parents[1]
PARTS = (
    *("__init__.py", "errors.py", "artifacts.py", "files.py", "progress.py", "recipe.py"),
    *("data/*.py", "tflite/*.py", "device/__init__.py", "device/conditions.py"),
    *("demo/*.py", "demo/*.html"),
)
START = PACKAGE / "demo" / "start.py"
LONG_AGO = (1980, 1, 1, 0, 0, 0)  # so that the same files make the same archive


def build(folder: Path) -> Path:
    """The archive, which Python runs as a program: in `folder`, named by its hash."""
    with write_atomically(folder / "demo.zip") as partial:
        with zipfile.ZipFile(partial, "w") as archive:
            for name, path in sorted(_members()):
                entry = zipfile.ZipInfo(name, LONG_AGO)
                archive.writestr(entry, path.read_bytes(), zipfile.ZIP_DEFLATED)
        named = folder / f"demo-{sha256(partial)[:16]}.zip"
    return (folder / "demo.zip").replace(named)


def _members() -> Iterator[tuple[str, Path]]:
    yield "__main__.py", START
    for pattern in PARTS:
        for path in PACKAGE.glob(pattern):
            yield f"edgecv/{path.relative_to(PACKAGE).as_posix()}", path
