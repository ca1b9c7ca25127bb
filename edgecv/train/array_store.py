"""Groups of arrays in one file, to resume interrupted work: no pickles."""

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from edgecv.files import write_bytes

Groups: TypeAlias = Mapping[str, Sequence[NDArray[Any]]]


def save_arrays(path: Path, groups: Groups) -> None:
    """Write groups of arrays whole, in order."""
    arrays = {
        f"{name}.{place:05}": array
        for name, group in groups.items()
        for place, array in enumerate(group)
    }
    archive = io.BytesIO()
    np.savez(archive, **arrays)
    write_bytes(path, archive.getvalue())


def load_arrays(path: Path) -> dict[str, list[NDArray[Any]]]:
    """The groups that `save_arrays` wrote; those without arrays are left out."""
    groups: dict[str, list[NDArray[Any]]] = {}
    with np.load(path, allow_pickle=False) as file:
        for name in sorted(file.files):
            groups.setdefault(name.partition(".")[0], []).append(file[name])
    return groups
