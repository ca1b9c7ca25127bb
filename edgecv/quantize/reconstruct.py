"""Weights and biases of an int8 model, so that each layer answers as the float layer does.

Layer by layer, in the order they run: the inputs are those of the int8 model as it is by then, with
all errors made so far, computed by its own kernels; the outputs wanted are those of the float model
at the same places. Least squares adapts the weights to the inputs (`fitting`), rounding is chosen
on the outputs (`rounding`), and the bias takes what mean error is left behind the activation, which
is bias correction (Nagel et al., Data-Free Quantization, 2019) from real activations.
"""

import copy
from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from edgecv.progress import QUIET, Progress
from edgecv.quantize import fitting, rounding
from edgecv.quantize.activations import Image, Values, activations, dequantized
from edgecv.quantize.forward import Forward
from edgecv.quantize.layers import (
    Layer,
    as_matrix,
    from_matrix,
    grouped,
    layers,
    patches,
    positions,
)
from edgecv.quantize.ranges import BOUNDS
from edgecv.tflite import contract, flatbuffer, pixels
from edgecv.tflite.graph import Graph

SAMPLES = 4096  # places a layer is looked at, over all images
DEPTHWISE_SAMPLES = 1024  # the same of one with a handful of weights for each output
IMAGES = 128  # more do not change what so many places say
DAMPING = 1e-3  # of the mean moment: keeps rounding from trusting directions nobody has seen
NARROWEST = 0.5  # of the quantizer's weight scale: below, a dead channel's integers overflow
LARGEST_BIAS = 2**28  # in the kernels' 32-bit sums
Floats = npt.NDArray[np.floating[Any]]


class Steps(NamedTuple):
    """The steps of a layer's correction; the bench switches each off."""

    fit: bool = True
    round: bool = True
    correct: bool = True


class Pair(NamedTuple):
    """A layer in both models, and the places of each image where it is looked at."""

    float: Layer
    int8: Layer
    where: npt.NDArray[np.intp]  # [images, places]


class Samples(NamedTuple):
    """A layer's inputs and the outputs wanted of it, at the places where it is looked at."""

    inputs: Floats  # [groups, samples, taps], of the int8 model
    wanted: Floats  # [groups, samples, outputs], of the float model before the activation
    image: npt.NDArray[np.intp]  # [samples], the number of the image that each is from


def reconstruct(
    flat: flatbuffer.ModelT,
    quantized: flatbuffer.ModelT,
    images: Sequence[Image],
    steps: Steps = Steps(),  # noqa: B008
    progress: Progress = QUIET,
) -> int:
    """Rewrite the weights and biases of `quantized`, the int8 twin of `flat`, in place.

    Returns how many layers were rewritten.
    """
    images = chosen(images)
    with _one_blas_thread():
        return _reconstructed(flat, quantized, images, steps, progress)


def _one_blas_thread() -> AbstractContextManager[object]:
    """One thread for what is solved layer by layer.

    The systems of depthwise layers have 9 or 25 unknowns: on two threads of OpenBLAS, which spin
    while they wait, correcting a MobileNetV3-Small took 83 CPU seconds, on one 15.
    """
    from threadpoolctl import threadpool_limits

    limits: AbstractContextManager[object] = threadpool_limits(1, "blas")
    return limits


def _reconstructed(
    flat: flatbuffer.ModelT,
    quantized: flatbuffer.ModelT,
    images: Sequence[Image],
    steps: Steps,
    progress: Progress,
) -> int:
    pairs = matched(Graph(flat), Graph(quantized), len(images))
    wanted = _outputs(Graph(flat), pairs, images)
    graph = Graph(quantized)
    forward = Forward(graph, images)
    for pair in progress.track(pairs, "correct", total=len(pairs)):
        samples = Samples(
            _inputs(forward, pair),
            wanted.pop(pair.float.output),
            np.repeat(np.arange(len(images)), pair.where.shape[1]),
        )
        _rewrite(Graph(flat), graph, pair, samples, steps)
    return len(pairs)


