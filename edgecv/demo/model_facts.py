"""The facts of a model file that a demo needs: read where LiteRT is, used where it is not."""

import contextlib
import json
from collections.abc import Sequence
from pathlib import Path

from edgecv.artifacts import Normalization
from edgecv.demo.options import DemoModel
from edgecv.errors import DeviceError
from edgecv.progress import QUIET, Progress
from edgecv.tflite import contract, labels, metadata, smoke_load
from edgecv.tflite.label_file import label_lines


def describe(
    paths: Sequence[Path],
    labels_file: Path | None = None,
    normalization: Normalization | None = None,
    progress: Progress = QUIET,
) -> tuple[DemoModel, ...]:
    """The models in these files; `labels_file` has a class a line, of all of them.

    Raises UnsupportedModelError when a file is no classifier of one image, DataError when there are
    more or fewer labels than classes. What has to be assumed is a warning.
    """
    asked = contract.Asked(normalization, label_lines(labels_file) if labels_file else ())
    names = _names(paths)
    return tuple(
        _described(path, name, asked, progress) for path, name in zip(paths, names, strict=True)
    )


def check_runs(models: Sequence[DemoModel], runtime: str) -> None:
    """Raise UnsupportedModelError when a model that edgecv did not write crashes the runtime here.

    Where LiteRT is missing, it is not known who wrote a model, and none is tried.
    """
    for model in models:
        with contextlib.suppress(DeviceError):
            if metadata.read(Path(model.path)) is None:
                smoke_load.load_in_child(Path(model.path), runtime)


def _described(path: Path, name: str, asked: contract.Asked, progress: Progress) -> DemoModel:
    file = str(path.resolve())
    try:
        said = contract.read(path, asked)
    except DeviceError:  # no LiteRT, so no schema to read it by: the interpreter will judge it
        beside = labels.search({contract.FLAG: asked.labels}, (), path, 0)
        return DemoModel(file, name, beside.names, normalization=asked.normalization)
    said.output.check_labels(str(path))
    said.image.check_flags()
    for warning in said.image.warnings(path.name):
        progress.warn(warning)
    numbers = tuple(str(number) for number in range(said.output.classes))
    classes = said.output.labels or numbers
    image, facts = said.image, _facts(path, said, len(classes))
    return DemoModel(file, name, classes, image.crop, image.normalization, facts)


def _facts(path: Path, said: contract.Contract, classes: int) -> str:
    """`mobilenet_v1, 301 kB, uint8 96 × 96, 10 classes, trained on signs`: what is known of it."""
    image = said.image
    facts = [
        said.arch,
        f"{path.stat().st_size / 1000:,.0f} kB",
        f"{image.grid.dtype} {image.width} × {image.height}",
        f"{classes} classes",
        _data(path),
    ]
    return ", ".join(fact for fact in facts if fact)


def _data(path: Path) -> str:
    """What a run's model was trained on, as the report beside it says; "" of other files."""
    try:
        report = json.loads((path.parent / "report.json").read_text(encoding="utf-8"))
        own = path.name in [file["path"] for file in report["files"].values()]
        return f"trained on {report['data']['name']}" if own else ""
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        return ""


def _names(paths: Sequence[Path]) -> list[str]:
    """Names for the models: of their files, with the folder where those are equal."""
    stems = [path.stem for path in paths]
    if len(set(stems)) == len(stems):
        return stems
    return [f"{path.resolve().parent.name}/{path.stem}" for path in paths]
