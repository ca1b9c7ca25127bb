"""meet_budget(): quantize with ever more effort, then with more layers left float, to a budget.

A layer that int8 cannot carry stays float, not int16: TensorFlow's quantizer makes all of a model
int16 or nothing of it, LiteRT refuses what it then makes (int32 biases where the int16 kernels want
int64), and XNNPACK has float kernels but none for int16.
"""

import shutil
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from edgecv.artifacts import TFLiteModel
from edgecv.data.labeled import LabeledFolder
from edgecv.evaluate.accuracy import evaluate
from edgecv.files import write_atomically
from edgecv.pipeline.quantize import Quantization, set_input
from edgecv.profile import profile
from edgecv.progress import Progress
from edgecv.quantize.engine import Prepared, Quantized, Stages, finish, prepare
from edgecv.quantize.sensitivity import Sensitivity
from edgecv.recipe import ProfileOptions
from edgecv.tflite.contract import ImageInput

MOST_FLOAT = 0.5  # of the layers; with more, it is the float model that should be shipped


class Preset(NamedTuple):
    """The corrections of an attempt, before any layer stays float."""

    name: str
    tuned: bool  # ranges by the recipe's method, else minimum and maximum
    stages: Stages


PRESETS = (
    Preset("minmax", False, Stages(equalize=False, correct=False)),
    Preset("ranges", True, Stages(equalize=False, correct=False)),
    Preset("+ equalize", True, Stages(correct=False)),
    Preset("+ correct", True, Stages(round=False)),
    Preset("+ round", True, Stages()),
)


@dataclass(frozen=True)
class Validation:
    """The labeled images that a drop is measured on, as the model sees them."""

    images: LabeledFolder
    taken: ImageInput

    def judge(
        self, reference: TFLiteModel, candidate: TFLiteModel | None, progress: Progress
    ) -> dict[str, Any]:
        """The accuracy of a float model and its int8 twin (see `evaluate`)."""
        samples, labels = self.images.samples(self.taken), self.images.labels
        name = str(self.images.root)
        return evaluate(reference, candidate, samples, labels, name, progress).accuracy


class Attempt(NamedTuple):
    """The costs and the accuracy of one way of quantizing."""

    name: str
    top1: float
    drop: float  # percent points of top-1 below the float model
    agreement: float
    bytes: int
    seconds: float  # to make it, from the attempt before
    p50_ms: float  # on this machine, one thread
    float_layers: list[str]


@dataclass(frozen=True)
class BudgetResult:
    """All attempts, the best one, and its file."""

    attempts: list[Attempt]  # cheapest first
    best: Attempt
    kept: Quantized
    max_drop: float  # the budget

    @property
    def met(self) -> bool:
        """Whether the best one keeps within the budget."""
        return self.best.drop <= self.max_drop

    def to_dict(self) -> dict[str, Any]:
        """The attempts as JSON has them."""
        return {
            "max_drop": self.max_drop,
            "met": self.met,
            "best": self.best.name,
            "rungs": [attempt._asdict() for attempt in self.attempts],
        }


def meet_budget(
    work: Quantization, path: Path, validation: Validation, max_drop: float
) -> BudgetResult:
    """Write the first int8 twin that loses at most `max_drop` points, or else the best, to `path`.

    Raises DataError and UnsupportedModelError before any attempt when the labeled images misfit.
    """
    validation.judge(work.source, None, work.progress)
    attempts: list[Attempt] = []
    best: tuple[Attempt, Quantized] | None = None
    with tempfile.TemporaryDirectory() as folder:
        start = time.monotonic()
        for name, made, floats in _made(work, Path(folder) / "attempt.tflite"):
            seconds = time.monotonic() - start
            attempt = _measured(name, made.file, floats, seconds, validation, work)
            work.progress.line(describe_attempt(attempt))
            attempts.append(attempt)
            if best is None or (attempt.drop, -attempt.agreement) < (
                best[0].drop,
                -best[0].agreement,
            ):
                best = attempt, made
                with write_atomically(path) as partial:
                    shutil.copyfile(made.file.path, partial)
            if attempt.drop <= max_drop:
                break
            start = time.monotonic()
    assert best is not None  # noqa: S101
    return BudgetResult(attempts, *best, max_drop)


def describe_attempt(attempt: Attempt) -> str:
    """An attempt in one line."""
    floats = f"  float: {', '.join(attempt.float_layers)}" if attempt.float_layers else ""
    return (
        f"{attempt.name:<12} drop {attempt.drop:5.2f} points  top-1 {attempt.top1:.1%}"
        f"  same answer {attempt.agreement:.1%}  {attempt.bytes / 1e6:.2f} MB"
        f"  {attempt.p50_ms:.2f} ms  made in {attempt.seconds:.0f} s{floats}"
    )


def _made(work: Quantization, path: Path) -> Iterator[tuple[str, Quantized, list[Sensitivity]]]:
    """One int8 twin after the other, all at `path`, with the layers that stayed float."""
    options, images, progress = work.recipe.quantize, work.calibration.images, work.progress
    prepared: dict[tuple[str, bool], Prepared] = {}
    seen, coral = set(), options.target == "coral"
    for name, tuned, corrections in PRESETS:
        stages = corrections._replace(dense_per_tensor=coral)
        key = options.method if tuned else "minmax", stages.equalize
        if (key, stages) in seen:
            continue
        seen.add((key, stages))
        if key not in prepared:
            prepared = {key: prepare(work.source, images, key[0], progress, stages)}
        last = prepared[key]
        made = finish(last, images, path, options.output, progress, stages)
        set_input(path, options)
        yield name, made, []
    if coral:
        return  # a layer in float would end the part on the Edge TPU
    layers = work.rank_layers(last.flat, path)
    count = 1
    while count <= MOST_FLOAT * len(layers):
        floats = layers[:count]
        stages = Stages(floats=frozenset(layer.tensor for layer in floats))
        made = finish(last, images, path, options.output, progress, stages)
        set_input(path, options)
        yield f"+ {count} float", made, floats
        count *= 2


def _measured(
    name: str,
    made: TFLiteModel,
    floats: Sequence[Sensitivity],
    seconds: float,
    validation: Validation,
    work: Quantization,
) -> Attempt:
    """The figures of an attempt."""
    reference = work.source
    judgment = validation.judge(reference, made, work.progress)
    top1 = {scheme: judgment[scheme]["top1"] for scheme in (reference.scheme, made.scheme)}
    return Attempt(
        name,
        top1[made.scheme],
        round(100 * (top1[reference.scheme] - top1[made.scheme]), 4),
        judgment["agreement"],
        made.path.stat().st_size,
        round(seconds, 2),
        profile(made, ProfileOptions(), progress=work.progress)["p50_ms"],
        [layer.layer for layer in floats],
    )
