"""From Keras's description of a model, in any version, to a flat list of nodes.

Models inside models are opened up, layers that do nothing at inference are left out, and functions
in a functional model (`x / 127.5 - 1`) become layers.
"""

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

from edgecv.errors import UnsupportedModelError
from edgecv.models.foreign import layers
from edgecv.models.foreign.functions import Call, Reference, calls_of, is_operation, operation
from edgecv.models.foreign.nodes import (
    ACTIVATED,
    ADVICE,
    LayerNode,
    Place,
    Refused,
    activation_of,
    config_of,
    kind_of,
    safe_name,
    settings_of,
)

MAX_NODES = 5000  # EfficientNetB7 has 814
MAX_DEPTH = 8  # of models inside models


Made: TypeAlias = dict[str, list[list[int]]]  # by layer and call, the tensors that came out


class ForeignNetwork(NamedTuple):
    """A model as a flat list of nodes, the first of which is the image; the last, what comes out.

    An image of None x None is of any size.
    """

    name: str
    shape: tuple[int | None, int | None, int]  # height, width, channels
    nodes: list[LayerNode]
    bytes_in: bool  # the image is of bytes, so of 0..255


def network(description: Mapping[str, Any], keras: int, path: Path) -> ForeignNetwork:
    """The network that a description amounts to.

    Raises UnsupportedModelError, naming the layer, where it holds anything but Keras's own layers
    for images, more than one input, or more than one output.
    """
    try:
        return _Reader(keras).read(description)
    except Refused as error:
        raise UnsupportedModelError(f"{path}: {error}") from error
    except (TypeError, KeyError, IndexError, AttributeError, ValueError, RecursionError) as error:
        reason = f"{type(error).__name__} {str(error)[:80]}"
        raise UnsupportedModelError(f"{path}: its description is damaged: {reason}") from error


