"""Where an int8 model loses: the noise of each layer's output, and what each layer costs alone.

A layer is an operator that makes an activation of its own. Alone means: the float model, with this
layer's weights rounded to the nearest on a grid for each output channel and its output stored in 8
bits, and nothing else changed.
"""

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from edgecv.progress import QUIET, Progress
from edgecv.quantize import rounding
from edgecv.quantize.activations import Image, activations, dequantized
from edgecv.quantize.forward import Forward
from edgecv.quantize.int8 import BORDERS
from edgecv.quantize.judge import scores_tensor
from edgecv.quantize.layers import Layer, as_matrix, from_matrix, layers
from edgecv.quantize.ranges import ONE_SCALE
from edgecv.quantize.scores import loss_and_likeness
from edgecv.tflite import contract
from edgecv.tflite.flatbuffer import ModelT, schema
from edgecv.tflite.graph import Graph

Floats = npt.NDArray[np.floating[Any]]
RANKED_ON = 16  # images that tell the order of the layers; a top-1 takes a hundred
COPIES = ONE_SCALE - {"CONCATENATION"}  # their outputs hold what their inputs held
SILENT = 1e-12  # noise as a share of the signal that counts as none: 120 dB


class Sensitivity(NamedTuple):
    """The effect of one layer on an int8 model."""

    tensor: str  # its output
    layer: str  # the same, short enough to read
    operator: str
    snr_db: float  # signal to noise of its output in the int8 model
    loss: float  # relative entropy of the probabilities when it alone is quantized, in nats
    agreement: float  # share of the images with the same answer then; see loss_and_likeness
    top1_drop: float | None  # percent points then; None for images without labels


class Place(NamedTuple):
    """A layer of the float model, by the place of its operator, and its output in both models."""

    place: int
    output: int
    twin: int


def sensitivity(
    flat: ModelT,
    quantized: ModelT,
    images: Sequence[Image],
    labels: Sequence[int] = (),
    progress: Progress = QUIET,
) -> list[Sensitivity]:
    """The layers of `flat` that `quantized`, its int8 twin, computes in int8, costliest first.

    `flat` is the float model as it was quantized (`engine.Quantized.flat`). `labels`, where there
    are any, are the images' classes.
    """
    graph, twin = Graph(flat), Graph(quantized)
    names, places = graph.unique_names(), _places(graph, twin)
    if not places:
        return []
    forward, output = Forward(graph, images), contract.read_model(flat).output
    exact = _scores(forward)
    noise = _signal_to_noise(graph, twin, places, images)
    rows = []
    for place in progress.track(places, "sensitivity", total=len(places)):
        forward.advance(place.place)
        with _alone(graph, twin, place):
            scores = _scores(forward)
        name = names[place.output]
        loss, likeness = loss_and_likeness(exact, scores, output)
        rows.append(
            Sensitivity(
                name,
                readable(name),
                graph.code(graph.operators[place.place]),
                round(noise[place.output], 2),
                loss,
                likeness,
                _drop(output.of_each_class(exact), output.of_each_class(scores), labels),
            )
        )
    return sorted(rows, key=lambda row: -row.loss)


def readable(name: str) -> str:
    """The part of a tensor's name that says which layer it is.

    The converter joins the names of all that it fused: `net/relu/Relu;net/conv1/BiasAdd`.
    """
    *_, part = [part for part in name.split(";") if part] or [name]
    steps = part.split("/")
    return "/".join(steps[1:-1]) if len(steps) > 2 else part


def _places(graph: Graph, twin: Graph) -> list[Place]:
    """The layers up to the scores whose output is int8 in the twin, in the order they run."""
    names, scores = graph.unique_names(), scores_tensor(graph)
    int8 = _int8(graph, twin)
    places = []
    for index, operator in enumerate(graph.operators):
        output = int(operator.outputs[0])
        if graph.code(operator) not in COPIES and names[output] in int8:
            places.append(Place(index, output, int8[names[output]]))
        if output == scores:
            break
    return places


