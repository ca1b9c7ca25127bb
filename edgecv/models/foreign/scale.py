"""A model's pixel scale before its first layer: scale and offset, as one step.

Rescaling, Normalization and arithmetic with constants are all of the same form, scale * x + offset.
"""

from collections import Counter
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgecv.artifacts import Normalization
from edgecv.models.foreign.arrays import Arrays
from edgecv.models.foreign.description import ForeignNetwork
from edgecv.models.foreign.nodes import LayerNode, Place

BYTES = Normalization((0.0, 0.0, 0.0), (1.0, 1.0, 1.0))  # pixels as they are, 0..255
SMALLEST = 1e-7  # deviation that Keras divides by


def simplify(network: ForeignNetwork, arrays: Arrays) -> ForeignNetwork:
    """The same network, every run of scaling layers as one Rescaling."""
    nodes = [_rescaling(node, arrays) for node in network.nodes]
    readers = Counter(index for node in nodes for index in node.inputs)
    place, kept = {0: 0}, [nodes[0]]
    for index, node in enumerate(nodes[1:], 1):
        last = node.inputs[0]
        if node.kind == nodes[last].kind == "Rescaling" and readers[last] == 1:
            before = kept[place[last]]
            kept[place[last]] = before._replace(settings=_composed(before.settings, node.settings))
            place[index] = place[last]
        else:
            place[index] = len(kept)
            kept.append(node._replace(inputs=tuple(place[tensor] for tensor in node.inputs)))
    return network._replace(nodes=kept)


def pixel_scale(network: ForeignNetwork) -> Normalization | None:
    """The pixel scale that a simplified network begins with; None where it has none.

    None, too, where that cannot be said as a mean and a deviation.
    """
    if not _scales_first(network):
        return BYTES if network.bytes_in else None
    scale, offset = _of(network.nodes[1].settings)
    mean, std = np.broadcast_to(0 - offset / scale, 3), np.broadcast_to(1 / scale, 3)
    return Normalization(_three(mean), _three(std))


def _scales_first(network: ForeignNetwork) -> bool:
    """Whether all that reads the image is one Rescaling, by more than 0."""
    readers = [node for node in network.nodes if 0 in node.inputs]
    if len(readers) != 1 or readers[0].kind != "Rescaling" or len(network.nodes) < 3:
        return False
    scale, offset = _of(readers[0].settings)
    return bool((scale > 0).all() and max(scale.size, offset.size) in (1, network.shape[2]))


def _rescaling(node: LayerNode, arrays: Arrays) -> LayerNode:
    """A Normalization as a Rescaling."""
    if node.kind != "Normalization":
        return node
    mean, variance = (node.settings.get(key) for key in ("mean", "variance"))
    if mean is None or variance is None:
        mean, variance = arrays[node.place.path][:2]
    mean, variance = np.asarray(mean, float).ravel(), np.asarray(variance, float).ravel()
    std = np.maximum(np.sqrt(np.maximum(variance, 0)), SMALLEST)
    scale, offset = (std, mean) if node.settings.get("invert") else (1 / std, -mean / std)
    settings = _settings(scale, offset)
    return node._replace(kind="Rescaling", settings=settings, place=Place(""))


def _composed(first: Mapping[str, Any], second: Mapping[str, Any]) -> dict[str, Any]:
    (scale, offset), (again, more) = _of(first), _of(second)
    return _settings(scale * again, offset * again + more)


def _of(settings: Mapping[str, Any]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    scale, offset = settings.get("scale", 1.0), settings.get("offset", 0.0)
    return np.atleast_1d(np.asarray(scale, float)), np.atleast_1d(np.asarray(offset, float))


def _settings(scale: NDArray[np.float64], offset: NDArray[np.float64]) -> dict[str, Any]:
    return {"scale": _plain(scale), "offset": _plain(offset)}


def _plain(values: NDArray[np.float64]) -> list[float] | float:
    return float(values[0]) if values.size == 1 else values.tolist()


def _three(values: NDArray[np.float64]) -> tuple[float, float, float]:
    red, green, blue = (float(f"{value:.9g}") for value in values)  # 127.5, not 127.49999999999999
    return red, green, blue