def chosen(images: Sequence[Image]) -> list[Image]:
    """At most IMAGES of the images, spread evenly over them."""
    places = np.linspace(0, len(images) - 1, min(IMAGES, len(images))).round().astype(int)
    return [images[place] for place in places]


def matched(graph: Graph, quantized: Graph, images: int) -> list[Pair]:
    """The layers that both models have in int8 and in float.

    Grouped convolutions are left out, and layers with one position in an image.
    """
    twins = layers(quantized)
    originals = layers(graph)
    if len(twins) != len(originals):
        return []
    random = np.random.default_rng(0)
    pairs = []
    for one, twin in zip(originals, twins, strict=True):
        if quantized.dtype(twin.weights) != "int8" or grouped(graph, one):
            continue
        if quantized.dtype(twin.input) != "int8":
            continue
        count = positions(graph, one)
        if count == 1:  # a squeeze or the head: as many samples as images fit their noise
            continue
        samples = DEPTHWISE_SAMPLES if one.depthwise else SAMPLES
        places = min(count, -(-samples // images))
        where = np.stack([random.permutation(count)[:places] for _ in range(images)])
        pairs.append(Pair(one, twin, where))
    return pairs


def _outputs(graph: Graph, pairs: list[Pair], images: Sequence[Image]) -> dict[int, Floats]:
    """The float layers' outputs before their activation, [groups, samples, outputs], by tensor."""
    entry, taken = int(graph.subgraph.inputs[0]), contract.read_model(graph.model).image
    sources = [pair.float.input for pair in pairs if pair.float.input != entry]
    sources = sources or [int(graph.subgraph.outputs[0])]  # nobody but the first layer is left
    parts: dict[int, list[Floats]] = {pair.float.output: [] for pair in pairs}
    weights = {pair.float.output: _float_weights(graph, pair.float) for pair in pairs}
    for index, seen in enumerate(activations(graph.model, sources, images)):
        real = pixels.normalize(images[index][np.newaxis], taken.normalization)
        for layer, _, where in pairs:
            values = real if layer.input == entry else seen(layer.input)
            matrix, bias = weights[layer.output]
            products = patches(graph, layer, values, where[index]) @ matrix.transpose(0, 2, 1)
            parts[layer.output].append(products + bias[:, np.newaxis])
    return {tensor: np.concatenate(rows, axis=1) for tensor, rows in parts.items()}


def _inputs(forward: Forward, pair: Pair) -> Floats:
    """The patches that the int8 layer sees, as real numbers, [groups, samples, taps]."""
    graph, source = forward.graph, pair.int8.input
    parts = []
    for index, stored in enumerate(forward.behind(source)):
        values = dequantized(graph, source, stored[source])
        parts.append(patches(graph, pair.int8, values, pair.where[index]))
    return np.concatenate(parts, axis=1)


def _float_weights(graph: Graph, layer: Layer) -> tuple[Floats, Floats]:
    """Weights [groups, outputs, taps] and biases [groups, outputs] of a float layer."""
    weights = graph.constant(layer.weights)
    assert weights is not None  # noqa: S101
    matrix = as_matrix(layer, weights)
    bias = graph.constant(layer.bias) if layer.bias >= 0 else None
    shape = matrix.shape[:2]
    return matrix, np.zeros(shape, np.float32) if bias is None else bias.reshape(shape)


def _rewrite(graph: Graph, quantized: Graph, pair: Pair, samples: Samples, steps: Steps) -> None:
    """Choose and store one layer's weights and bias."""
    weights, _ = _float_weights(graph, pair.float)
    kept = weights != 0  # what was pruned stays zero
    near, mean = fitting.centered(samples.inputs)
    aim, aim_mean = fitting.centered(samples.wanted)
    if steps.fit:
        residual = aim - near @ weights.transpose(0, 2, 1)
        weights = weights + fitting.fit(near, residual, samples.image, kept)
    moments = _moments(near)
    offset = (aim_mean - mean @ weights.transpose(0, 2, 1))[:, 0]
    scales = _scales(quantized, pair.int8, weights, moments, offset)
    if steps.round:
        integers = rounding.rounded(weights, scales, moments, kept)
    else:
        integers = rounding.nearest(weights, scales)
    real = integers * scales[..., np.newaxis]
    outputs = near @ real.transpose(0, 2, 1)
    bias = (aim_mean - mean @ real.transpose(0, 2, 1))[:, 0]
    bias += _behind_activation(outputs + aim_mean, samples.wanted, pair.float)
    if not steps.correct:
        _, bias = _float_weights(graph, pair.float)
    _store(quantized, pair.int8, integers, scales, bias)


def _moments(inputs: Floats) -> Floats:
    """Second moments [groups, taps, taps] of the inputs, damped."""
    moments = inputs.transpose(0, 2, 1) @ inputs / inputs.shape[1]
    taps = moments.shape[1]
    mean = np.trace(moments, axis1=1, axis2=2) / taps
    moments += (DAMPING * mean + 1e-9)[:, np.newaxis, np.newaxis] * np.eye(taps, dtype=np.float32)
    return moments


def _behind_activation(outputs: Floats, wanted: Floats, layer: Layer, rounds: int = 5) -> Floats:
    """The shift of each output that removes the mean error behind the activation."""
    shift = np.zeros((outputs.shape[0], 1, outputs.shape[2]))
    if layer.activation not in BOUNDS:
        return shift[:, 0]
    low, high = BOUNDS[layer.activation]
    target = wanted.clip(low, high)
    for _ in range(rounds):
        now = outputs + shift
        alive = ((now > low) & (now < high)).mean(1, keepdims=True)
        error = (target - now.clip(low, high)).mean(1, keepdims=True)
        shift += np.where(alive > 0.01, error / np.maximum(alive, 0.05), 0)
    return shift[:, 0]


def _scales(graph: Graph, layer: Layer, weights: Floats, moments: Floats, offset: Floats) -> Floats:
    """Weight scales [groups, outputs] that suit the weights and can hold the offset as a bias."""
    before = np.asarray(graph.tensors[layer.weights].quantization.scale, np.float64)
    step = float(graph.tensors[layer.input].quantization.scale[0])
    least = np.abs(offset) / (LARGEST_BIAS * step)
    least = np.maximum(least, NARROWEST * np.broadcast_to(before, least.size).reshape(least.shape))
    scales = rounding.scales(weights, moments, least, shared=before.size == 1)
    return scales.astype(np.float32)


def _store(graph: Graph, layer: Layer, integers: Floats, scales: Floats, bias: Floats) -> None:
    """Write integers and bias into the int8 model."""
    per_tensor = len(graph.tensors[layer.weights].quantization.scale) == 1
    flat_scales = scales.reshape(-1)[:1] if per_tensor else scales.reshape(-1)
    shape = graph.shape(layer.weights)
    _replace(graph, layer, 1, from_matrix(layer, integers, shape).astype(np.int8), flat_scales)
    if layer.bias >= 0:
        steps = flat_scales.astype(np.float64) * graph.tensors[layer.input].quantization.scale[0]
        values = np.clip(np.round(bias.reshape(-1) / steps), -(2**30), 2**30)
        _replace(graph, layer, 2, values.astype(np.int32), steps.astype(np.float32))


def _replace(graph: Graph, layer: Layer, place: int, values: Values, scales: Values) -> None:
    """Give an operator its own copy of a constant input, with new values and scales."""
    old = graph.tensors[layer.operator.inputs[place]]
    new, buffer = copy.copy(old), flatbuffer.schema().BufferT()
    new.quantization = copy.copy(old.quantization)
    new.quantization.scale = scales.astype(np.float32)
    buffer.data = np.frombuffer(np.ascontiguousarray(values).tobytes(), np.uint8)
    graph.model.buffers.append(buffer)
    new.buffer = len(graph.model.buffers) - 1
    graph.tensors[layer.operator.inputs[place]] = new
