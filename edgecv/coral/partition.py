"""Which of the operators that map run on the Edge TPU: the first connected part of them.

TFLite cuts a graph into parts by what depends on what, and the compiler keeps the first part that
maps; it leaves the others on the processor as "More than one subgraph is not supported".
"""

from collections.abc import Sequence

from edgecv.tflite.graph import Graph


def edge_tpu_operators(graph: Graph, maps: Sequence[bool]) -> set[int]:
    """The places of the operators that run on the Edge TPU; `maps` says which could on their own.

    A part begins with the first operator whose inputs are ready, and takes all of its kind that
    become ready with it.
    """
    waiting = list(range(len(graph.operators)))
    made = {int(tensor) for operator in graph.operators for tensor in operator.outputs}
    while waiting:
        part, waiting = _part(graph, maps, waiting, made)
        if part and maps[part[0]]:
            return set(part)
        if not part:
            break
    return set()


def _part(
    graph: Graph, maps: Sequence[bool], waiting: list[int], missing: set[int]
) -> tuple[list[int], list[int]]:
    """One part and what waits after it; the tensors that it makes leave `missing`."""
    part: list[int] = []
    while True:
        later = []
        for place in waiting:
            operator = graph.operators[place]
            ready = not missing.intersection(map(int, operator.inputs))
            if ready and (not part or maps[place] == maps[part[0]]):
                part.append(place)
                missing.difference_update(map(int, operator.outputs))
            else:
                later.append(place)
        if len(later) == len(waiting):
            return part, later
        waiting = later
