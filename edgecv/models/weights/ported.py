"""Published weights of another library in one of edgecv's architectures."""

from pathlib import Path
from typing import TYPE_CHECKING

from edgecv.artifacts import CENTERED
from edgecv.errors import WeightsError
from edgecv.models.blocks import EPSILON
from edgecv.models.published import Source
from edgecv.models.weights import mapping, tensors
from edgecv.models.weights.loading import Stored, weight_layers
from edgecv.models.weights.mapping import LAYOUTS, Slot

if TYPE_CHECKING:
    import tf_keras


def arrange(model: "tf_keras.Model", source: Source, path: Path) -> list[Stored]:
    """The arrays of a file for each layer of a model, in its order.

    Raises WeightsError where the file cannot be read, or its layers are others.
    """
    slots = [
        Slot(layer.name, type(layer).__name__, getattr(layer, "use_bias", False))
        for layer in weight_layers(model)
    ]
    arrays = tensors.read(path, source.place.partition("#")[2])
    try:
        rows = mapping.arrange(LAYOUTS[source.layout], slots, arrays, source.epsilon, EPSILON)
    except ValueError as error:
        raise WeightsError(f"{path}: not the weights of {model.name}: {error}") from error
    if source.folded and source.trained != CENTERED:
        mapping.fold_pixels(rows, source.trained)
    return [Stored(slot.name, row) for slot, row in zip(slots, rows, strict=True)]
