"""Bytes that go over the bus in every inference, beside parameters that do not fit on the chip."""

import math

from edgecv.coral.cycles import ELEMENTWISE
from edgecv.coral.layers import round_up
from edgecv.tflite.graph import Graph

WORD, BLOCK, LINE = 8, 4, 64  # bytes that transfers, pixels' channels and constants are filled to


def io_bytes(graph: Graph, places: set[int]) -> int:
    """Bytes of all activations that enter or leave the part on the Edge TPU.

    As compiled files have them: what enters is filled up to whole words, what leaves has its
    channels filled up to fours. Images that are sent in strips, which overlap, take some more.
    """
    made: set[int] = set()
    read_inside: set[int] = set()
    read_outside = {int(tensor) for tensor in graph.subgraph.outputs}
    for place, operator in enumerate(graph.operators):
        (read_inside if place in places else read_outside).update(map(int, operator.inputs))
        if place in places:
            made.update(map(int, operator.outputs))
    activations = set(graph.activations())
    entering, leaving = (read_inside - made) & activations, made & read_outside & activations
    received = sum(round_up(graph.size_bytes(tensor), WORD) for tensor in entering)
    return received + sum(_filled(graph, tensor) for tensor in leaving)


def _filled(graph: Graph, tensor: int) -> int:
    """Bytes of what leaves the chip."""
    channels = max(1, graph.shape(tensor)[-1]) if graph.shape(tensor) else 1
    return round_up(graph.size_bytes(tensor) // channels * round_up(channels, BLOCK), WORD)


def constant_bytes(graph: Graph, places: set[int]) -> int:
    """Bytes of what is added, multiplied ... element by element: sent, never kept on the chip."""
    tensors = [
        int(tensor)
        for place in places
        if graph.code(graph.operators[place]) in ELEMENTWISE
        for tensor in graph.operators[place].inputs
    ]
    sizes = [
        graph.size_bytes(tensor)
        for tensor in tensors
        if tensor >= 0 and graph.is_constant(tensor) and math.prod(graph.shape(tensor)) > 1
    ]
    return sum(round_up(size, LINE) for size in sizes)