class _Reader:
    """Collects nodes; a tensor is the index of the node that makes it."""

    def __init__(self, keras: int) -> None:
        self.keras = keras
        self.nodes: list[LayerNode] = []
        self.taken: Counter[str] = Counter()

    def read(self, description: Mapping[str, Any]) -> ForeignNetwork:
        kind = kind_of(description)
        if kind not in layers.MODELS:
            raise Refused(f"is a {kind}, not a Sequential or functional model; {ADVICE}")
        shape, dtype = _image(description)
        self.add("image", "Input", {}, (), Place(""))
        outputs = self.model(description, [0], Place(""), 0)
        if len(outputs) != 1:
            raise Refused(f"has {len(outputs)} outputs; one is allowed")
        nodes = _reachable(self.nodes, outputs[0])
        name = safe_name(str(_config(description).get("name") or "model"))
        return ForeignNetwork(name, shape, nodes, dtype.startswith(("uint", "int")))

    def add(
        self, name: str, kind: str, settings: dict[str, Any], inputs: Sequence[int], place: Place
    ) -> int:
        """A new node, under a name that no other has."""
        if len(self.nodes) >= MAX_NODES:
            raise Refused(f"has more than {MAX_NODES} layers")
        name = safe_name(name)
        self.taken[name.lower()] += 1
        while self.taken[name.lower()] > 1 or (name == "image" and self.nodes):
            name = f"{name}_{self.taken[name.lower()]}"
            self.taken[name.lower()] += 1
        self.nodes.append(LayerNode(name, kind, settings, tuple(inputs), place))
        return len(self.nodes) - 1

    def model(
        self, table: Mapping[str, Any], inputs: list[int], place: Place, depth: int
    ) -> list[int]:
        """The outputs of a model for its inputs."""
        if depth > MAX_DEPTH:
            raise Refused(f"has models inside models, {MAX_DEPTH} deep")
        if len(inputs) != 1:
            raise Refused(f"has {len(inputs)} inputs; one image is allowed")
        rows = _rows(table)
        places = _places(rows, place, _config(table).get("trainable") is False)
        if kind_of(table) == "Sequential":
            tensors = inputs
            for row, inner in zip(rows, places, strict=True):
                tensors = self.layer(row, tensors, inner, depth)
            return tensors
        return self._functional(table, rows, places, inputs, depth)

    def _functional(
        self,
        table: Mapping[str, Any],
        rows: list[dict[str, Any]],
        places: list[Place],
        inputs: list[int],
        depth: int,
    ) -> list[int]:
        """Every call of every layer, as soon as what it reads is there."""
        made: Made = {}
        waiting = [(row, place, 0) for row, place in zip(rows, places, strict=True)]
        while waiting:
            left = []
            for row, place, start in waiting:
                done = self._calls(row, place, start, made, inputs, depth)
                if done >= 0:
                    left.append((row, place, done))
            if left == waiting:
                raise Refused(f"layer '{_name(left[0][0])}' reads what no layer makes")
            waiting = left
        outputs = [
            find_tensor(made, reference)
            for reference in _references(_config(table).get("output_layers"))
        ]
        tensors = [tensor for tensor in outputs if tensor is not None]
        if not tensors or len(tensors) < len(outputs):
            raise Refused("its output is made by no layer")
        return tensors

    def _calls(
        self,
        row: dict[str, Any],
        place: Place,
        start: int,
        made: Made,
        inputs: list[int],
        depth: int,
    ) -> int:
        """Carry out a layer's calls from number `start`; the first that waits, or -1 after all."""
        name = _name(row)
        if kind_of(row) == "InputLayer":
            made[name] = [inputs]
            return -1
        calls = calls_of(row)
        if len(calls) > 1 and kind_of(row) in layers.MODELS:
            raise Refused(f"calls the model '{name}' inside it {len(calls)} times; once is allowed")
        for number, call in enumerate(calls[start:], start):
            tensors = [find_tensor(made, reference) for reference in call.references]
            ready = [tensor for tensor in tensors if tensor is not None]
            if not tensors:
                raise Refused(f"layer '{name}' reads nothing")
            if len(ready) < len(tensors):
                return number
            outputs = (
                [self._operation(row, call, ready)]
                if is_operation(row)
                else self.layer(row, ready, place, depth)
            )
            made.setdefault(name, []).append(outputs)
        return -1

    def _operation(self, row: dict[str, Any], call: Call, inputs: list[int]) -> int:
        """The node of a function in a functional model."""
        kind, settings = operation(row, call, self.keras)
        if kind == "Identity":
            return inputs[0]
        return self.add(_name(row), kind, settings, inputs, Place(""))

    def layer(
        self, table: dict[str, Any], inputs: list[int], place: Place, depth: int
    ) -> list[int]:
        """The outputs of a layer or an inner model."""
        kind, name = kind_of(table), place.layer or "layer"
        if kind in layers.MODELS:
            return self.model(table, inputs, place, depth + 1)
        if kind == "InputLayer" or (kind in layers.IDENTITIES and len(inputs) == 1):
            return inputs
        if kind not in layers.LAYERS:
            raise Refused(f"layer '{name}' is a {kind}, which is not taken from a file; {ADVICE}")
        settings = settings_of(kind, table)
        activation = activation_of(table, self.keras) if kind in ACTIVATED else None
        if kind != "Activation":
            inputs = [self.add(name, kind, settings, inputs, place)]
            name = f"{name}_activation"
        if activation is None:
            return inputs
        return [self.add(name, *activation, inputs, Place(""))]


def _places(rows: list[dict[str, Any]], outer: Place, frozen: bool) -> list[Place]:
    """Where the arrays of a model's layers lie: by name, and by number within their class."""
    seen: Counter[str] = Counter()
    places = []
    for row in rows:
        name, kind = _name(row), _snake_case(str(row.get("class_name")))
        key = f"{kind}_{seen[kind]}" if seen[kind] else kind
        seen[kind] += 1
        still = outer.frozen or frozen or _config(row).get("trainable") is False
        path = f"{outer.path}/layers/{key}".lstrip("/")
        places.append(Place(path, outer.top or name, name, still))
    return places


def _snake_case(name: str) -> str:
    """As Keras makes the names of a file's groups of arrays out of those of classes."""
    name = re.sub(r"(.)([A-Z][a-z]+)", r"\1_\2", re.sub(r"\W+", "", name))
    return re.sub(r"([a-z])([A-Z])", r"\1_\2", name).lower()


