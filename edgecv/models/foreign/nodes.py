"""One layer of a model as it stands in a file, checked against the tables of `layers`."""

import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from edgecv.errors import UnsupportedModelError
from edgecv.models.foreign import layers

ADVICE = (
    "edgecv runs no code from a file: use layers of Keras in its place (Rescaling, Normalization),"
    " or take it out, and say --mean and --std where it scaled pixels;"
    " or convert the model yourself with tf.lite.TFLiteConverter and go on with the .tflite"
)
TRUSTED_MODULES = ("keras", "tf_keras", "tensorflow", "builtins", "edgecv")
ACTIVATED = {"Activation", "Conv2D", "DepthwiseConv2D", "SeparableConv2D", "Dense"}
RENAMED = {"LeakyReLU": {"negative_slope": "alpha"}}


class Place(NamedTuple):
    """Where a layer's arrays lie in its file."""

    path: str  # in a .keras: layers/functional/layers/conv2d_3
    top: str = ""  # in a .h5: the group, which is called after a layer of the outermost model
    layer: str = ""  # what the names of its arrays there begin with
    frozen: bool = False


class LayerNode(NamedTuple):
    """A layer of a flat model: its kind and settings, and the nodes that it reads."""

    name: str
    kind: str
    settings: Mapping[str, Any]
    inputs: tuple[int, ...]
    place: Place


class Refused(UnsupportedModelError):
    """A layer that is not taken from a file."""


def kind_of(table: Mapping[str, Any]) -> str:
    """The class of a layer, by Keras's own name. Raises Refused for what is not Keras's."""
    name, module = table.get("class_name"), str(table.get("module") or "keras").split(".")[0]
    if not isinstance(name, str):
        raise Refused("has a layer without a class")
    label = _label(table)
    if module not in TRUSTED_MODULES:
        raise Refused(f"{label} names the module '{module}', which is not imported; {ADVICE}")
    registered = table.get("registered_name")
    if registered and str(registered).split(">")[-1] not in (name, *layers.ALIASES):
        raise Refused(f"{label} is a {registered}, code of its author's; {ADVICE}")
    return layers.ALIASES.get(name, name)


def settings_of(kind: str, table: Mapping[str, Any]) -> dict[str, Any]:
    """The settings of a layer, checked. Raises Refused at the first that is not allowed."""
    config, label = config_of(table), _label(table)
    _check_type(config.get("dtype"), label)
    for key, allowed in layers.MUST_BE.items():
        if not any(config.get(key) is value for value in allowed) and config.get(key) not in (
            *(value for value in allowed if isinstance(value, str)),
        ):
            raise Refused(f"{label} has {key} {config.get(key)!r}, which edgecv does not take")
    names = RENAMED.get(kind, {})
    settings = {names.get(key, key): value for key, value in config.items()}
    made = {}
    for key, check in layers.LAYERS[kind].items():
        if key in settings:
            try:
                made[key] = check(settings[key])
            except ValueError as error:
                raise Refused(f"{label}: {key} {error}, got {str(settings[key])[:80]!r}") from error
    return made


def config_of(table: Mapping[str, Any]) -> dict[str, Any]:
    """A layer's own part of a description."""
    config = table.get("config")
    if not isinstance(config, dict):
        raise Refused(f"{_label(table)} has no settings")
    return config


def activation_of(table: Mapping[str, Any], keras: int) -> tuple[str, dict[str, Any]] | None:
    """The layer that a layer's `activation` amounts to; None where it has none.

    Keras 2's own hard_sigmoid has other slopes than everybody else's.
    """
    value, label = config_of(table).get("activation"), _label(table)
    if isinstance(value, dict) and value.get("class_name") in layers.LAYERS:
        return str(value["class_name"]), settings_of(str(value["class_name"]), value)
    ours = False
    if isinstance(value, dict):
        if str(value.get("module") or "keras").split(".")[0] not in TRUSTED_MODULES:
            raise Refused(f"{label} names a function of '{value.get('module')}'; {ADVICE}")
        value = value.get("config", value.get("class_name"))
        if isinstance(value, dict):
            value = value.get("name")
    if isinstance(value, str) and value.startswith("edgecv>"):
        value, ours = value.removeprefix("edgecv>"), True
    name = layers.FUNCTION_ALIASES.get(str(value), value)
    if name in (None, "linear"):
        return None
    if name not in layers.ACTIVATIONS:
        raise Refused(f"{label} has the activation {str(value)[:80]!r}; {ADVICE}")
    return function(str(name), keras if not ours else 3)


def function(name: str, keras: int = 3) -> tuple[str, dict[str, Any]]:
    """A function of Keras as a layer: its kind and settings."""
    if name in ("relu", "relu6"):
        return "ReLU", {"max_value": 6.0} if name == "relu6" else {}
    if name == "leaky_relu":
        return "LeakyReLU", {"alpha": 0.2}
    if name == "hard_sigmoid" and keras < 3:
        name = "keras2_hard_sigmoid"
    return "Activation", {"activation": name}


def safe_name(name: str) -> str:
    """A name that TensorFlow takes for a layer."""
    kept = re.sub(r"[^A-Za-z0-9_.-]", "_", name)[:200]
    return kept if re.match(r"[A-Za-z0-9.]", kept) else f"layer{kept}"


def _check_type(policy: Any, label: str) -> None:
    """Raise Refused where a layer computes in other numbers than floats."""
    if isinstance(policy, dict):
        inner = policy.get("config")
        policy = inner.get("name") if isinstance(inner, dict) else None
    if policy is not None and policy not in layers.POLICIES:
        raise Refused(
            f"{label} computes in {str(policy)[:40]!r} (allowed: {', '.join(layers.POLICIES)})"
        )


def _label(table: Mapping[str, Any]) -> str:
    config = table.get("config")
    name = config.get("name") if isinstance(config, dict) else None
    return f"layer '{str(name)[:80]}'" if name else f"a {str(table.get('class_name'))[:80]}"
