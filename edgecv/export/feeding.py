"""How a picture goes into a model that was handed on: as Python with numpy, and as C.

Nothing here is run by edgecv; it stands in the card and in the header beside the model.
"""

from pathlib import Path

import numpy as np

from edgecv.tflite import contract, pixels, runtime
from edgecv.tflite.contract import ImageInput

SNIPPET = """\
import numpy as np
from ai_edge_litert.interpreter import {names}

model = Interpreter({arguments})
model.allocate_tensors()
image = {image}
model.set_tensor(model.get_input_details()[0]["index"], image[np.newaxis])
model.invoke()
scores = model.get_tensor(model.get_output_details()[0]["index"])[0]"""
EDGE_TPU = f'experimental_delegates=[load_delegate("{runtime.EDGETPU}")]'


def render_python(model: Path) -> str:
    """Python that scores `pixels`, uint8 [height, width, channels], with the file `model`.

    Raises UnsupportedModelError when it takes no image.
    """
    interface = contract.read(model)
    names, arguments = ["Interpreter"], [f"{model.name!r}"]
    if interface.compiled:
        names, arguments = [*names, "load_delegate"], [*arguments, EDGE_TPU]
    return SNIPPET.format(
        names=", ".join(names),
        arguments=", ".join(arguments),
        image=_render_numpy(interface.image),
    )


def render_macro(image: ImageInput) -> str:
    """The value that an input stores for `pixel`, 0..255, in C; "" where channels differ."""
    if pixels.takes_bytes(image.grid, image.normalization):
        return "((int8_t)((pixel) - 128))" if image.grid.dtype == "int8" else "((uint8_t)(pixel))"
    mean, std = (set(values) for values in image.normalization)
    if image.grid.is_integer or len(mean) > 1 or len(std) > 1:
        return ""
    return f"(((float)(pixel) - {mean.pop():.9e}f) / {std.pop():.9e}f)"


def _render_numpy(image: ImageInput) -> str:
    """The values that an input stores for `pixels`, as a numpy expression."""
    if pixels.takes_bytes(image.grid, image.normalization):
        return "(pixels ^ 0x80).view(np.int8)" if image.grid.dtype == "int8" else "pixels"
    mean, std = (list(values[: image.channels]) for values in image.normalization)
    real = f"(pixels - np.float32({mean})) / np.float32({std})"
    if not image.grid.is_integer:
        return real
    limits, (dtype, scale, zero) = np.iinfo(image.grid.dtype), image.grid
    levels = f"np.round({real} / {scale} + {zero})"
    return f"np.clip({levels}, {limits.min}, {limits.max}).astype(np.{dtype})"
