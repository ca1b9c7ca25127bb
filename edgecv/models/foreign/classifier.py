"""A foreign model as a classifier that can be trained on: probabilities of its classes."""

from pathlib import Path

import tf_keras

from edgecv.errors import UnsupportedModelError
from edgecv.models import foreign
from edgecv.models.foreign.arrays import Arrays
from edgecv.models.foreign.description import ForeignNetwork
from edgecv.models.foreign.nodes import LayerNode, Place
from edgecv.models.foreign.rebuild import build

SCORING = {"Dense", "Flatten", "Reshape", "GlobalAveragePooling2D", "GlobalMaxPooling2D"}
SOFTMAX = {"activation": "softmax"}


def classifier(path: Path, classes: int, side: int | None = None) -> tf_keras.Model:
    """The model in a file with its weights, from `image` to `scores` [batch, classes].

    A softmax follows where the file ends in logits, and one output becomes two classes; `side` is
    of its square image, where that is not the file's own. Raises UnsupportedModelError when it is
    no classifier of so many classes.
    """
    source = foreign.read(path)
    network, arrays = _with_softmax(source.network, source.arrays, classes)
    if side:
        network = network._replace(shape=(side, side, network.shape[2]))
    model = build(network, arrays, path)
    last = network.nodes[-1]
    softmax = last.kind == "Softmax" or last.settings.get("activation") == "softmax"
    if model.output_shape != (None, classes) or not softmax:
        raise UnsupportedModelError(
            f"{path}: must end in a softmax, or the logits, of the {classes} classes of the data,"
            f" ends in {last.name} {model.output_shape}"
        )
    return model


def _with_softmax(
    network: ForeignNetwork, arrays: Arrays, classes: int
) -> tuple[ForeignNetwork, Arrays]:
    """The network with a softmax at its end, if it has none."""
    nodes, last = network.nodes, network.nodes[-1]
    if last.settings.get("activation") == "sigmoid":
        nodes, last = nodes[:-1], nodes[-2]
    if classes == 2 and last.kind == "Dense" and last.settings["units"] == 1:
        (inputs, _), *_ = (array.shape for array in arrays[last.place.path])
        two = foreign.fit_classes(arrays[last.place.path], [(inputs, 2), (2,)])
        arrays = {**arrays, last.place.path: two}
        nodes = [*nodes[:-1], last._replace(settings={**last.settings, "units": 2})]
    elif last is not network.nodes[-1] or last.kind not in SCORING:
        return network, arrays
    end = LayerNode("softmax", "Activation", SOFTMAX, (len(nodes) - 1,), Place(""))
    taken = {node.name.lower() for node in nodes}
    while end.name in taken:
        end = end._replace(name=f"{end.name}_")
    return network._replace(nodes=[*nodes, end]), arrays
