"""The inputs that each stage's result depends on, hashed for the stage cache.

A stage depends on the code that it runs, which is its module here and all that this imports; on
the libraries that it runs on; on its options; and on the files that it reads, as their hashes,
wherever they lie.
"""

import ast
import dataclasses
import hashlib
import importlib.metadata
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from edgecv.device import description
from edgecv.files import sha256
from edgecv.recipe import RUNTIMES, Recipe

PACKAGE, HERE = Path(__file__).parents[1], Path(__file__).parent.name
STAGES = {  # the module, in this package, that makes a stage's files
    "train": "train",
    "prune": "prune",
    "qat": "train",
    "convert": "convert",
    "quantize": "quantize",
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
        "sources": [sha256(source) for source in sources],
        **OPTIONS[stage](recipe),
    }


@cache
def code(stage: str, package: Path = PACKAGE) -> str:
    """The hash of a stage's source files, names included."""
    whole = hashlib.sha256()
    for file in source_files(stage, package):
        whole.update(f"{file.relative_to(package)} {sha256(file)}\n".encode())
    return whole.hexdigest()


def source_files(stage: str, package: Path = PACKAGE) -> list[Path]:
    """The stage's module in `package`, edgecv's, and every file that it may import, anywhere.

    A package is taken whole, for it may import its own files by name; this one, file by file.
    """
    reached: dict[Path, None] = {}
    waiting = [package / HERE / f"{STAGES[stage]}.py"]
    while waiting:
        file = waiting.pop()
        if file not in reached:
            reached[file] = None
            waiting += _imported(file, package)
    return sorted(reached)


@cache
def _imported(file: Path, package: Path) -> tuple[Path, ...]:
    """The files of edgecv that a file imports, anywhere in it."""
    nodes = ast.walk(ast.parse(file.read_bytes()))
    imports = [node for node in nodes if isinstance(node, ast.ImportFrom)]
    paths = [f"{node.module}.{name.name}".split(".") for node in imports for name in node.names]
    inside = [names for top, *names in paths if top == "edgecv"]
    return tuple(dict.fromkeys(file for names in inside for file in _files(names, package)))


def _files(names: Sequence[str], package: Path) -> Iterator[Path]:
    """The files that `edgecv.a.b.c` stands for: one of ours, or the whole package `a`."""
    room, *inside = names
    if room == HERE:
        yield from (package / room / f"{name}.py" for name in inside[:1])
    elif (package / room).is_dir():
        yield from (file for file in (package / room).rglob("*.py"))
    elif (package / f"{room}.py").is_file():
        yield package / f"{room}.py"


@cache
def libraries() -> Mapping[str, str]:
    """The versions of what stages run on; those that are not installed are left out."""
    versions = {}
    for name in LIBRARIES:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return versions


def _model(recipe: Recipe) -> dict[str, Any]:
    """The shape; weights by their hash, where they are a file's."""
    options = dataclasses.asdict(recipe.model)
    return options | ({"weights": "file"} if options["sha256"] else {})


def _data(recipe: Recipe) -> dict[str, Any]:
    """The images by their hash; the built-in ones are code."""
    options = {
        key: value for key, value in dataclasses.asdict(recipe.data).items() if key != "path"
    }
    return {"data": options, "images_per_epoch": recipe.train.images_per_epoch}


def _training(recipe: Recipe) -> dict[str, Any]:
    """The schedule, without what comes after it."""
    table = dataclasses.asdict(recipe.train)
    return _data(recipe) | {"train": {k: v for k, v in table.items() if not k.startswith("qat")}}


def _pruning(recipe: Recipe) -> dict[str, Any]:
    """The budget; of one in milliseconds, also where and how they are measured."""
    options = _training(recipe) | {"prune": dataclasses.asdict(recipe.prune)}
    if recipe.prune.latency_ms is None:
        return options
    device = description.find(recipe.prune.device)
    return options | {"profile": dataclasses.asdict(recipe.profile), "device": device.to_toml()}


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
    for file in sorted(path for path in folder.rglob("*") if path.is_file()):
        whole.update(f"{file.relative_to(folder)} {sha256(file)}\n".encode())
    return whole.hexdigest()
