"""Running a model, float or int8, up to the activations that somebody wants to see."""

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from edgecv.errors import DataError
from edgecv.tflite import contract, flatbuffer, runtime
from edgecv.tflite.graph import Graph

Image = npt.NDArray[np.uint8]
Values = npt.NDArray[Any]


def activations(
    flat: flatbuffer.ModelT, tensors: Sequence[int], images: Iterable[Image]
) -> Iterator[Callable[[int], Values]]:
    """For each image, what gives the stored values of an activation; good until the next image.

    The tensors become outputs of a model that ends with the last of them, so that XNNPACK, which
    otherwise keeps activations to itself, computes them: several times faster than with the
    interpreter's own option to keep tensors.
    """
    graph = Graph(flat)
    end = 1 + max(graph.place(tensor) for tensor in tensors)
    data = part(graph, 0, end, graph.subgraph.inputs, [*dict.fromkeys(tensors)])
    interpreter = runtime.load(data, num_threads=os.cpu_count() or 1)
    entry, taken = interpreter.get_input_details()[0], contract.of(flat).image
    for count, image in enumerate(images):
        if image.shape != tuple(entry["shape"][1:]):
            wanted = "x".join(map(str, entry["shape"][1:]))
            found = "x".join(map(str, image.shape))
            raise DataError(f"calibration image {count}: must be {wanted}, got {found}")
        interpreter.set_tensor(entry["index"], taken.encode(image[np.newaxis]))
        interpreter.invoke()
        yield interpreter.get_tensor


def dequantized(graph: Graph, tensor: int, values: Values) -> npt.NDArray[np.float32]:
    """The real values of an activation."""
    if graph.dtype(tensor) == "float32":
        return values
    parameters = graph.tensors[tensor].quantization
    real = values.astype(np.float32)
    real -= np.float32(parameters.zeroPoint[0])
    real *= np.float32(parameters.scale[0])
    return real


def part(
    graph: Graph, first: int, end: int, inputs: Sequence[int], outputs: Sequence[int]
) -> bytes:
    """The bytes of a model of the operators from `first` up to, not including, `end`."""
    flat, subgraph = graph.model, graph.subgraph
    kept = subgraph.inputs, subgraph.outputs, subgraph.operators, flat.signatureDefs
    subgraph.inputs, subgraph.outputs = np.array(inputs, np.int32), np.array(outputs, np.int32)
    subgraph.operators, flat.signatureDefs = graph.operators[first:end], []
    try:
        return flatbuffer.serialized(flat)
    finally:
        subgraph.inputs, subgraph.outputs, subgraph.operators, flat.signatureDefs = kept
