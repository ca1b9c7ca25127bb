"""What a demo needs to know of a model file: found out where LiteRT is, used where it is not."""

import contextlib
import zipfile
from collections.abc import Sequence
from pathlib import Path

from edgecv.artifacts import CENTERED
from edgecv.demo.options import DemoModel
from edgecv.errors import DataError, DeviceError, UnsupportedModelError
from edgecv.tflite import flatbuffer, metadata, trial
from edgecv.tflite.ends import ends
from edgecv.tflite.label_file import label_lines, parse_labels

MOST_LABELS = 1 << 20  # bytes of a file of labels


def describe(paths: Sequence[Path], labels: Path | None = None) -> tuple[DemoModel, ...]:
    """The models in these files; `labels` is a file with a class a line, of all of them.

    Raises UnsupportedModelError when a file is no classifier of RGB images, DataError when there
    are more or fewer labels than scores.
    """
    given = label_lines(labels) if labels else ()
    names = _names(paths)
    return tuple(_described(path, name, given) for path, name in zip(paths, names, strict=True))


def survived(models: Sequence[DemoModel], runtime: str) -> None:
    """Raise UnsupportedModelError when a model that edgecv did not write crashes the runtime here.

    Where LiteRT is missing, nobody can say who wrote a model, and none is tried.
    """
    for each in models:
        with contextlib.suppress(DeviceError):
            if metadata.read(Path(each.path)) is None:
                trial.survived(Path(each.path), runtime)


def _described(path: Path, name: str, labels: tuple[str, ...]) -> DemoModel:
    try:
        tree = flatbuffer.read(path)
    except DeviceError:  # no LiteRT, so no schema to read it by: the interpreter will judge it
        return DemoModel(str(path.resolve()), name, labels or _labels(path))
    scores = int(ends(tree, str(path)).scores["shape"][-1])
    said = metadata.known(tree, str(path))
    normalization = said.normalization if said else metadata.stated(tree) or CENTERED
    labels = labels or (said.labels if said else ()) or _labels(path)
    if labels and len(labels) != scores:
        raise DataError(
            f"{path}: gives {scores} scores, but there are {len(labels)} labels;"
            " name the file of its own with --labels"
        )
    labels = labels or tuple(str(number) for number in range(scores))
    return DemoModel(str(path.resolve()), name, labels, said.crop if said else 1.0, normalization)


def _labels(path: Path) -> tuple[str, ...]:
    """The labels in the archive that follows a model in its file, or in labels.txt beside it."""
    try:
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                texts = [each for each in archive.infolist() if each.filename.endswith(".txt")]
                if texts and texts[0].file_size <= MOST_LABELS:
                    return parse_labels(archive.read(texts[0]), f"{path}: {texts[0].filename}")
    except (OSError, zipfile.BadZipFile, DataError, NotImplementedError) as error:
        raise UnsupportedModelError(f"{path}: the labels in it are damaged") from error
    beside = path.with_name("labels.txt")
    return label_lines(beside) if beside.is_file() else ()


def _names(paths: Sequence[Path]) -> list[str]:
    """What to call the models: their files' names, with the folder where those are equal."""
    stems = [path.stem for path in paths]
    if len(set(stems)) == len(stems):
        return stems
    return [f"{path.resolve().parent.name}/{path.stem}" for path in paths]