def _int8(graph: Graph, twin: Graph) -> dict[str, int]:
    """The int8 tensors of the twin by the names that the float model has for them."""
    named = {name: tensor for tensor, name in twin.unique_names().items()}
    last, end = twin.operators[-1], int(twin.subgraph.outputs[0])
    if twin.code(last) in BORDERS:  # the quantizer renames what it puts them behind
        end = int(last.inputs[0])
    named[graph.unique_names()[int(graph.subgraph.outputs[0])]] = end
    return {name: tensor for name, tensor in named.items() if twin.dtype(tensor) == "int8"}


def _scores(forward: Forward) -> Floats:
    """The real scores of each image [images, classes], before a softmax, of the model as it is."""
    scores = scores_tensor(forward.graph)
    rest, rows = forward.rest(scores), []
    for values in forward.kept:
        for tensor, value in values.items():
            rest.set_tensor(tensor, value)
        rest.invoke()
        rows.append(rest.get_tensor(scores).ravel())
    return np.stack(rows)


def _signal_to_noise(
    graph: Graph, twin: Graph, places: Sequence[Place], images: Sequence[Image]
) -> dict[int, float]:
    """Signal to noise in dB of each layer's output in the int8 model, by the float tensor."""
    signal = dict.fromkeys((place.output for place in places), 0.0)
    noise = dict(signal)
    runs = zip(
        activations(graph.model, [place.output for place in places], images),
        activations(twin.model, [place.twin for place in places], images),
        strict=True,
    )
    for real, stored in runs:
        for _, output, own in places:
            wanted = real(output)
            error = wanted - dequantized(twin, own, stored(own))
            signal[output] += float(np.square(wanted, dtype=np.float64).sum())
            noise[output] += float(np.square(error, dtype=np.float64).sum())
    return {output: _decibels(power, noise[output]) for output, power in signal.items()}


def _decibels(signal: float, noise: float) -> float:
    """A ratio of powers in dB, at most what SILENT allows in either direction."""
    ratio = signal / noise if noise > SILENT * signal else 1 / SILENT
    return 10 * math.log10(max(ratio, SILENT))


@contextmanager
def _alone(graph: Graph, twin: Graph, place: Place) -> Iterator[None]:
    """The float model with one layer quantized, while the block runs."""
    operator, subgraph, model = graph.operators[place.place], graph.subgraph, graph.model
    kept = operator.inputs, operator.outputs, subgraph.operators
    sizes = len(subgraph.tensors), len(model.buffers)
    operator.inputs = np.array(operator.inputs)
    for layer in _layers(graph, place.place):
        operator.inputs[1] = graph.add_constant(_rounded(graph, layer), "rounded")
    real, stored = (graph.add_activation(place.output, name) for name in ("real", "stored"))
    graph.tensors[stored].type = twin.tensors[place.twin].type
    graph.tensors[stored].quantization = twin.tensors[place.twin].quantization
    operator.outputs = np.array([real, *operator.outputs[1:]], np.int32)
    subgraph.operators = [
        *graph.operators[: place.place + 1],
        graph.new_operator("QUANTIZE", [real], [stored], schema().QuantizeOptionsT()),
        graph.new_operator("DEQUANTIZE", [stored], [place.output], schema().DequantizeOptionsT()),
        *graph.operators[place.place + 1 :],
    ]
    try:
        yield
    finally:
        operator.inputs, operator.outputs, subgraph.operators = kept
        del subgraph.tensors[sizes[0] :], model.buffers[sizes[1] :]


def _layers(graph: Graph, index: int) -> Iterator[Layer]:
    """The operator at a place as a layer with weights, if it is one."""
    return (layer for layer in layers(graph) if layer.operator is graph.operators[index])


def _rounded(graph: Graph, layer: Layer) -> Floats:
    """A layer's weights as a grid for each output channel leaves them."""
    weights = graph.constant(layer.weights)
    assert weights is not None  # noqa: S101
    matrix = as_matrix(layer, weights)
    scales = np.maximum(np.abs(matrix).max(2) / rounding.LARGEST, 1e-30)
    real = rounding.nearest(matrix, scales) * scales[..., np.newaxis]
    return from_matrix(layer, real, weights.shape).astype(np.float32)


def _drop(exact: Floats, scores: Floats, labels: Sequence[int]) -> float | None:
    """The top-1 lost, in percent points."""
    if not len(labels):
        return None
    truth = np.asarray(labels)
    before, after = ((answers.argmax(1) == truth).mean() for answers in (exact, scores))
    return round(100 * float(before - after), 4)
