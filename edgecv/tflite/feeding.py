"""How a picture goes into a model and scores come out, as code: Python with numpy, C++ and C.

Nothing here is run by edgecv; it stands in the report, in the card and in the header beside the
model.
"""

from pathlib import Path

import numpy as np

from edgecv.tflite import contract, pixels, runtime
from edgecv.tflite.contract import ImageInput

PYTHON = """\
import numpy as np
from ai_edge_litert.interpreter import {names}

model = Interpreter({arguments})
model.allocate_tensors()
image = {image}
model.set_tensor(model.get_input_details()[0]["index"], image[np.newaxis])
model.invoke()
scores = model.get_tensor(model.get_output_details()[0]["index"])[0]"""
CPP = """\
auto model = tflite::FlatBufferModel::BuildFromFile("{file}");
tflite::ops::builtin::BuiltinOpResolver resolver;
std::unique_ptr<tflite::Interpreter> interpreter;
tflite::InterpreterBuilder(*model, resolver)(&interpreter);
interpreter->AllocateTensors();
{input}* input = interpreter->typed_input_tensor<{input}>(0);
for (int i = 0; i < {count}; ++i) input[i] = {value};
interpreter->Invoke();
const {output}* scores = interpreter->typed_output_tensor<{output}>(0);"""
EDGE_TPU = f'experimental_delegates=[load_delegate("{runtime.EDGETPU}")]'
C_TYPES = {"uint8": "uint8_t", "int8": "int8_t", "int16": "int16_t", "float32": "float"}


def render_python(model: Path) -> str:
    """Python that scores `pixels`, uint8 [height, width, channels], with the file `model`.

    Raises UnsupportedModelError when it takes no image.
    """
    interface = contract.read(model)
    names, arguments = ["Interpreter"], [f"{model.name!r}"]
    if interface.compiled:
        names, arguments = [*names, "load_delegate"], [*arguments, EDGE_TPU]
    return PYTHON.format(
        names=", ".join(names),
        arguments=", ".join(arguments),
        image=_render_numpy(interface.image),
    )


def render_cpp(model: Path) -> str:
    """C++ that scores `pixels`, an array of uint8_t, with the file `model`.

    Raises UnsupportedModelError when it takes no image.
    """
    interface = contract.read(model)
    image, output = interface.image, interface.output.grid.dtype
    return CPP.format(
        file=model.name.replace("\\", "\\\\").replace('"', '\\"'),
        input=C_TYPES.get(image.grid.dtype, image.grid.dtype),
        count=image.height * image.width * image.channels,
        value=_render_cpp_value(image),
        output=C_TYPES.get(output, output),
    )


def render_macro(image: ImageInput) -> str:
    """The value that an input stores for `pixel`, 0..255, in C; "" where channels differ."""
    if pixels.takes_bytes(image.grid, image.normalization):
        return "((int8_t)((pixel) - 128))" if image.grid.dtype == "int8" else "((uint8_t)(pixel))"
    mean, std = (set(values) for values in image.normalization)
    if image.grid.is_integer or len(mean) > 1 or len(std) > 1:
        return ""
    return f"(((float)(pixel) - {mean.pop():.9e}f) / {std.pop():.9e}f)"


def _render_cpp_value(image: ImageInput) -> str:
    """The value that an input stores for `pixels[i]`, in C++."""
    if pixels.takes_bytes(image.grid, image.normalization):
        return "pixels[i] - 128" if image.grid.dtype == "int8" else "pixels[i]"
    mean, std = (_per_channel(values[: image.channels]) for values in image.normalization)
    real = f"(pixels[i] - {mean}) / {std}"
    if not image.grid.is_integer:
        return real
    limits, (_, scale, zero) = np.iinfo(image.grid.dtype), image.grid
    level = f"std::lround({real} / {scale:.9g}f) + {zero}"
    return f"std::clamp<int>({level}, {limits.min}, {limits.max})"


def _per_channel(values: tuple[float, ...]) -> str:
    """The value of the channel of place `i`, in C++."""
    texts = [f"{value:#.9g}f" for value in values]
    if len(set(texts)) == 1:
        return texts[0]
    return f"std::array{{{', '.join(texts)}}}[i % {len(texts)}]"


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
