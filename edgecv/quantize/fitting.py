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
STRENGTHS = (1e-4, 1e-3, 1e-2, 1e-1, 1.0, 10.0)  # of the pull to the old weights, per mean moment
FOLDS = 3


def centered(values: Floats) -> tuple[Floats, Floats]:
    """Values [groups, samples, n] less their mean over the samples, and that mean."""
    mean = values.mean(1, keepdims=True)
    return values - mean, mean


def fitted(inputs: Floats, residual: Floats, image_of: npt.NDArray[np.intp]) -> Floats:
    """What to add to the weights so that they explain `residual`, or zeros where nothing helps.

    inputs [groups, samples, taps], residual [groups, samples, outputs], both centred; `image_of`
    names each sample's image, and whole images are left out when a strength is judged.
    """
    fold = image_of % FOLDS
    if len(np.unique(fold)) < FOLDS:
        return np.zeros((inputs.shape[0], residual.shape[2], inputs.shape[2]), inputs.dtype)
    loss = np.zeros((len(STRENGTHS), inputs.shape[0]))
    for left_out in range(FOLDS):
        train, test = fold != left_out, fold == left_out
        ridge = _Ridge(inputs[:, train], residual[:, train])
        for index, strength in enumerate(STRENGTHS):
            error = residual[:, test] - inputs[:, test] @ ridge.solution(strength)
            loss[index] += np.square(error).sum((1, 2))
    nothing = np.square(residual).sum((1, 2))
    ridge = _Ridge(inputs, residual)
    total = loss.sum(1)
    best = int(total.argmin())
    if total[best] >= nothing.sum():
        return np.zeros((inputs.shape[0], residual.shape[2], inputs.shape[2]), inputs.dtype)
    return ridge.solution(STRENGTHS[best]).transpose(0, 2, 1)


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
