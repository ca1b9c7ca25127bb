"""calibration.json: what a model's ranges were taken from."""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from edgecv import files
from edgecv.artifacts import Range


def write_manifest(
    path: Path,
    rows: Iterable[Mapping[str, str]],
    seed: int,
    preprocessing: Mapping[str, Any],
    ranges: Mapping[str, Range],
) -> Path:
    """Write the representative dataset, a row of file and sha256 each, and every tensor's range."""
    manifest = {
        "files": [dict(row) for row in rows],
        "seed": seed,
        "preprocessing": dict(preprocessing),
        "ranges": {tensor: list(each) for tensor, each in ranges.items()},
    }
    return files.write_text(path, json.dumps(manifest, indent=1) + "\n")


def read_ranges(path: Path) -> dict[str, Range]:
    """The range of each tensor, as a manifest of ours holds them."""
    ranges = json.loads(path.read_text(encoding="utf-8"))["ranges"]
    return {tensor: Range(*each) for tensor, each in ranges.items()}
