"""Any Keras file, built again and ready to be converted."""

from pathlib import Path

import numpy as np

from edgecv.convert.any_model import Pixels, SourceModel
from edgecv.convert.keras import convert, split_scale
from edgecv.errors import UnsupportedModelError
from edgecv.models import foreign
from edgecv.models.foreign.rebuild import build


def source_of(path: Path, side: int | None) -> SourceModel:
    """The model in a .keras or .h5 file. Raises as `foreign.read` and `build`."""
    file = foreign.read(path)
    network = file.network
    height, width, channels = network.shape
    if height is None or width is None:
        if side is None:
            raise UnsupportedModelError(
                f"{path}: takes images of any size, where a .tflite has one: say it, --res 224"
            )
        network = network._replace(shape=(height or side, width or side, channels))
    model = build(network, file.arrays, path)
    if len(model.outputs) != 1 or None in model.output_shape[1:]:
        raise UnsupportedModelError(f"{path}: gives {model.output_shape}; scores are allowed")
    inside, trunk = split_scale(model)

    def answer(pixels: Pixels) -> Pixels:
        return np.asarray(model(pixels, training=False), np.float32)

    last = network.nodes[-1]
    ends_in = str(last.settings.get("activation", last.kind.lower()))
    scale = inside or (foreign.BYTES if network.bytes_in else None)
    return SourceModel(
        write=lambda out: convert(trunk, out),
        answer=answer,
        scale=scale,
        image=(1, *model.input_shape[1:]),
        ends_in=ends_in if ends_in in ("softmax", "sigmoid") else "logits or numbers",
    )
