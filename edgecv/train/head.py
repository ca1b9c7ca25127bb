"""The best head on features: a multinomial logistic regression, solved whole."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

Array = NDArray[np.float32]
DECAYS = (1e-1, 1e-2, 1e-3, 1e-4)  # of the weights, by which the monitored images choose
USUAL_DECAY = 1e-2  # where there are none
ITERATIONS = 100  # of L-BFGS; the loss of flowers stands still after some forty


class Features(NamedTuple):
    """The trunk's answers to images, and how fast they came."""

    rows: NDArray[np.float32]  # [images, channels]
    labels: NDArray[np.int32]  # [images]
    pace: float = 0.0  # images a second


class Head(NamedTuple):
    """A fully connected layer in front of a softmax."""

    kernel: Array  # [channels, classes]
    bias: Array  # [classes]


def solve_head(
    features: Features, monitored: Features, targets: Array, weights: Array | None
) -> Head:
    """The head with the lowest loss on features, its decay chosen by the monitored ones.

    `targets` [classes, classes] holds the probabilities to be learned for every class, `weights`
    what an image of it weighs.
    """
    scale = float(features.rows.std()) or 1.0
    rows = features.rows / scale
    wanted = targets[features.labels]
    share = np.ones(len(rows), np.float32) if weights is None else weights[features.labels]
    table = np.zeros((rows.shape[1] + 1, targets.shape[1]), np.float32)
    solved: list[tuple[float, int, Array]] = []
    for decay in DECAYS if len(monitored.labels) else (USUAL_DECAY,):
        table = _minimized(table, rows, wanted, share, decay)
        tested = (monitored.rows / scale, targets[monitored.labels])
        ones = np.ones(len(monitored.labels), np.float32)
        solved.append((_loss(table, *tested, ones, 0.0)[0], len(solved), table))
    best = min(solved)[2]
    return Head(best[:-1] / scale, best[-1])


def _minimized(table: Array, rows: Array, wanted: Array, share: Array, decay: float) -> Array:
    """The kernel, and below it the bias, with the lowest loss, by L-BFGS from a start."""

    def loss(flat: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        now = flat.reshape(table.shape).astype(np.float32)
        value, gradient = _loss(now, rows, wanted, share, decay)
        return value, gradient.ravel().astype(np.float64)

    start = table.ravel().astype(np.float64)
    options = {"maxiter": ITERATIONS}
    result = minimize(loss, start, jac=True, method="L-BFGS-B", options=options)
    solution: Array = result.x.reshape(table.shape).astype(np.float32)
    return solution


def _loss(
    table: Array, rows: Array, wanted: Array, share: Array, decay: float
) -> tuple[float, Array]:
    """The mean cross-entropy with the decay's penalty, and its gradient."""
    kernel, bias = table[:-1], table[-1]
    logits = rows @ kernel + bias
    logits -= logits.max(axis=1, keepdims=True)
    logs = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
    count = max(len(rows), 1)
    value = -float((share * (wanted * logs).sum(axis=1)).sum()) / count
    slope = (np.exp(logs) - wanted) * (share / count)[:, np.newaxis]
    gradient = np.vstack([rows.T @ slope + decay * kernel, slope.sum(axis=0)])
    return value + decay / 2 * float((kernel**2).sum()), gradient
