"""The weights that suit the inputs a layer really gets: those of the quantised network.

A quantised network hands a layer inputs that already carry errors. Part of them is linear in what
is left, and least squares takes it back (as GPFQ, Lybrand and Saab 2020, does layer by layer).
With few images that fits noise, so how far the weights may go from where they were is chosen by
cross-validation over images.
"""

from typing import Any

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

    inputs [groups, samples, taps], residual [groups, samples, outputs], both centred; `image_of`
    names each sample's image, and whole images are left out when a strength is judged, for each
    output by itself. Only weights that are `kept` [groups, outputs, taps] change, and it is judged
    by what those explain.
    """
    free = kept.transpose(0, 2, 1)
    fold = image_of % FOLDS
    groups, _, taps = inputs.shape
    nothing = np.zeros((groups, taps, residual.shape[2]), inputs.dtype)
    if len(np.unique(fold)) < FOLDS:
        return nothing.transpose(0, 2, 1)
    loss = np.zeros((1 + len(STRENGTHS), groups, residual.shape[2]))
    loss[0] = WORTH * np.square(residual).sum(1)
    for left_out in range(FOLDS):
        train, test = fold != left_out, fold == left_out
        ridge = _Ridge(inputs[:, train], residual[:, train])
        for index, strength in enumerate(STRENGTHS, 1):
            error = residual[:, test] - inputs[:, test] @ (ridge.solution(strength) * free)
            loss[index] += np.square(error).sum(1)
    ridge = _Ridge(inputs, residual)
    found = np.stack([nothing, *map(ridge.solution, STRENGTHS)])
    best = loss.argmin(0)[np.newaxis, :, np.newaxis]
    chosen: Floats = np.take_along_axis(found, best, 0)[0] * free
    return chosen.transpose(0, 2, 1)


class _Ridge:
    """Ridge regression for any strength, from one eigendecomposition."""

    def __init__(self, inputs: Floats, outputs: Floats) -> None:
        moments = inputs.transpose(0, 2, 1) @ inputs
        self.values, self.vectors = np.linalg.eigh(moments)
        self.projected = self.vectors.transpose(0, 2, 1) @ (inputs.transpose(0, 2, 1) @ outputs)

    def solution(self, strength: float) -> Floats:
        """Weights [groups, taps, outputs]."""
        mean = self.values.mean(1, keepdims=True)
        damped = np.maximum(self.values, 0) + strength * mean + 1e-20
        found: Floats = self.vectors @ (self.projected / damped[..., np.newaxis])
        return found
