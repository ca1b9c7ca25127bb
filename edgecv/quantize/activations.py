"""Running a model, float or int8, up to the activations that somebody wants to see."""

import copy
import functools
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from edgecv.errors import DataError
from edgecv.tflite import contract, flatbuffer, runtime
from edgecv.tflite.graph import Graph
from edgecv.tflite.packing import PackedTables
from edgecv.tflite.schema import schema

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
    entry, taken = interpreter.get_input_details()[0], contract.read_model(flat).image
    for count, image in enumerate(images):
        if image.shape != tuple(entry["shape"][1:]):
            wanted = "x".join(map(str, entry["shape"][1:]))
            actual = "x".join(map(str, image.shape))
            raise DataError(f"calibration image {count}: must be {wanted}, got {actual}")
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
    graph: Graph,
    first: int,
    end: int,
    inputs: Sequence[int],
    outputs: Sequence[int],
    packed: PackedTables | None = None,
) -> bytes:
    """The bytes of a model of the operators from `first` up to, not including, `end`.

    Tensors keep their numbers. Of those that the part does not touch only the place is left, and
    no constant: packing a whole model takes ten times as long as running a layer of it. With
    `packed`, which several parts share, no table is packed twice.
    """
    cut, subgraph = copy.copy(graph.model), copy.copy(graph.subgraph)
    subgraph.inputs, subgraph.outputs = np.array(inputs, np.int32), np.array(outputs, np.int32)
    operators = graph.operators[first:end]
    touched = {*map(int, inputs), *map(int, outputs)}
    touched.update(
        int(tensor)
        for operator in operators
        for side in (operator.inputs, operator.outputs, operator.intermediates)
        for tensor in (side if side is not None else ())
    )
    tables = packed or PackedTables()
    nothing, empty = _stored_once(schema().TensorT()), _stored_once(schema().BufferT())
    subgraph.operators = [tables[operator] for operator in operators]
    subgraph.tensors = [
        tables[tensor] if place in touched else nothing
        for place, tensor in enumerate(graph.tensors)
    ]
    others = graph.model.subgraphs[1:]
    stored = {graph.tensors[place].buffer for place in touched if place >= 0}
    stored.update(tensor.buffer for other in others for tensor in other.tensors)
    cut.subgraphs = [subgraph, *others]
    cut.buffers = [
        buffer if place in stored else empty for place, buffer in enumerate(graph.model.buffers)
    ]
    cut.metadata, cut.signatureDefs = [], []
    return flatbuffer.serialized(cut)


def _stored_once(table: Any) -> Any:
    """An object of the schema that a file holds once, however many places of a list point to it."""
    table.Pack = functools.cache(table.Pack)  # its only argument is the file's builder
    return table
