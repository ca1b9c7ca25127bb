"""What each stage's result depends on, and nothing else: the inputs of the stage cache.

A stage depends on the code that it runs, as the hash of its packages; on the libraries that it
runs on; on its options; and on the files that it reads, as their hashes, wherever they lie.
"""

import dataclasses
import hashlib
import importlib.metadata
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from edgecv.files import sha256
from edgecv.recipe import RUNTIMES, Recipe

HERE = Path(__file__).parents[1]
CODE = {  # packages whose code decides what a stage makes
    "train": ("train", "models", "data"),
    "prune": ("prune", "pipeline/prune.py", "train", "models", "data"),
    "qat": ("train", "models", "data"),
    "convert": ("convert", "models", "tflite"),
    "quantize": ("quantize", "tflite", "data"),
}
LIBRARIES = (
    *("tensorflow", "tf_keras", "numpy", "opencv-python"),
    *(runtime.distribution for runtime in RUNTIMES.values()),
)


def inputs(
    stage: str, recipe: Recipe, labels: Sequence[str], sources: Sequence[Path] = ()
) -> dict[str, Any]:
    """Everything that a stage's files depend on; `sources` are the files that it reads."""
    return {
        "code": code(stage),
        "libraries": libraries(),
        "labels": list(labels),
        "seed": recipe.seed,
        "model": _model(recipe),
        "sources": [sha256(each) for each in sources],
        **OPTIONS[stage](recipe),
    }


@cache
def code(stage: str) -> str:
    """The hash of a stage's source files, names included."""
    whole = hashlib.sha256()
    for name in CODE[stage]:
        path = HERE / name
        for file in sorted(path.rglob("*.py")) if path.is_dir() else [path]:
            whole.update(f"{file.relative_to(HERE)} {sha256(file)}\n".encode())
    return whole.hexdigest()


@cache
def libraries() -> Mapping[str, str]:
    """The versions of what stages run on; those that are not installed are left out."""
    found = {}
    for name in LIBRARIES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def _model(recipe: Recipe) -> dict[str, Any]:
    """The shape; weights by their hash, where they are a file's."""
    options = dataclasses.asdict(recipe.model)
    return options | ({"weights": "file"} if options["sha256"] else {})


def _data(recipe: Recipe) -> dict[str, Any]:
    """The images by their hash; the built-in ones are code."""
    known = {key: value for key, value in dataclasses.asdict(recipe.data).items() if key != "path"}
    return {"data": known, "images_per_epoch": recipe.train.images_per_epoch}


def _training(recipe: Recipe) -> dict[str, Any]:
    """The schedule, without what comes after it."""
    table = dataclasses.asdict(recipe.train)
    return _data(recipe) | {"train": {k: v for k, v in table.items() if not k.startswith("qat")}}


def _pruning(recipe: Recipe) -> dict[str, Any]:
    return _training(recipe) | {"prune": dataclasses.asdict(recipe.prune)}


def _qat(recipe: Recipe) -> dict[str, Any]:
    return _pruning(recipe) | {"qat_epochs": recipe.train.qat_epochs}


def _converting(recipe: Recipe) -> dict[str, Any]:
    return {"crop": recipe.data.crop}


def _quantizing(recipe: Recipe) -> dict[str, Any]:
    options = dataclasses.asdict(recipe.quantize)
    if options["calibration"]:
        options["calibration"] = folder_hash(Path(options["calibration"]))
    return _data(recipe) | {"quantize": options}


OPTIONS = {
    "train": _training,
    "prune": _pruning,
    "qat": _qat,
    "convert": _converting,
    "quantize": _quantizing,
}


def folder_hash(folder: Path) -> str:
    """The hash of a folder's files: names, as seen from it, and contents."""
    whole = hashlib.sha256()
    for file in sorted(each for each in folder.rglob("*") if each.is_file()):
        whole.update(f"{file.relative_to(folder)} {sha256(file)}\n".encode())
    return whole.hexdigest()
