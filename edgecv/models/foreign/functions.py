"""Functions in a functional model, such as `x / 127.5 - 1` or `tf.nn.relu6(x)`, as layers.

Keras 3 keeps them as operations; Keras 2 as TFOpLambda or, before 2.4, TensorFlowOpLayer.
"""

import json
from collections.abc import Mapping
from typing import Any, NamedTuple, TypeAlias

from edgecv.models.foreign import layers
from edgecv.models.foreign.nodes import ADVICE, Refused, config_of, function, kind_of

LAMBDAS = {"TFOpLambda", "SlicingOpLambda"}
CONSTANT = "_CONSTANT_VALUE"  # stands where Keras 2 would name a layer
KERAS_TENSOR = "__keras_tensor__"
MERGES = {
    "add": "Add",
    "subtract": "Subtract",
    "multiply": "Multiply",
    "maximum": "Maximum",
    "minimum": "Minimum",
}
SECOND = ("y", "x2", "b", "bias", "value")  # what functions call their second operand
Settings: TypeAlias = tuple[str, dict[str, Any]]


class Reference(NamedTuple):
    """A tensor by the layer that makes it, the number of its call, and of its output."""

    layer: str
    call: int
    output: int


class Call(NamedTuple):
    """The arguments of a call of a layer or function; a tensor stands as a Reference."""

    arguments: list[Any]
    named: dict[str, Any]

    @property
    def references(self) -> list[Reference]:
        """All tensors, in order."""
        return [*_tensors(self.arguments), *_tensors(list(self.named.values()))]


def is_operation(row: Mapping[str, Any]) -> bool:
    """Whether a row of a description is a function, and no layer."""
    name, config = kind_of(row), row.get("config")
    if name in LAMBDAS or name == "TensorFlowOpLayer" or ".ops." in str(row.get("module")):
        return True
    bare = isinstance(config, dict) and "trainable" not in config
    return bare and name.lower() in layers.FUNCTIONS


def calls_of(row: Mapping[str, Any]) -> list[Call]:
    """Every call of a layer in a functional model, in the form of Keras 2 or 3."""
    calls = []
    for node in row.get("inbound_nodes") or []:
        if isinstance(node, dict):
            named = {key: _decoded(value) for key, value in node["kwargs"].items()}
            calls.append(Call([_decoded(value) for value in node["args"]], named))
        elif node and isinstance(node[0], str):
            calls.append(_call_of_keras2([node]))
        else:
            calls.append(_call_of_keras2(node))
    augments = str(row.get("class_name")).startswith("Random")  # Keras 3 writes training=True
    if not augments and any(call.named.get("training") is True for call in calls):
        raise Refused(
            f"layer '{config_of(row).get('name')}' is called with training=True, so that its answer"
            " is random or depends on other images; leave that argument out"
        )
    return calls


def operation(row: Mapping[str, Any], call: Call, keras: int) -> Settings:
    """The layer that a function with its constants amounts to. Raises Refused where none does."""
    name, operands = _called(row, call)
    label = f"layer '{config_of(row).get('name')}'"
    if name is None:
        raise Refused(f"{label} is the function {_title(row)}, which is not taken; {ADVICE}")
    if name == "identity":
        return "Identity", {}
    if name in layers.ACTIVATIONS:
        return function(name, keras)
    if name == "mean":
        return _mean(row, call, label)
    if name == "reshape":
        return "Reshape", {"target_shape": _target(row, call, label)}
    if name == "concat":
        axis = call.named.get("axis", config_of(row).get("axis", -1))
        return "Concatenate", {"axis": _checked(layers.axis, axis, label)}
    return _arithmetic(name, operands, label)


def _arithmetic(name: str, operands: list[Any], label: str) -> Settings:
    """Tensors with each other, or one with constants: scale and offset."""
    tensors = [isinstance(operand, Reference) for operand in operands[:2]]
    if tensors == [True, True] and name in MERGES:
        return MERGES[name], {}
    if sorted(tensors) != [False, True] or name in ("maximum", "minimum"):
        raise Refused(f"{label} is a {name} of what edgecv cannot follow; {ADVICE}")
    constant = _checked(layers.numbers, _value(operands[tensors.index(False)]), label)
    many = constant if isinstance(constant, list) else [constant]
    first = tensors[0]
    if name == "divide" and first and all(many):
        return "Rescaling", {"scale": _shaped([1 / value for value in many]), "offset": 0.0}
    if name == "multiply":
        return "Rescaling", {"scale": constant, "offset": 0.0}
    if name == "add":
        return "Rescaling", {"scale": 1.0, "offset": constant}
    if name == "subtract" and first:
        return "Rescaling", {"scale": 1.0, "offset": _shaped([-value for value in many])}
    if name == "subtract":
        return "Rescaling", {"scale": -1.0, "offset": constant}
    raise Refused(f"{label} divides a constant; {ADVICE}")


