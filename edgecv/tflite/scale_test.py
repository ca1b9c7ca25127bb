"""Which of the usual scales of pixels a model was trained on, tested on images.

With labels, the scale under which they are likeliest. Without, the one under which the model says
the same of an image and of a closer look at it, and something else of other images: a network that
is shown pixels of another contrast or offset grows sure or unsure of everything, but does not agree
with itself. With 96 photographs, of SqueezeNet at each of the usual scales, all four are named.
"""

import dataclasses
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from edgecv.artifacts import Normalization
from edgecv.tflite import pixels, runtime
from edgecv.tflite.contract import ASSUMED, TESTED, Contract
from edgecv.tflite.scores import LOGITS, VALUES, Output, softmax

Floats = npt.NDArray[Any]
LARGEST_EMBEDDING = 1 << 16  # numbers; what gives more is a map of the image
FEWEST = 8  # images; with fewer, nothing is tested
ROUNDS = (32, 192)  # images; the second where the first did not decide
DECIDED = 2.0  # standard errors between the best scale and the next
CLOSER = 3  # a closer look leaves out a third; an eighth tells SqueezeNet's scales not apart
TEMPERATURE = 0.1  # of the similarity of embeddings, as contrastive losses have it
TINY = 1e-12


class Tested(NamedTuple):
    """A scale, and what it gives each image, in nats above chance or of its label."""

    normalization: Normalization
    nats: Floats


def decide_scale(
    contract: Contract, path: Path, images: Sequence[pixels.Bytes], labels: Sequence[int] = ()
) -> Contract:
    """The contract with its pixels' scale tested, where it was only assumed and can be.

    `images` [height, width, channels] are of the input's size, `labels` their classes, if known.
    """
    output, taken, candidates = contract.output, contract.image, _candidates(contract)
    if not _can_be_tested(contract, len(images)) or len(candidates) < 2:
        return contract
    if labels and max(labels) >= output.classes:
        labels = ()
    interpreter = runtime.load(path, num_threads=os.cpu_count() or 1)
    run = lambda shown, scale: runtime.run(interpreter, shown, scale)  # noqa: E731
    for count in ROUNDS:
        places = _spread(len(images), count)
        shown = np.stack([images[place] for place in places])
        truth = np.array([labels[place] for place in places]) if labels else None
        tests = [Tested(scale, _nats(run, shown, scale, output, truth)) for scale in candidates]
        first, second = sorted(tests, key=lambda test: -float(test.nats.mean()))[:2]
        candidates = [first.normalization, second.normalization]
        if decided := _apart(first.nats, second.nats):
            break
    origin = TESTED if decided else ASSUMED
    taken = dataclasses.replace(taken, normalization=candidates[0], origin=origin)
    return dataclasses.replace(contract, image=taken)


def _can_be_tested(contract: Contract, images: int) -> bool:
    """Whether the scale is only assumed, and the model's outputs can decide it."""
    output = contract.output
    telling = output.kind != VALUES or 1 < output.size <= LARGEST_EMBEDDING
    open_here = contract.image.origin == ASSUMED and not contract.compiled
    return open_here and telling and images >= FEWEST


def _candidates(contract: Contract) -> list[Normalization]:
    """The assumed scale, and the other usual ones that the input can hold."""
    grid, assumed = contract.image.grid, contract.image.normalization
    usual = [scale for scale in pixels.USUAL.values() if scale != assumed]
    return [assumed, *(scale for scale in usual if not grid.is_integer or pixels.fits(grid, scale))]


def _spread(total: int, count: int) -> list[int]:
    """So many places, evenly from all of them."""
    return [round(place) for place in np.linspace(0, total - 1, min(count, total))]


def _apart(first: Floats, second: Floats) -> bool:
    """Whether the first is better than the second by more than chance, image by image."""
    apart = first - second
    error = float(apart.std()) / len(apart) ** 0.5
    return bool(apart.mean() > DECIDED * error + TINY)


def _nats(
    run: Callable[[pixels.Bytes, Normalization], Floats],
    images: pixels.Bytes,
    scale: Normalization,
    output: Output,
    truth: npt.NDArray[np.int64] | None,
) -> Floats:
    """The score of a scale on each image: the logarithm of its label's chance, or its answer's."""
    if output.kind == VALUES:
        return _distinct(run(images, scale), run(zoom(images), scale))
    chances = _chances(run(images, scale), output)
    if truth is not None:
        return _log(chances[np.arange(len(chances)), truth])
    other = _chances(run(zoom(images), scale), output)
    by_chance = float(chances.mean(0) @ other.mean(0))
    return _log((chances * other).sum(1)) - _log(np.array(by_chance))


def _chances(real: Floats, output: Output) -> Floats:
    """A probability of each class [n, classes], also of logits."""
    scores = output.of_each_class(real.astype(np.float32))
    if output.kind == LOGITS:
        return softmax(scores)
    chances: Floats = scores / np.maximum(scores.sum(1, keepdims=True), TINY)
    return chances


def _distinct(answers: Floats, other: Floats) -> Floats:
    """How surely an image's closer look is told from those of other images, by their embeddings."""
    near, far = (
        side / np.maximum(np.linalg.norm(side, axis=1, keepdims=True), TINY)
        for side in (answers, other)
    )
    return _log(np.diag(softmax(near @ far.T / TEMPERATURE)))


def _log(chances: Floats) -> Floats:
    logarithms: Floats = np.log(np.maximum(chances, TINY))
    return logarithms


def zoom(images: pixels.Bytes) -> pixels.Bytes:
    """The central part of each image, at the size of the whole."""
    enlarged = _stretched(_stretched(images.astype(np.float32), 1), 2)
    return np.round(enlarged).astype(np.uint8)


def _stretched(images: npt.NDArray[np.float32], axis: int) -> npt.NDArray[np.float32]:
    """The middle of an axis at its whole length, between neighbors."""
    length = images.shape[axis]
    margin = length / CLOSER / 2
    at = np.linspace(margin, length - 1 - margin, length)
    low = np.clip(np.floor(at).astype(int), 0, max(0, length - 2))
    share = (at - low).astype(np.float32).reshape([-1 if n == axis else 1 for n in range(4)])
    high = np.minimum(low + 1, length - 1)
    values: npt.NDArray[np.float32] = images.take(low, axis) * (1 - share)
    values += images.take(high, axis) * share
    return values
