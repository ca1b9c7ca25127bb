"""Any Keras file or SavedModel as a float .tflite of batch 1, and the proof that it is the same."""

import atexit
import shutil
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from edgecv.artifacts import CENTERED, Normalization
from edgecv.convert.saved_graph import check_graph
from edgecv.convert.source_kinds import KERAS, TFLITE, kind_of
from edgecv.errors import DataError, UnsupportedModelError
from edgecv.files import write_atomically
from edgecv.progress import QUIET, Progress
from edgecv.tflite import contract, flatbuffer, metadata, runtime

Pixels: TypeAlias = NDArray[np.float32]
CHECKED_IMAGES = 4
# Of the largest answer. Float32 summed in another order differs by some 1e-6 of it; a layer that
# means something else, by more than a hundredth.
MAX_DIFFERENCE = 1e-3


class Converted(NamedTuple):
    """A float .tflite, what it was made from, and how far the two differ."""

    path: Path
    kind: str  # Keras or SavedModel
    image: tuple[int, ...]  # [1, height, width, channels]
    scores: tuple[int, ...]
    ends_in: str  # softmax, sigmoid ..., as far as the file says it
    normalization: Normalization | None  # of pixels, to what goes in; None: not known
    labels: tuple[str, ...]
    difference: float  # largest of any score, on random images
    largest: float  # the largest score there

    def to_json(self) -> dict[str, Any]:
        """As `edgecv convert --json` prints it."""
        table = {**self._asdict(), "path": str(self.path), "bytes": self.path.stat().st_size}
        if self.normalization:
            table["normalization"] = self.normalization._asdict()
        return table


class SourceModel(NamedTuple):
    """A model in TensorFlow, and how it becomes a .tflite."""

    write: Callable[[Path], Any]
    answer: Callable[[Pixels], Pixels]  # of pixels of 0..255 where it scales them itself
    scale: Normalization | None  # that it did itself, and the .tflite does not
    image: tuple[int, ...]
    ends_in: str = ""
    inside: Normalization | None = None  # before what the .tflite does to pixels itself


def check_source(model: Path, normalization: Normalization | None = None) -> str:
    """The kind of a file that can be converted, checked as far as TensorFlow is not needed.

    Raises UnsupportedModelError, naming what edgecv does not take, or WeightsError; the first, too,
    where a `normalization` is named for a model that scales pixels itself.
    """
    kind = kind_of(model)
    if kind == TFLITE:
        raise UnsupportedModelError(f"{model}: is a .tflite already; edgecv quantize takes it")
    if kind == KERAS:
        from edgecv.models import foreign

        check_scale(model, foreign.read(model).scale, normalization)
    else:
        check_graph(model)
    return kind


def convert_file(
    model: Path,
    out: Path,
    labels: tuple[str, ...] = (),
    normalization: Normalization | None = None,
    side: int | None = None,
) -> Converted:
    """Write a Keras file or a SavedModel to `out` as a float .tflite of batch 1.

    `normalization` is what pixels go through before they enter the model, where it does not say so
    itself; `side` is of its square image, where it takes any. Raises as `check_source`, and
    UnsupportedModelError when the .tflite does not give the same answers.
    """
    kind = check_source(model, normalization)
    source = _source(model, kind, side)
    check_scale(model, source.scale, normalization)
    with write_atomically(out) as partial:
        source.write(partial)
        scale = source.scale or normalization or source.inside or _of_operators(partial)
        scores, difference, largest = _compared(source, partial, scale)
        if not difference <= MAX_DIFFERENCE * max(1.0, largest):
            raise UnsupportedModelError(
                f"{model}: its .tflite gives other answers: they differ by {difference:.2g} where"
                f" the largest is {largest:.2g}; please report the model"
            )
        check_labels(labels, scores[-1], str(model))
        _describe(partial, labels, scale)
    facts = (kind, source.image, scores, source.ends_in, scale, labels)
    return Converted(out, *facts, difference, largest)


def _source(model: Path, kind: str, side: int | None) -> SourceModel:
    if kind == KERAS:
        from edgecv.convert import keras_file

        return keras_file.source_of(model, side)
    from edgecv.convert import saved_model

    return saved_model.source_of(model, side)


