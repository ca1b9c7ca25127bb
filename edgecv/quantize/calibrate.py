"""The range of every activation, from running the float model on representative images."""

import os
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import numpy.typing as npt

from edgecv.artifacts import Range, TFLiteModel
from edgecv.errors import DataError, UnsupportedModelError
from edgecv.progress import QUIET, Progress
from edgecv.quantize.ranges import refined
from edgecv.tflite import flatbuffer, runtime
from edgecv.tflite.graph import Graph

Image = npt.NDArray[np.uint8]
Values = npt.NDArray[Any]


def calibrate(
    model: TFLiteModel, images: Iterable[Image], progress: Progress = QUIET
) -> dict[str, Range]:
    """The range to quantise each activation to, by its name, from RGB images [H, W, 3].

    Raises DataError when there is no image or one of another size, UnsupportedModelError when the
    model computes something that is not a finite number.
    """
    flat = flatbuffer.read(model.path)
    observed = Extremes()
    observe(flat, images, observed.see, progress)
    for tensor, (low, high) in observed.ranges.items():
        if not np.isfinite(low) or not np.isfinite(high):
            raise UnsupportedModelError(
                f"{model.path}: {tensor} holds values that are not finite: [{low}, {high}]"
            )
    return refined(Graph(flat), observed.ranges)


class Extremes:
    """The lowest and highest value seen of each tensor."""

    def __init__(self) -> None:
        self.ranges: dict[str, Range] = {}

    def see(self, tensor: str, values: Values) -> None:
        """Widen a tensor's range to hold `values`; a NaN stays."""
        low, high = float(values.min()), float(values.max())
        if tensor in self.ranges:
            before = self.ranges[tensor]
            low, high = float(np.minimum(low, before.low)), float(np.maximum(high, before.high))
        self.ranges[tensor] = Range(low, high)


def observe(
    flat: flatbuffer.ModelT,
    images: Iterable[Image],
    see: Callable[[str, Values], None],
    progress: Progress = QUIET,
) -> None:
    """Run the float model on each image and show `see` the values of every activation.

    All activations become outputs of the model, so that XNNPACK, which otherwise keeps them to
    itself, computes them: several times faster than with the interpreter's own option to keep
    tensors. The values may be read only until `see` returns.
    """
    exposed, names = _exposed(flat)
    interpreter = runtime.load(exposed, num_threads=os.cpu_count() or 1)
    entry = interpreter.get_input_details()[0]
    views = [
        (names[each["index"]], interpreter.tensor(each["index"]))
        for each in interpreter.get_output_details()
    ]
    seen = 0
    for image in progress.track(images, "calibrate"):
        if image.shape != tuple(entry["shape"][1:]):
            wanted = "x".join(map(str, entry["shape"][1:]))
            found = "x".join(map(str, image.shape))
            raise DataError(f"calibration image {seen}: must be {wanted}, got {found}")
        interpreter.set_tensor(entry["index"], runtime.as_input(image[np.newaxis], entry))
        interpreter.invoke()
        for name, view in views:
            see(name, view())
        seen += 1
    if not seen:
        raise DataError("calibration: no images")


def _exposed(flat: flatbuffer.ModelT) -> tuple[bytes, dict[int, str]]:
    """The model with every activation as an output, and the activations' names by index."""
    graph = Graph(flat)
    names = graph.unique_names()
    entry = set(map(int, graph.subgraph.inputs))
    outputs, signatures = graph.subgraph.outputs, flat.signatureDefs
    made = [tensor for tensor in graph.activations() if tensor not in entry]
    graph.subgraph.outputs, flat.signatureDefs = np.array(made, np.int32), []
    try:
        return flatbuffer.serialized(flat), names
    finally:
        graph.subgraph.outputs, flat.signatureDefs = outputs, signatures
