"""The arrays of each layer of a flat model, out of its file.

A .keras file has a group for every layer, models inside models as groups inside groups. A .h5 file
has one for each layer of the outermost model, with the arrays of all that is inside in a row.
"""

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import h5py
import numpy as np
from numpy.typing import NDArray

from edgecv.models.foreign import keras_archive
from edgecv.models.foreign.description import ForeignNetwork
from edgecv.models.foreign.keras_archive import KerasFile
from edgecv.models.foreign.nodes import LayerNode

Array: TypeAlias = NDArray[np.float32]
Arrays: TypeAlias = dict[str, list[Array]]  # by the path of a layer's place
ROOTS = ("layers", "_layer_checkpoint_dependencies")  # the second by Keras 2.12
NOT_TRAINED = {"moving_mean", "moving_variance", "mean", "variance", "count"}


def variables(node: LayerNode) -> list[str]:
    """The names of a node's arrays, in Keras's order."""
    settings = node.settings
    bias = ["bias"] * settings.get("use_bias", True)
    if node.kind in ("Conv2D", "Dense"):
        return ["kernel", *bias]
    if node.kind == "DepthwiseConv2D":
        return ["depthwise_kernel", *bias]
    if node.kind == "SeparableConv2D":
        return ["depthwise_kernel", "pointwise_kernel", *bias]
    if node.kind == "BatchNormalization":
        gamma, beta = (
            ["gamma"] * settings.get("scale", True),
            ["beta"] * settings.get("center", True),
        )
        return [*gamma, *beta, "moving_mean", "moving_variance"]
    if node.kind == "Normalization" and settings.get("mean") is None:
        return ["mean", "variance", "count"]
    return ["alpha"] if node.kind == "PReLU" else []


def read_arrays(file: KerasFile, network: ForeignNetwork) -> Arrays:
    """The arrays of every layer that has any.

    Raises OSError, LookupError or ValueError where the file is damaged.
    """
    layers = {node.place.path: node for node in network.nodes if variables(node)}
    if keras_archive.names(file.arrays, "layer_names"):
        return _from_groups(file.arrays, [*layers.values()])
    return {path: _from_container(file.arrays, node) for path, node in layers.items()}


def shapes(node: LayerNode, inputs: Sequence[int | None]) -> list[tuple[int | None, ...]]:
    """The shapes that a node's arrays must have for an input [batch, ..., channels]."""
    settings, channels = node.settings, inputs[-1] or 0
    kernel, depth = settings.get("kernel_size", ()), settings.get("depth_multiplier", 1)
    filters = settings.get("filters", channels * depth)
    table: dict[str, tuple[int | None, ...]] = {
        "kernel": (*kernel, channels // settings.get("groups", 1), filters),
        "depthwise_kernel": (*kernel, channels, depth),
        "pointwise_kernel": (1, 1, channels * depth, filters),
        "bias": (filters,),
        "count": (),
    }
    if node.kind == "Dense":
        table |= {"kernel": (channels, settings["units"]), "bias": (settings["units"],)}
    if node.kind == "PReLU":
        shared = settings.get("shared_axes") or ()
        sides = [1 if axis in shared else side for axis, side in enumerate(inputs)]
        table["alpha"] = tuple(sides[1:])
    return [table.get(variable, (channels,)) for variable in variables(node)]


def _from_container(root: h5py.Group, node: LayerNode) -> list[Array]:
    """A layer's arrays from its own group, where they are numbered."""
    path = node.place.path
    if ROOTS[0] not in root and ROOTS[1] in root:
        path = path.replace(*ROOTS)
    group = keras_archive.descend(root, path, "vars")
    return [keras_archive.array(group, str(index)) for index in range(len(variables(node)))]


def _from_groups(root: h5py.Group, nodes: Sequence[LayerNode]) -> Arrays:
    """All arrays, from the groups of the outermost layers."""
    tops = dict.fromkeys(node.place.top for node in nodes)
    read: Arrays = {}
    for top in tops:
        inside = [node for node in nodes if node.place.top == top]
        stored = keras_archive.names(keras_archive.descend(root, top), "weight_names")
        for node, names in zip(inside, _assigned(stored, inside, top), strict=True):
            read[node.place.path] = [keras_archive.array(root[top], name) for name in names]
    return read


def _assigned(stored: Sequence[str], nodes: Sequence[LayerNode], top: str) -> list[list[str]]:
    """The stored names of each node's arrays: by their names, else by their order."""
    by_name = [_named(stored, node) for node in nodes]
    used = [name for names in by_name for name in names or ()]
    layers = {node.place.layer for node in nodes}
    if None not in by_name and len(set(used)) == len(used) and len(layers) == len(nodes):
        return [names or [] for names in by_name]
    return _in_order(stored, nodes, top)


def _named(stored: Sequence[str], node: LayerNode) -> list[str] | None:
    """A node's arrays as `.../layer/variable:0`; None where not all of them are there once."""
    table: dict[str, list[str]] = {}
    for name in stored:
        *_, layer, variable = ("", *name.rsplit(":", 1)[0].split("/"))
        if layer == node.place.layer:
            table.setdefault(variable, []).append(name)
    order = []
    for variable in variables(node):
        names = table.get(variable) or table.get(variable.removeprefix("depthwise_")) or []
        if len(names) != 1:
            return None
        order.append(names[0])
    return order


def _in_order(stored: Sequence[str], nodes: Sequence[LayerNode], top: str) -> list[list[str]]:
    """By Keras's order: all that is trained, layer by layer, then all that is not."""
    rows = [(node.name, variable, _trained(node, variable)) for node in nodes
            for variable in variables(node)]  # fmt: skip
    order = [row for row in rows if row[2]] + [row for row in rows if not row[2]]
    if len(order) != len(stored):
        raise ValueError(f"'{top}' has {len(stored)} arrays, where {len(order)} are described")
    names: Mapping[Any, str] = dict(zip(order, stored, strict=True))
    return [[names[row] for row in rows if row[0] == node.name] for node in nodes]


def _trained(node: LayerNode, variable: str) -> bool:
    return not node.place.frozen and variable not in NOT_TRAINED
