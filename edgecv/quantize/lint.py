"""Checks of calibration images by the float model: its answers, its ranges."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from edgecv.artifacts import Range, TFLiteModel
from edgecv.progress import QUIET
from edgecv.quantize.activations import Image
from edgecv.quantize.calibrate import observed
from edgecv.quantize.ranges import NARROWEST
from edgecv.tflite import contract, flatbuffer, runtime

Scores = npt.NDArray[np.float32]
JUDGED = 24  # images whose answers are looked at
FEWEST = 8  # with fewer, answers are not judged
HALF = 16  # images whose ranges are compared with as many others
TAIL = 1e-3  # of the values, left out at either end
IN_TAIL = 10  # values at least; smaller tensors are not compared
APART = 0.4  # of the common range; photographs have 0.36 at most from 10 on, and 0.23 from 40


def model_warnings(model: TFLiteModel, images: Sequence[Image]) -> list[str]:
    """Warnings about a float model's answers and ranges on its calibration images."""
    said, some = contract.read(model.path), np.stack(images[:JUDGED])
    judged: list[str] = []
    if len(some) >= FEWEST and said.output.is_of_classes:
        interpreter, taken = runtime.load(model.path), said.image.normalization
        real = runtime.run(interpreter, some, taken)
        judged = _one_answer(model, said.output.of_each_class(real))
    return judged + _halves(model, images)


def _one_answer(model: TFLiteModel, scores: Scores) -> list[str]:
    """Whether the model takes all images for the same thing."""
    answers = set(scores.argmax(1).tolist())
    if len(answers) > 1:
        return []
    return [
        f"{model.path.name}: gives {len(scores)} calibration images the same answer,"
        f" class {answers.pop()}; they should be of all classes"
    ]


def _halves(model: TFLiteModel, images: Sequence[Image]) -> list[str]:
    """Whether two halves of the images would set very different ranges."""
    some = images[: 2 * HALF]
    if len(some) < 2:
        return []
    flat = flatbuffer.read(model.path)
    even, odd = (observed(flat, some[start::2], QUIET, str(model.path)) for start in (0, 1))
    apart = {
        name: distance(even[name].without_tails(TAIL), odd[name].without_tails(TAIL))
        for name in even
        if TAIL * min(even[name].counts.sum(), odd[name].counts.sum()) >= IN_TAIL
    }
    if not apart:
        return []
    worst = max(apart, key=lambda name: apart[name])
    if apart[worst] <= APART:
        return []
    return [
        f"{model.path.name}: two halves of the calibration images disagree on ranges, by"
        f" {apart[worst]:.0%} on {worst}; more images, or more alike the camera's, are needed"
    ]


def distance(one: Range, other: Range) -> float:
    """The share of two ranges' union, zero in both, that is not common to them."""
    lows = sorted(min(ends.low, 0.0) for ends in (one, other))
    highs = sorted(max(ends.high, 0.0) for ends in (one, other))
    whole, common = highs[1] - lows[0], highs[0] - lows[1]
    return 1 - common / whole if whole > NARROWEST else 0.0
