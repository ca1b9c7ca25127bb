"""A SavedModel folder, ready to be converted: its graph is loaded after `check_graph` saw it."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from edgecv.convert.any_model import Pixels, SourceModel
from edgecv.convert.keras import freeze, write_frozen
from edgecv.convert.saved_graph import check_graph
from edgecv.errors import UnsupportedModelError
from edgecv.models.foreign import BYTES
from edgecv.tflite import tf_logging

SIGNATURE = "serving_default"
FAILURES = (OSError, ValueError, TypeError, LookupError, AttributeError, RuntimeError)
PASSING = ("Identity", "Cast", "EnsureShape")
DIVISOR = 10  # what a model that begins so is given are pixels of 0..255: no other scale is as wide


def source_of(path: Path, side: int | None) -> SourceModel:
    """The model in a SavedModel folder.

    Raises UnsupportedModelError when it cannot be read, or its signature is no image classifier's.
    """
    check_graph(path)
    try:
        with tf_logging.silence_tensorflow():
            loaded = tf.saved_model.load(str(path))
        signatures: Mapping[str, Any] = loaded.signatures
    except (*FAILURES, tf.errors.OpError) as error:
        reason = str(error).splitlines()[0][:200] if str(error) else type(error).__name__
        raise UnsupportedModelError(f"{path}: cannot be loaded: {reason}") from error
    name = SIGNATURE if SIGNATURE in signatures else next(iter(signatures), "")
    if not name:
        raise UnsupportedModelError(f"{path}: has no signature; export it with model.export()")
    signature = signatures[name]
    _check_random(signature, path)
    key, shape = _image(signature, side, path)

    def scores(image: Any) -> Any:
        return next(iter(signature(**{key: image}).values()))

    def answer(pixels: Pixels) -> Pixels:
        return np.asarray(scores(tf.constant(pixels)), np.float32)

    try:
        function = freeze(scores, shape)
    except (*FAILURES, tf.errors.OpError) as error:
        reason = str(error).splitlines()[0][:200] if str(error) else type(error).__name__
        raise UnsupportedModelError(f"{path}: takes no batch of 1: {reason}") from error
    inside = BYTES if _scales_pixels(function.graph.as_graph_def()) else None
    keep = loaded  # its variables live as long as it does

    def write(out: Path) -> Any:
        return write_frozen(function, out, keep and path.name)

    return SourceModel(write, answer, None, shape, inside=inside)


def _check_random(signature: Any, path: Path) -> None:
    """Raise UnsupportedModelError where a signature changes images at random.

    model.export() of Keras leaves augmentation on: its layers are called without `training`.
    """
    graph = signature.graph.as_graph_def()
    nodes = [*graph.node, *(node for inner in graph.library.function for node in inner.node_def)]
    if any("Random" in node.op or node.op.startswith("Rng") for node in nodes):
        raise UnsupportedModelError(
            f"{path}: changes images at random at inference, too, as model.export() leaves layers"
            " like RandomFlip; convert its .keras file, or export it without those layers"
        )


def _image(signature: Any, side: int | None, path: Path) -> tuple[str, tuple[int, ...]]:
    """The name of a signature's image, and its shape with a batch of 1."""
    inputs, outputs = signature.structured_input_signature[1], signature.structured_outputs
    if len(inputs) != 1 or len(outputs) != 1:
        raise UnsupportedModelError(
            f"{path}: takes {', '.join(inputs)} and gives {', '.join(outputs)};"
            " one image and its scores are allowed"
        )
    ((key, spec),) = inputs.items()
    shape = spec.shape.as_list() if spec.shape.rank == 4 else []
    if not shape or shape[0] not in (None, 1) or shape[3] not in (1, 3) or spec.dtype != tf.float32:
        raise UnsupportedModelError(
            f"{path}: takes {spec.dtype.name} {spec.shape}; one image of float32"
            " [batch, height, width, 3 or 1] is allowed"
        )
    height, width = (length or side for length in shape[1:3])
    if not height or not width:
        raise UnsupportedModelError(
            f"{path}: takes images of any size, where a .tflite has one: say it, --res 224"
        )
    return str(key), (1, int(height), int(width), int(shape[3]))


def _scales_pixels(graph: Any) -> bool:
    """Whether a graph begins by bringing pixels of 0..255 to a smaller scale.

    The .tflite does not show it: the converter multiplies the first weights instead.
    """
    nodes, tensor = {node.name: node for node in graph.node}, "image"
    while True:
        readers = [node for node in graph.node if tensor in map(_maker, node.input)]
        if len(readers) != 1:
            return False
        if readers[0].op not in PASSING:
            return _divides(readers[0], tensor, nodes)
        tensor = readers[0].name


def _divides(node: Any, tensor: str, nodes: Mapping[str, Any]) -> bool:
    """Whether a node takes what it reads to a much smaller scale, by constants."""
    others = [name for name in map(_maker, node.input) if name != tensor]
    constant = nodes.get(others[0]) if others else None
    while constant is not None and constant.op in PASSING:
        constant = nodes.get(_maker(constant.input[0]))
    if constant is None or constant.op != "Const":
        return False
    values = np.abs(tf.make_ndarray(constant.attr["value"].tensor).astype(float))
    if node.op == "Mul":
        return bool((values < 1 / DIVISOR).all())
    return node.op in ("RealDiv", "Sub") and bool((values > DIVISOR).all())


def _maker(tensor: str) -> str:
    """The node that a tensor comes from; a node to wait for keeps its ^."""
    return tensor.partition(":")[0]
