"""The range of every activation, from running the float model on representative images."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping

import numpy as np

from edgecv.artifacts import Range, TFLiteModel
from edgecv.errors import DataError, UnsupportedModelError
from edgecv.progress import QUIET, Progress
from edgecv.quantize.activations import Image, activations
from edgecv.quantize.ranges import refined
from edgecv.quantize.statistics import Statistics
from edgecv.tflite import flatbuffer
from edgecv.tflite.graph import Graph


def calibrate(
    model: TFLiteModel, images: Iterable[Image], progress: Progress = QUIET
) -> dict[str, Range]:
    """The range to quantize each activation to, by its name, from RGB images [H, W, 3].

    Raises DataError when there is no image or one of another size, UnsupportedModelError when the
    model computes something that is not a finite number.
    """
    flat = flatbuffer.read(model.path)
    return usable(Graph(flat), observed(flat, images, progress, str(model.path)))


def observed(
    flat: flatbuffer.ModelT,
    images: Iterable[Image],
    progress: Progress = QUIET,
    name: str = "the model",
    among: Collection[str] | None = None,
) -> dict[str, Statistics]:
    """Statistics of the float model's activations, by name; messages call the model `name`.

    Of all of them, or of those `among`. Raises as `calibrate` does.
    """
    graph = Graph(flat)
    names = graph.unique_names()
    entry = set(map(int, graph.subgraph.inputs))
    made = [
        tensor
        for tensor in graph.activations()
        if tensor not in entry and (among is None or names[tensor] in among)
    ]
    seen: dict[str, Statistics] = defaultdict(Statistics)
    count = 0
    for values in activations(flat, made, progress.track(images, "calibrate")):
        for tensor in made:
            seen[names[tensor]].see(values(tensor))
        count += 1
    if not count:
        raise DataError("calibration: no images")
    for tensor_name, ends in seen.items():
        if not np.isfinite(ends.low) or not np.isfinite(ends.high):
            raise UnsupportedModelError(
                f"{name}: {tensor_name} holds values that are not finite: [{ends.low}, {ends.high}]"
            )
    return dict(seen)


def usable(graph: Graph, seen: Mapping[str, Statistics]) -> dict[str, Range]:
    """The ranges that hold all that was seen and can be put on a grid."""
    return refined(graph, {name: values.range() for name, values in seen.items()})
