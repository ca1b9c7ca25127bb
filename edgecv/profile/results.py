"""Measurements in files, as `edgecv profile` keeps them and `edgecv check` reads them."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from edgecv.errors import RunFolderError
from edgecv.files import write_text

Entry = Mapping[str, Any]  # of report.json's `latency`
KEY = ("model", "device", "threads", "runtime", "delegate")
NEEDED = (*KEY, "p50_ms", "ci_low_ms", "ci_high_ms", "valid", "context")


def results_path(model: Path, device: str) -> Path | None:
    """Where measurements of a run's model are kept: beside its report; None for other models."""
    folder = model.parent
    return folder / f"latency_{device}.json" if (folder / "report.json").is_file() else None


def write(path: Path, entries: Sequence[Entry]) -> Path:
    """Write entries, every sample with them, in place of what the file held."""
    return write_text(path, json.dumps({"latency": entries}, indent=1) + "\n")


def keep(path: Path, entries: Sequence[Entry]) -> Path:
    """Add entries to a file, in place of earlier ones of the same variant."""
    new = {tuple(entry[key] for key in KEY) for entry in entries}
    before = read(path) if path.exists() else []
    others = [entry for entry in before if tuple(entry[key] for key in KEY) not in new]
    return write(path, [*others, *entries])


def read(path: Path) -> list[Entry]:
    """The entries of a file. Raises RunFolderError when it is no such file."""
    try:
        entries = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise RunFolderError(f"{path}: not readable measurements: {error}") from error
    rows = entries.get("latency") if isinstance(entries, dict) else None
    if not isinstance(rows, list):
        raise RunFolderError(f"{path}: latency: must be a list, got {type(rows).__name__}")
    for row in rows:
        missing = [key for key in NEEDED if not isinstance(row, dict) or key not in row]
        if missing:
            raise RunFolderError(f"{path}: latency: keys missing: {', '.join(missing)}")
    return rows


def read_kept(run: Path) -> list[Entry]:
    """The latencies of a run's models that were measured since it was built."""
    return [entry for path in sorted(run.glob("latency_*.json")) for entry in read(path)]
