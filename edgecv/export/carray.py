"""A .tflite file as C source, for microcontrollers: an aligned array, and what its ends are like.

TensorFlow Lite Micro reads the array where it lies; it must be aligned to 16 bytes.
"""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from edgecv.export import micro
from edgecv.files import write_text
from edgecv.tflite import contract, feeding, flatbuffer, operators
from edgecv.tflite.pixels import Grid

PER_LINE = 12  # bytes


class CSource(NamedTuple):
    """The two files."""

    header: Path
    source: Path


def export(model: Path, labels: Sequence[str], folder: Path, name: str) -> CSource:
    """Write NAME.h and NAME.c. Raises UnsupportedModelError when the model is no classifier."""
    symbol = identifier(name)
    data = flatbuffer.read_bytes(model)
    tree = flatbuffer.parse(data, str(model))
    header = write_text(folder / f"{name}.h", _header(symbol, tree, str(model), len(labels)))
    source = write_text(folder / f"{name}.c", _source(symbol, f"{name}.h", data, labels))
    return CSource(header, source)


def identifier(name: str) -> str:
    """A name that C takes: what is no letter, digit or underscore becomes one."""
    symbol = re.sub(r"\W", "_", name, flags=re.ASCII)
    return f"_{symbol}" if symbol[:1].isdigit() or not symbol else symbol


def _header(symbol: str, tree: Any, path: str, labels: int) -> str:
    interface = contract.read_model(tree, path)
    image, output = interface.image, interface.output
    guard = f"{symbol.upper()}_H"
    peak = operators.activation_peak(tree)
    counts = ", ".join(f"{count} {name}" for name, count in operators.counts(tree).items())
    return "\n".join(
        [
            f"/* An image classifier, made by edgecv. Operators: {counts}. */",
            f"#ifndef {guard}",
            f"#define {guard}",
            "#include <stdint.h>",
            *_end(symbol, "INPUT", (1, *image.size, image.channels), image.grid),
            *_pixel(symbol, image),
            *_end(symbol, "OUTPUT", (1, *output.shape), output.grid),
            f"#define {symbol.upper()}_LABELS {labels}",
            "/* The most that activations take at once, computed from the file, not measured; the",
            "   arena holds the interpreter's own structures besides: see arena_used_bytes(). */",
            f"#define {symbol.upper()}_ACTIVATION_BYTES {peak}",
            "#ifdef __cplusplus",
            'extern "C" {',
            "#endif",
            f"extern const unsigned char {symbol}[];",
            f"extern const unsigned int {symbol}_len;",
            f"extern const char *const {symbol}_labels[];",
            "#ifdef __cplusplus",
            "}",
            "#endif",
            "/* For TensorFlow Lite Micro:",
            *micro.resolver(operators.counts(tree)).splitlines(),
            "*/",
            "#endif",
            "",
        ]
    )


def _end(symbol: str, which: str, shape: Sequence[int], grid: Grid) -> list[str]:
    """Type, shape and grid of input or output; real value = scale * (stored - zero point)."""
    prefix = f"#define {symbol.upper()}_{which}"
    return [
        f"{prefix}_TYPE {feeding.C_TYPES.get(grid.dtype, grid.dtype)}",
        *(f"{prefix}_DIM_{place} {size}" for place, size in enumerate(shape)),
        f"{prefix}_SCALE {grid.scale:.9e}f",
        f"{prefix}_ZERO_POINT {grid.zero_point}",
    ]


def _pixel(symbol: str, image: contract.ImageInput) -> list[str]:
    """The macro that turns a pixel of a picture into what the input stores."""
    stored = feeding.render_macro(image)
    return [f"#define {symbol.upper()}_INPUT_OF(pixel) {stored}"] if stored else []


def _source(symbol: str, header: str, data: bytes, labels: Sequence[str]) -> str:
    lines = (
        "  " + " ".join(f"0x{byte:02x}," for byte in data[start : start + PER_LINE])
        for start in range(0, len(data), PER_LINE)
    )
    return "\n".join(
        [
            f'#include "{header}"',
            "#if defined(__GNUC__)",
            "__attribute__((aligned(16)))",
            "#elif __STDC_VERSION__ >= 201112L",
            "_Alignas(16)",
            "#endif",
            f"const unsigned char {symbol}[] = {{",
            *lines,
            "};",
            f"const unsigned int {symbol}_len = {len(data)};",
            f"const char *const {symbol}_labels[] = {{",
            *(f"  {quote(label)}," for label in labels),
            "};",
            "",
        ]
    )


def quote(text: str) -> str:
    """A C string of any text: bytes outside plain letters as octal, which cannot run on."""
    plain = (
        chr(byte) if 32 <= byte < 127 and chr(byte) not in '"\\?' else f"\\{byte:03o}"
        for byte in text.encode()
    )
    return '"' + "".join(plain) + '"'
