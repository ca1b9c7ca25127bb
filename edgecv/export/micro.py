"""What a microcontroller needs for a model: memory, a board that has it, and its operators.

The memory is computed from the file, as `edgecv inspect` does; nothing here ran on a board.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from edgecv.tflite import flatbuffer, operators

KIB = 1024
SPARE = 0.75  # of a memory, for model or arena; the rest is for the program and its own data


class Board(NamedTuple):
    """A board by its makers' data sheets: memory in KiB."""

    name: str
    ram: int
    flash: int


BOARDS = (
    Board("Arduino Nano 33 BLE (nRF52840)", 256, 1024),
    Board("Raspberry Pi Pico (RP2040)", 264, 2048),
    Board("STM32F746 Discovery", 320, 1024),
    Board("ESP32-S3", 512, 8192),
    Board("Raspberry Pi Pico 2 (RP2350)", 520, 4096),
    Board("STM32H743", 1024, 2048),
    Board("Coral Dev Board Micro (i.MX RT1176)", 2048, 131072),
)
# Methods of tflite::MicroMutableOpResolver whose names the schema's do not spell.
METHODS = {"PADV2": "PadV2", "CUMSUM": "CumSum", "PRELU": "Prelu"}


class Needs(NamedTuple):
    """What a model takes of a microcontroller."""

    activations: int  # bytes, at once
    model: int  # bytes
    resolver: str  # C++

    def boards(self) -> list[list[str]]:
        """A row for each board: its memory, and whether activations and model fit."""
        return [
            [
                board.name,
                f"{board.ram:,} KiB",
                f"{board.flash:,} KiB",
                _fits(self.activations, board.ram),
                _fits(self.model, board.flash),
            ]
            for board in BOARDS
        ]


COLUMNS = ("board", "RAM", "flash", "activations in RAM", "model in flash")


def needs(model: Path) -> Needs:
    """The needs of a model's file."""
    tree = flatbuffer.read(model)
    size = model.stat().st_size
    return Needs(operators.activation_peak(tree), size, resolver(operators.counts(tree)))


def resolver(counts: Mapping[str, int]) -> str:
    """The lines that give TensorFlow Lite Micro the kernels of these operators, and no others."""
    lines = [f"resolver.Add{_method(name)}();" for name in counts]
    return "\n".join([f"tflite::MicroMutableOpResolver<{len(counts)}> resolver;", *lines])


def _method(name: str) -> str:
    """`DepthwiseConv2D` for DEPTHWISE_CONV_2D."""
    parts: Sequence[str] = name.split("_")
    words = (part if part[:1].isdigit() else part.capitalize() for part in parts)
    return METHODS.get(name, "".join(words))


def _fits(count: int, kib: int) -> str:
    share = count / (kib * KIB)
    return f"{'yes' if share <= SPARE else 'no'}, {share:.0%}"
