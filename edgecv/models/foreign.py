"""A model of anybody's, built from the description in its .keras or .h5 file.

A description can name any Python object; Keras would import it. So each one is looked at first, and
only layers and functions of Keras itself, known here by name, are let through.
"""

from pathlib import Path
from typing import Any

import tf_keras

from edgecv.errors import UnsupportedModelError
from edgecv.models import weights

LAYERS = {
    "Functional",
    "Sequential",
    "InputLayer",
    "Conv2D",
    "DepthwiseConv2D",
    "BatchNormalization",
    "Dense",
    "ReLU",
    "Softmax",
    "Activation",
    "Add",
    "Multiply",
    "Concatenate",
    "MaxPooling2D",
    "AveragePooling2D",
    "GlobalAveragePooling2D",
    "GlobalMaxPooling2D",
    "ZeroPadding2D",
    "Dropout",
    "Flatten",
    "Reshape",
}
PARTS = {  # what layers are described with
    "GlorotUniform",
    "GlorotNormal",
    "HeUniform",
    "HeNormal",
    "LecunNormal",
    "LecunUniform",
    "VarianceScaling",
    "RandomNormal",
    "RandomUniform",
    "TruncatedNormal",
    "Zeros",
    "Ones",
    "Constant",
    "L1",
    "L2",
    "L1L2",
    "Policy",
}
OURS = {"edgecv>hard_swish", "edgecv>hard_sigmoid", "hard_swish", "hard_sigmoid"}


def rebuilt(path: Path, classes: int) -> tf_keras.Model:
    """The model that a file describes, without its weights.

    Raises UnsupportedModelError when it is made of anything but Keras's own layers for images, or
    does not end in a softmax over its classes.
    """
    table = weights.description(path)
    _check(table, path)
    kind = tf_keras.Sequential if table["class_name"] == "Sequential" else tf_keras.Model
    try:
        model = kind.from_config(table["config"])
    except (ValueError, TypeError, KeyError, AttributeError, IndexError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise UnsupportedModelError(f"{path}: cannot be built again: {reason}") from error
    last = model.layers[-1].get_config()
    softmax = last.get("activation") == "softmax" or type(model.layers[-1]).__name__ == "Softmax"
    if model.output_shape != (None, classes) or not softmax:
        raise UnsupportedModelError(
            f"{path}: must end in a softmax over the {classes} classes of the data,"
            f" ends in {model.layers[-1].name} {model.output_shape}"
        )
    return model


def _check(value: Any, path: Path) -> None:
    """Raise UnsupportedModelError at the first thing that is not known."""
    if isinstance(value, list):
        for each in value:
            _check(each, path)
    if not isinstance(value, dict):
        return
    name = value.get("class_name")
    function = name == "function" and value.get("config") in OURS
    module = str(value.get("module") or "keras").split(".")[0]
    registered = value.get("registered_name")
    own = registered in (None, name) or (function and registered in OURS | {"function"})
    if name is not None and not function and (name not in LAYERS | PARTS or not own):
        raise UnsupportedModelError(f"{path}: has a {name}, which is not taken from a file")
    if module not in ("keras", "tf_keras", "builtins") and not function:
        raise UnsupportedModelError(f"{path}: names the module '{module}', which is not imported")
    for each in value.values():
        _check(each, path)
