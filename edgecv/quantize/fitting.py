"""The weights that suit the inputs a layer really gets: those of the quantized network.

A quantized network hands a layer inputs that already carry errors. Part of them is linear in what
is left, and least squares takes it back (as GPFQ, Lybrand and Saab 2020, does layer by layer).
With few images that fits noise, so how far the weights may go from where they were is chosen by
cross-validation over images.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.floating[Any]]
Kept = npt.NDArray[np.bool_]
STRENGTHS = (1e-4, 1e-3, 1e-2, 1e-1, 1.0, 10.0)  # of the pull to the old weights, per mean moment
FOLDS = 3
# What is left of the error where a fit is worth it, at most. With one strength for a whole layer,
# those outputs decide that are large, and never alive behind the activation.
WORTH = 0.9


def centered(values: Floats) -> tuple[Floats, Floats]:
    """Values [groups, samples, n] less their mean over the samples, and that mean."""
    mean = values.mean(1, keepdims=True)
    return values - mean, mean


def fitted(inputs: Floats, residual: Floats, image_of: npt.NDArray[np.intp], kept: Kept) -> Floats:
    """What to add to the weights so that they explain `residual`, or zeros where nothing helps.

    inputs [groups, samples, taps], residual [groups, samples, outputs], both centered; `image_of`
    names each sample's image, and whole images are left out when a strength is judged, for each
    output by itself. Only weights that are `kept` [groups, outputs, taps] change, and it is judged
    by what those explain.
    """
    free = kept.transpose(0, 2, 1)
    fold = image_of % FOLDS
    if len(np.unique(fold)) < FOLDS:
        return np.zeros_like(kept, inputs.dtype)
    parts = [_Sums.of(inputs[:, fold == part], residual[:, fold == part]) for part in range(FOLDS)]
    loss = np.zeros((1 + len(STRENGTHS), len(inputs), residual.shape[2]))
    loss[0] = WORTH * sum(part.squares for part in parts)
    for test in parts:
        ridge = _Ridge(_Sums.add([part for part in parts if part is not test]))
        for index, strength in enumerate(STRENGTHS, 1):
            loss[index] += test.loss(ridge.solution(strength) * free)
    best = loss.argmin(0)[:, np.newaxis]
    ridge = _Ridge(_Sums.add(parts))
    weights = np.zeros(free.shape, inputs.dtype)
    for index in set(best.ravel().tolist()) - {0}:
        weights += np.where(best == index, ridge.solution(STRENGTHS[index - 1]) * free, 0)
    return weights.transpose(0, 2, 1)


class _Sums(NamedTuple):
    """What a least-squares fit needs of samples: their second moments, summed."""

    moments: Floats  # [groups, taps, taps], of the inputs
    products: Floats  # [groups, taps, outputs], of inputs and outputs
    squares: Floats  # [groups, outputs], of the outputs

    @classmethod
    def of(cls, inputs: Floats, outputs: Floats) -> "_Sums":
        """Of inputs [groups, samples, taps] and outputs [groups, samples, outputs]."""
        transposed = inputs.transpose(0, 2, 1)
        return cls(transposed @ inputs, transposed @ outputs, np.square(outputs).sum(1))

    @classmethod
    def add(cls, parts: Sequence["_Sums"]) -> "_Sums":
        """Of all samples of the parts together."""
        return cls(*(np.sum(tables, axis=0) for tables in zip(*parts, strict=True)))

    def loss(self, weights: Floats) -> Floats:
        """The squared error [groups, outputs] of weights [groups, taps, outputs] on the samples."""
        explained = (weights * (2 * self.products - self.moments @ weights)).sum(1)
        loss: Floats = self.squares - explained
        return loss


class _Ridge:
    """Ridge regression for any strength, from one eigendecomposition."""

    def __init__(self, sums: _Sums) -> None:
        self.values, self.vectors = np.linalg.eigh(sums.moments)
        self.projected = self.vectors.transpose(0, 2, 1) @ sums.products

    def solution(self, strength: float) -> Floats:
        """Weights [groups, taps, outputs]."""
        mean = self.values.mean(1, keepdims=True)
        damped = np.maximum(self.values, 0) + strength * mean + 1e-20
        weights: Floats = self.vectors @ (self.projected / damped[..., np.newaxis])
        return weights
