"""Ranges that int8 kernels take: the narrower of two activations is widened where they do not.

A range wider than needed costs a dead or faint activation some of its levels. A ratio of scales
that XNNPACK has no kernel for costs time: the operator, or the whole model, runs without it.
"""

from collections.abc import Mapping

import numpy as np

from edgecv.artifacts import Range
from edgecv.errors import plural
from edgecv.quantize.int8 import int8_twin
from edgecv.quantize.ranges import FIXED, scale_groups
from edgecv.tflite import flatbuffer, xnnpack
from edgecv.tflite.graph import Graph

MARGIN = 1.01  # beyond the limit: the quantizer rounds a range's scale to a float32
STEPS = 255  # of an int8 grid
PASSES = 4  # over the operators: what one of them needs may be too wide for the next


def accepted_twin(
    flat: flatbuffer.ModelT,
    ranges: Mapping[str, Range],
    output: str,
    name: str,
    dense_per_tensor: bool = False,
) -> tuple[flatbuffer.ModelT, dict[str, Range], list[str]]:
    """The int8 twin with ranges that XNNPACK takes, those ranges, and a note where they differ.

    Arguments are those of `int8_twin`. Ranges that are fixed stay as they are.
    """
    twin = int8_twin(flat, ranges, output, name, dense_per_tensor)
    scales = _raise(Graph(twin), _groups(Graph(flat), ranges))
    if not scales:
        return twin, dict(ranges), []
    factors = {
        tensor: scale * STEPS / (ranges[tensor].high - ranges[tensor].low)
        for tensor, scale in scales.items()
    }
    wider = {
        tensor: Range(low * factors.get(tensor, 1.0), high * factors.get(tensor, 1.0))
        for tensor, (low, high) in ranges.items()
    }
    note = (
        f"{plural(len(factors), 'range')} widened, {max(factors.values()):.2g} times at most,"
        " to ratios of scales that XNNPACK takes"
    )
    return int8_twin(flat, wider, output, name, dense_per_tensor), wider, [note]


def _groups(graph: Graph, ranges: Mapping[str, Range]) -> dict[str, list[str]]:
    """By an activation's name, those that share its range; only where all of them can be widened.

    The image's grid and what the kernels fix stay.
    """
    names = graph.unique_names()
    fixed = {int(tensor) for tensor in graph.subgraph.inputs}
    fixed |= {int(made.outputs[0]) for made in graph.operators if graph.code(made) in FIXED}
    groups = [
        [names[tensor] for tensor in group if names[tensor] in ranges]
        for group in scale_groups(graph)
        if not fixed & {*group}
    ]
    return {name: group for group in groups for name in group}


def _raise(graph: Graph, groups: Mapping[str, list[str]]) -> dict[str, float]:
    """Raise the scales of an int8 model until XNNPACK takes them, in place.

    Returns the raised ones by name.
    """
    names = graph.unique_names()
    tensors = {name: tensor for tensor, name in names.items()}
    scales: dict[str, float] = {}
    for _ in range(PASSES * len(graph.operators)):
        narrow = ((excess, _first(excess, names, groups)) for excess in xnnpack.excesses(graph))
        excess, group = next(((excess, group) for excess, group in narrow if group), (None, []))
        if excess is None:
            break
        for name in group:
            scales[name] = xnnpack.scale(graph, tensors[name]) * excess.shortfall * MARGIN
            parameters = graph.tensors[tensors[name]].quantization
            parameters.scale = np.array([scales[name]], np.float32)
    return scales


def _first(
    excess: xnnpack.Excess, names: Mapping[int, str], groups: Mapping[str, list[str]]
) -> list[str]:
    """The activations to widen: the narrowest that may be, and those that share its range."""
    tensors = (names[tensor] for tensor in excess.narrow)
    return next((groups[name] for name in tensors if name in groups), [])
