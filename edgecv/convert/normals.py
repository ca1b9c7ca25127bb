"""Mean and deviation of a .tflite file's tensors, from the Keras model's batch norms."""

from pathlib import Path
from typing import Any

import numpy as np
import tf_keras

from edgecv.files import sha256
from edgecv.tflite import batchnorm, flatbuffer
from edgecv.tflite.batchnorm import Normal
from edgecv.tflite.graph import Graph


def record(model: tf_keras.Model, tflite: Path, path: Path) -> Path | None:
    """Write the batch norms' statistics of a converted file to `path`; None where it has none."""
    statistics = normals(model, Graph(flatbuffer.read(tflite)))
    return batchnorm.write(path, statistics, sha256(tflite)) if statistics else None


def normals(model: tf_keras.Model, graph: Graph) -> dict[str, Normal]:
    """Mean and deviation of each channel behind each batch norm, by the tensor that holds it."""
    made = {
        graph.name(int(operator.outputs[0])): int(operator.outputs[0])
        for operator in graph.operators
    }
    normals = {}
    for layer in model.layers:
        if not isinstance(layer, tf_keras.layers.BatchNormalization):
            continue
        readers = [node.layer.name for node in layer.outbound_nodes]
        tensor = next((name for name in (layer.name, *readers) if name in made), None)
        normal = _normal(layer)
        if tensor and graph.shape(made[tensor])[-1:] == normal.mean.shape:
            normals[tensor] = normal
    return normals


def _normal(layer: Any) -> Normal:
    """A normalized channel has deviation 1, less what epsilon takes, then times gamma plus beta."""
    variance = layer.moving_variance.numpy().astype(float)
    gamma = layer.gamma.numpy() if layer.scale else np.ones_like(variance)
    beta = layer.beta.numpy() if layer.center else np.zeros_like(variance)
    shrunk = np.sqrt(variance / (variance + layer.epsilon))
    return Normal(beta.astype(float), np.abs(gamma) * shrunk)
