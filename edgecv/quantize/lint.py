"""What the float model itself says against a calibration set: scale of pixels, answers, ranges."""

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from edgecv.artifacts import CENTERED, Normalization, Range, TFLiteModel
from edgecv.progress import QUIET
from edgecv.quantize.activations import Image
from edgecv.quantize.calibrate import observed
from edgecv.quantize.ranges import NARROWEST
from edgecv.tflite import flatbuffer, runtime

Floats = npt.NDArray[np.float64]
Scores = npt.NDArray[np.float32]
Images = npt.NDArray[np.uint8]
JUDGED = 24  # images that the pixels' scale is judged on
FEWEST = 8  # with fewer, answers are not judged
SCALES = {  # of pixels, that models in the wild are trained on
    "[-1, 1]": CENTERED,
    "[0, 1]": Normalization((0.0, 0.0, 0.0), (255.0, 255.0, 255.0)),
    "[0, 255]": Normalization((0.0, 0.0, 0.0), (1.0, 1.0, 1.0)),
}
# How little of what a model says of photographs at its best scale makes the given one suspect.
# More contrast makes most networks surer, whether right or wrong: that less of it makes one surer
# means something (five ImageNet models of [0, 1] say 0.32 to 0.70 at [-1, 1], but SqueezeNet, which
# no norm or clip bounds), that more of it does only where nothing is said without (0.00 to 0.01).
SUSPECT, SUSPECT_OF_LESS = 0.72, 0.05
HALF = 16  # images whose ranges are compared with as many others
TAIL = 1e-3  # of the values, left out at either end
IN_TAIL = 10  # values at least; smaller tensors are not compared
APART = 0.4  # of the common range; photographs have 0.36 at most from 10 on, and 0.23 from 40


def model_warnings(model: TFLiteModel, images: Sequence[Image]) -> list[str]:
    """What is suspicious about a float model's behaviour on its calibration images."""
    some, interpreter = np.stack(images[:JUDGED]), runtime.load(model.path)
    scores = runtime.run(interpreter, some, model.normalization)
    judged: list[str] = []
    if len(some) >= FEWEST and scores.shape[1] > 1:
        judged = [*_scale(model, some, scores, interpreter), *_one_answer(model, scores)]
    return judged + _halves(model, images)


def information(scores: Scores) -> tuple[float, float]:
    """How much answers [images, classes] tell of the images, in nats, and how sure they are.

    The first is the mutual information: sure answers to each image, and others to other images.
    """
    chances = scores.astype(float)
    if chances.min() < 0 or np.abs(chances.sum(1) - 1).max() > 0.02:
        chances = np.exp(chances - chances.max(1, keepdims=True))
        chances /= chances.sum(1, keepdims=True)
    told = _entropy(chances.mean(0)) - float(np.mean([_entropy(each) for each in chances]))
    return told, float(chances.max(1).mean())


def _entropy(chances: Floats) -> float:
    return float(-(chances * np.log(np.maximum(chances, 1e-12))).sum())


def _scale(
    model: TFLiteModel, images: Images, scores: Scores, interpreter: runtime.Interpreter
) -> list[str]:
    """Whether the model says much more than `scores` when pixels reach it at another scale."""
    given = math.prod(information(scores))
    for name, (mean, std) in SCALES.items():
        said = math.prod(information(runtime.run(interpreter, images, Normalization(mean, std))))
        less = std[0] >= model.normalization.std[0]
        if given < said * (SUSPECT if less else SUSPECT_OF_LESS):
            return [
                f"{model.path.name}: seems to expect pixels in {name}, and is given others;"
                f" try --mean {mean[0]:g} --std {std[0]:g}"
            ]
    return []


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
    lows = sorted(min(each.low, 0.0) for each in (one, other))
    highs = sorted(max(each.high, 0.0) for each in (one, other))
    whole, common = highs[1] - lows[0], highs[0] - lows[1]
    return 1 - common / whole if whole > NARROWEST else 0.0