def _called(row: Mapping[str, Any], call: Call) -> tuple[str | None, list[Any]]:
    """A function's name in edgecv's table, and its operands in order."""
    title = _title(row).split(".")[-1].lower()
    name = layers.FUNCTIONS.get(title)
    if kind_of(row) == "TensorFlowOpLayer":
        constants = config_of(row).get("constants") or {}
        count = len(call.references) + len(constants)
        tensors = iter(call.references)
        return name, [
            constants[str(index)] if str(index) in constants else next(tensors)
            for index in range(count)
        ]
    operands = [*call.arguments, *(call.named[key] for key in SECOND if key in call.named)]
    if operands and isinstance(operands[0], list) and len(operands) == 1:
        operands = operands[0]
    return name, operands


def _title(row: Mapping[str, Any]) -> str:
    """A function's own name: `math.truediv`, `TrueDivide`, `RealDiv`."""
    config = config_of(row)
    if kind_of(row) in LAMBDAS:
        return str(config.get("function") or kind_of(row))[:80]
    if kind_of(row) == "TensorFlowOpLayer":
        definition = config.get("node_def")
        table = json.loads(definition) if isinstance(definition, str) else definition
        return str(table.get("op") if isinstance(table, dict) else None)[:80]
    return kind_of(row)[:80]


def _mean(row: Mapping[str, Any], call: Call, label: str) -> Settings:
    config = {**config_of(row), **call.named}
    axes = config.get("axis", call.arguments[1] if len(call.arguments) > 1 else None)
    if not isinstance(axes, list) or sorted(axes) not in ([1, 2], [-3, -2]):
        raise Refused(f"{label} is a mean over {axes}; over height and width is allowed")
    return "GlobalAveragePooling2D", {"keepdims": config.get("keepdims") is True}


def _target(row: Mapping[str, Any], call: Call, label: str) -> tuple[int, ...]:
    """A shape without the batch."""
    config = {**config_of(row), **call.named}
    rest = call.arguments[1] if len(call.arguments) > 1 else None
    target = config.get("newshape", config.get("shape", rest))
    if not isinstance(target, list) or len(target) < 2 or target[0] not in (-1, None, 1):
        raise Refused(f"{label} reshapes to {str(target)[:80]}; the batch must stay as it is")
    return tuple(_checked(layers.shape, target[1:], label))


def _checked(check: layers.Check, value: Any, label: str) -> Any:
    try:
        return check(value)
    except ValueError as error:
        raise Refused(f"{label}: a constant {error}, got {str(value)[:80]!r}") from error


def _shaped(values: list[float]) -> list[float] | float:
    return values[0] if len(values) == 1 else values


def _value(value: Any) -> Any:
    """The numbers of a constant, which Keras writes as they are or as an array."""
    if isinstance(value, dict):
        config = value.get("config")
        return config.get("value") if isinstance(config, dict) else value.get("value")
    return value


def _call_of_keras2(node: list[Any]) -> Call:
    """A call whose tensors are [layer, call, output, named arguments]."""
    arguments: list[Any] = []
    named: dict[str, Any] = {}
    for item in node:
        layer, call, output, *rest = item
        constant = layer == CONSTANT
        arguments.append(output if constant else Reference(str(layer), int(call), int(output)))
        more = rest[0] if rest else {}
        named |= {key: _decoded_of_keras2(value) for key, value in more.items()}
    return Call(arguments, named)


def _decoded_of_keras2(value: Any) -> Any:
    if isinstance(value, list) and len(value) == 3 and isinstance(value[0], str):
        return Reference(value[0], int(value[1]), int(value[2]))
    return value


def _decoded(value: Any) -> Any:
    """A value of Keras 3, with a Reference for a tensor."""
    if isinstance(value, list):
        return [_decoded(item) for item in value]
    if isinstance(value, dict) and value.get("class_name") == KERAS_TENSOR:
        layer, call, output = value["config"]["keras_history"]
        return Reference(str(layer), int(call), int(output))
    return value


def _tensors(value: Any) -> list[Reference]:
    if isinstance(value, Reference):
        return [value]
    if isinstance(value, list):
        return [tensor for item in value for tensor in _tensors(item)]
    return []
