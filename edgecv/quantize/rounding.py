"""The grid of each weight and which way to round it, so that the layer's outputs change least.

The way is that of GPTQ (Frantar et al., 2022): column by column, what one column's rounding costs
the outputs is made up for by the columns that are still to come.
"""

from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.floating[Any]]
Mask = npt.NDArray[np.bool_]
LARGEST = 127  # weights are symmetric: -128 is not used
# The same of a pruned layer, whose zeros are there for a small download. With levels up to 127, 63,
# 40 and 31: answers equal to the float model's, and gzip bytes against the dense file's. Half the
# weights at zero, 1,000 photographs of flowers, MobileNetV1 0.35/64: .978 .983 .981 .975 and .740
# .686 .649 .629; EfficientNet-Lite0 0.35/64, 63 on: .994 .994 .993 and .728 .697 .680. A third at
# zero, 400 photographs of ImageNet, MobileNetV1 0.5/160, not tuned: .963 .953 .945 .928.
LARGEST_OF_SPARSE = 40
SPARSE = 0.3  # share of zeros that no layer has by chance
BLOCK = 32  # columns whose effect on the later ones is applied at once


def nearest(weights: Floats, scales: Floats) -> Floats:
    """Weights [groups, outputs, taps] on their grid, each rounded to the nearest."""
    return np.clip(np.rint(weights / scales[..., np.newaxis]), -LARGEST, LARGEST)


def scales(weights: Floats, moments: Floats, least: Floats, shared: bool = False) -> Floats:
    """The scale of each output channel, [groups, outputs], on whose grid its weights fall best.

    With its largest weight on level 127, and so on down to 64: a finer grid is not always
    a nearer one, least of all for the nine weights of a depthwise channel or for weights that have
    been on a grid before. What is compared is the weights' error times what their inputs usually
    are. The levels of a pruned layer are a third of those: each weight then takes 1.7 bits less of
    a compressed file, and size is what its zeros are for. No scale is below `least` [groups,
    outputs]; `shared` gives all channels the same.
    """
    largest = LARGEST_OF_SPARSE if (weights == 0).mean() >= SPARSE else LARGEST
    width = np.maximum(np.abs(weights).max(2), least * largest)
    if shared:
        width = np.full_like(width, width.max())
    importance = np.diagonal(moments, axis1=1, axis2=2)[:, np.newaxis]
    best, chosen = np.full(width.shape, np.inf), width / largest
    for level in range(largest, largest // 2, -1):
        scale = width / level
        error = nearest(weights, scale) * scale[..., np.newaxis] - weights
        loss = (np.square(error) * importance).sum(2)
        if shared:
            loss = np.full_like(loss, loss.sum())
        better = loss < best
        best, chosen = np.where(better, loss, best), np.where(better, scale, chosen)
    return chosen


def rounded(weights: Floats, scales: Floats, moments: Floats, kept: Mask) -> Floats:
    """Integers q, so that the outputs of q * scale are near those of the weights.

    weights [groups, outputs, taps], scales [groups, outputs], and the second moments of the inputs
    [groups, taps, taps], which must be positive definite. Where `kept`, shaped as the weights, is
    false, q is 0.
    """
    order = np.argsort(-np.diagonal(moments, axis1=1, axis2=2).mean(0))
    upper = _upper(moments[:, order][:, :, order])
    # Columns first: what is worked on in turn lies together in memory.
    left = (weights / scales[..., np.newaxis]).transpose(2, 0, 1)[order].astype(np.float32)
    free = kept.transpose(2, 0, 1)[order]
    chosen, taps = np.empty_like(left), len(left)
    for start in range(0, taps, BLOCK):
        end = min(start + BLOCK, taps)
        errors = np.empty_like(left[start:end])
        for column in range(start, end):
            value = np.clip(np.rint(left[column]), -LARGEST, LARGEST) * free[column]
            chosen[column] = value
            error = (left[column] - value) / upper[:, column, column, np.newaxis]
            errors[column - start] = error
            after = upper[:, column, column + 1 : end].T[..., np.newaxis]
            left[column + 1 : end] -= after * error
        if end < taps:
            later = upper[:, start:end, end:].transpose(0, 2, 1) @ errors.transpose(1, 0, 2)
            left[end:] -= later.transpose(1, 0, 2)
    back = np.empty_like(chosen)
    back[order] = chosen
    return back.transpose(1, 2, 0)


def _upper(moments: Floats) -> Floats:
    """The upper Cholesky factors of the inverses of matrices [groups, n, n].

    The inverse of A = L'L, L lower, is inv(L) inv(L)': with rows and columns in reverse order, an
    ordinary Cholesky factorization gives L, and no inverse of the whole is needed.
    """
    from scipy.linalg import lapack

    if len(moments) > 1:
        return np.linalg.cholesky(np.linalg.inv(moments)).transpose(0, 2, 1)
    backwards = np.asfortranarray(moments[0, ::-1, ::-1])
    lower, _ = lapack.spotrf(backwards, lower=True)
    inverse, _ = lapack.strtri(lower, lower=True)
    return np.ascontiguousarray(inverse[::-1, ::-1])[np.newaxis]
