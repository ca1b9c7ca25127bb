"""The weights that suit the inputs a layer really gets: those of the quantized network.

A quantized network hands a layer inputs that already carry errors. Part of them is linear in what
is left, and least squares takes it back (as GPFQ, Lybrand and Saab 2020, does layer by layer).
With few images that fits noise, so how far the weights may go from where they were is judged on
images that the fit has not seen.
"""

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.floating[Any]]
Mask = npt.NDArray[np.bool_]
STRENGTHS = (1e-3, 1e-2, 1e-1, 1.0, 10.0)  # of the pull to the old weights, per mean moment
HELD_OUT = 4  # every so many-th image judges a fit and takes no part in it
# What is left of the error where a fit is worth it, at most. With one strength for a whole layer,
# those outputs decide that are large, and never alive behind the activation.
WORTH = 0.95


def centered(values: Floats) -> tuple[Floats, Floats]:
    """Values [groups, samples, n] less their mean over the samples, and that mean."""
    mean = values.mean(1, keepdims=True)
    return values - mean, mean


def fit(inputs: Floats, residual: Floats, image_of: npt.NDArray[np.intp], kept: Mask) -> Floats:
    """The change of the weights that explains `residual`; zeros where nothing helps.

    inputs [groups, samples, taps], residual [groups, samples, outputs], both centered; `image_of`
    names each sample's image. The strength of the pull is chosen for each output by itself. Only
    weights that are `kept` [groups, outputs, taps] change, and a fit is judged by what those
    explain.
    """
    free = kept.transpose(0, 2, 1)
    unseen = image_of % HELD_OUT == HELD_OUT - 1
    weights = np.zeros(free.shape, inputs.dtype)
    if not unseen.any():
        return weights.transpose(0, 2, 1)
    train = Moments.of(inputs[:, ~unseen], residual[:, ~unseen])
    test = Moments.of(inputs[:, unseen], residual[:, unseen])
    losses = [WORTH * test.squares, *(test.loss(train.ridge(pull) * free) for pull in STRENGTHS)]
    best = np.argmin(losses, axis=0)[:, np.newaxis]
    both = Moments(*map(np.add, train, test))
    for choice in set(best.ravel().tolist()) - {0}:
        weights += np.where(best == choice, both.ridge(STRENGTHS[choice - 1]) * free, 0)
    return weights.transpose(0, 2, 1)


class Moments(NamedTuple):
    """The second moments of samples, summed: all that a least-squares fit needs."""

    inputs: Floats  # [groups, taps, taps]
    products: Floats  # [groups, taps, outputs], of inputs and outputs
    squares: Floats  # [groups, outputs], of the outputs

    @classmethod
    def of(cls, inputs: Floats, outputs: Floats) -> "Moments":
        """Of inputs [groups, samples, taps] and outputs [groups, samples, outputs]."""
        transposed = inputs.transpose(0, 2, 1)
        return cls(transposed @ inputs, transposed @ outputs, np.square(outputs).sum(1))

    def loss(self, weights: Floats) -> Floats:
        """The squared error [groups, outputs] of weights [groups, taps, outputs] on the samples."""
        explained = (weights * (2 * self.products - self.inputs @ weights)).sum(1)
        loss: Floats = self.squares - explained
        return loss

    def ridge(self, strength: float) -> Floats:
        """The weights [groups, taps, outputs] of ridge regression."""
        taps = self.inputs.shape[1]
        mean = np.trace(self.inputs, axis1=1, axis2=2)[:, np.newaxis, np.newaxis] / taps
        pull = (strength * mean + 1e-20) * np.eye(taps, dtype=np.float32)
        return solve(self.inputs + pull, self.products)


def solve(matrices: Floats, right: Floats) -> Floats:
    """The solutions of positive definite systems [groups, n, n] for `right` [groups, n, m]."""
    from scipy.linalg import lapack

    if len(matrices) > 1:
        return np.linalg.solve(matrices, right)
    _, solution, failed = lapack.sposv(matrices[0], right[0], lower=True)
    return solution[np.newaxis] if not failed else np.zeros_like(right)