def _config(table: Mapping[str, Any]) -> dict[str, Any]:
    """A model's own part; a Sequential of Keras 2.2 is a mere list of layers."""
    config = table.get("config")
    return {"layers": config} if isinstance(config, list) else config_of(table)


def _rows(table: Mapping[str, Any]) -> list[dict[str, Any]]:
    rows = _config(table).get("layers")
    if not isinstance(rows, list) or not rows or not all(isinstance(row, dict) for row in rows):
        raise Refused(f"its model '{str(_config(table).get('name'))[:80]}' has no layers")
    return rows


def _name(row: Mapping[str, Any]) -> str:
    return str(_config(row).get("name") or row.get("name") or "")


def find_tensor(made: Made, reference: Reference) -> int | None:
    """The tensor that a reference is about; None where it is not made yet.

    What is called once is called so, whatever its number: Keras 2 counts the making of a model.
    """
    calls = made.get(reference.layer)
    if not calls:
        return None
    if len(calls) == 1 and reference.call in (0, 1):
        return calls[0][reference.output]
    return calls[reference.call][reference.output] if reference.call < len(calls) else None


def _references(value: Any) -> list[Reference]:
    """The outputs of a model: [layer, call, output], or a list of such."""
    if isinstance(value, list) and len(value) == 3 and isinstance(value[0], str):
        value = [value]
    if isinstance(value, dict):
        value = list(value.values())
    if not isinstance(value, list):
        raise Refused("has no outputs")
    return [Reference(str(layer), int(call), int(output)) for layer, call, output in value]


def _image(table: Mapping[str, Any]) -> tuple[tuple[int | None, int | None, int], str]:
    """Height, width and channels of the image that a model takes, and its type."""
    shapes = _shapes(table, 0)
    shape, dtype = next(shapes, (None, ""))
    if not isinstance(shape, list) or len(shape) != 4 or shape[3] not in (1, 3):
        raise Refused(
            f"takes {shape}; one image of [batch, height, width, 3 or 1] is allowed"
            if shape
            else "does not say what shape its image has; give its first layer an input_shape"
        )
    height, width = (side if side is None else layers.SIZE(side)[0] for side in shape[1:3])
    return (height, width, int(shape[3])), str(dtype)


def _shapes(table: Mapping[str, Any], depth: int) -> Iterator[tuple[Any, Any]]:
    """Every shape that a model's first layers name, the likeliest first."""
    if depth > MAX_DEPTH:
        return
    rows = _rows(table)
    names = [ref.layer for ref in _inputs(table)]
    if len(names) > 1:
        raise Refused(f"has {len(names)} inputs; one image is allowed")
    for row in [row for row in rows if not names or _name(row) in names][:1]:
        config = _config(row)
        for key in ("batch_shape", "batch_input_shape"):
            if config.get(key):
                yield config[key], config.get("dtype") if kind_of(row) == "InputLayer" else ""
        if kind_of(row) in layers.MODELS:
            yield from _shapes(row, depth + 1)
        yield from _built(row)
    yield from _built(table)


def _built(table: Mapping[str, Any]) -> Iterator[tuple[Any, Any]]:
    """The shape that a layer or model was built with, by its first call."""
    build = table.get("build_config")
    for config in (build if isinstance(build, dict) else {}, _config(table)):
        for key in ("input_shape", "build_input_shape"):
            if config.get(key):
                yield config[key], ""


def _inputs(table: Mapping[str, Any]) -> list[Reference]:
    names = _config(table).get("input_layers")
    return _references(names) if names else []


def _reachable(nodes: list[LayerNode], output: int) -> list[LayerNode]:
    """The nodes that `output` depends on, in order; its own is the last."""
    needed, waiting = {0}, [output]
    while waiting:
        index = waiting.pop()
        if index not in needed:
            needed.add(index)
            waiting += nodes[index].inputs
    if output == 0:
        raise Refused("gives back its image")
    order = [*sorted(needed - {output}), output]
    number = {index: place for place, index in enumerate(order)}
    return [
        nodes[index]._replace(inputs=tuple(number[tensor] for tensor in nodes[index].inputs))
        for index in order
    ]