def as_tflite(path: Path, progress: Progress = QUIET) -> Path:
    """A .tflite for any model file: itself, or one that is made of it and lives as long as edgecv.

    What is neither a Keras file nor a SavedModel comes back as it is. Raises as `convert_file`.
    """
    if not is_source(path):
        return path
    from edgecv.models.tensorflow import import_tensorflow

    check_source(path)
    import_tensorflow()
    folder = Path(tempfile.mkdtemp(prefix="edgecv-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    made = convert_file(path, folder / f"{path.stem}.tflite")
    scale = (
        describe_scale(made.normalization)
        if made.normalization
        else "pixels of a scale it does not say"
    )
    progress.line(f"{path}: converted to a float .tflite that takes {scale}")
    return made.path


def is_source(path: Path) -> bool:
    """Whether a path names a Keras file or a SavedModel."""
    try:
        return kind_of(path) != TFLITE
    except UnsupportedModelError:
        return False


def check_models(models: Iterable[Path], normalization: Normalization | None = None) -> None:
    """Raise EdgecvError where a file is no model that can be used. Needs no TensorFlow."""
    for path in models:
        if is_source(path):
            check_source(path, normalization)
        else:
            flatbuffer.read_to_look_at(path)


def check_scale(
    model: Path, scale: Normalization | None, normalization: Normalization | None
) -> None:
    """Raise UnsupportedModelError where pixels would be scaled by flags and by the model."""
    if scale and normalization:
        raise UnsupportedModelError(
            f"{model}: scales pixels itself ({describe_scale(scale)} go in behind that);"
            " leave --mean and --std out"
        )


def check_labels(labels: tuple[str, ...], scores: int, model: str) -> None:
    """Raise DataError unless there is a label for each score; one score is of two classes."""
    if labels and len(labels) not in (scores, 2 if scores == 1 else scores):
        raise DataError(f"--labels: {len(labels)} labels, where {model} gives {scores} scores")


def _of_operators(tflite: Path) -> Normalization | None:
    """The normalization that a .tflite's first operators state, if they do."""
    image = contract.read_model(flatbuffer.read(tflite), tflite.name).image
    return image.normalization if image.origin == contract.OPERATORS else None


def _compared(
    source: SourceModel, tflite: Path, scale: Normalization | None
) -> tuple[tuple[int, ...], float, float]:
    """The shape of the scores; on random images, their largest difference and largest value."""
    interpreter = runtime.load(tflite.read_bytes())
    (entry,), (end, *_) = interpreter.get_input_details(), interpreter.get_output_details()
    rng, differences, largest = np.random.default_rng(0), [0.0], [0.0]
    for _ in range(CHECKED_IMAGES):
        pixels = rng.uniform(0, 255, source.image).astype(np.float32)
        mean, std = (np.array(values[: pixels.shape[-1]]) for values in scale or CENTERED)
        inputs = ((pixels - mean) / std).astype(np.float32)
        if source.scale is None:  # what goes into the one goes into the other
            pixels = inputs
        interpreter.set_tensor(entry["index"], inputs)
        interpreter.invoke()
        scores, answers = interpreter.get_tensor(end["index"]), source.answer(pixels)
        differences.append(float(np.abs(scores - answers.reshape(scores.shape)).max()))
        largest.append(float(np.abs(answers).max()))
    return tuple(map(int, end["shape"])), float(np.max(differences)), max(largest)


def _describe(tflite: Path, labels: tuple[str, ...], scale: Normalization | None) -> None:
    """Write metadata into a .tflite; no scale of pixels where it is not known."""
    if scale:
        metadata.attach(tflite, metadata.Metadata(labels, normalization=scale))
    elif labels:
        metadata.attach_labels(tflite, labels)


def describe_scale(scale: Normalization) -> str:
    """A scale of pixels as people say it."""
    (mean, *means), (std, *stds) = scale
    if {mean} == set(means) and {std} == set(stds):
        low, high = (0 - mean) / std, (255 - mean) / std
        return f"pixels in [{low:g}, {high:g}]"
    return "pixels less {}, by {}".format(
        *(", ".join(f"{v:g}" for v in values) for values in scale)
    )
