"""The errors on which the user, a file's author or a machine has to act; bugs keep their own type.

EdgecvError                 exit 1
├── RecipeError             exit 2   an option: in a recipe, a device file, on the command line
├── DataError               exit 1   images, labels or folders
├── WeightsError            exit 1   a weights file, or its download
├── UnsupportedModelError   exit 1   a model that cannot be read, converted or quantized
├── RunFolderError          exit 1   the output folder, or the disk under it
├── DeviceError             exit 1   the board or its runtime
│   └── DeviceUnreachable   exit 1   worth one more try
└── CheckFailed             exit 3   everything ran; the result is too poor

A message is one line: where, what was found, what is allowed, the nearest name.
"""

import difflib
import re
from collections.abc import Iterable

# What a terminal obeys, and what turns the order of letters around (Unicode's Trojan Source).
UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


class EdgecvError(Exception):
    """Something the reader of the message can mend; its text is printable."""

    exit_code = 1

    def __str__(self) -> str:
        return printable(super().__str__())


class RecipeError(EdgecvError):
    """An option, or a key of a recipe or a device file, holds what it may not."""

    exit_code = 2


class DataError(EdgecvError):
    """Images, labels or their folders cannot be used."""


class WeightsError(EdgecvError):
    """A weights file does not fit, or cannot be had."""


class UnsupportedModelError(EdgecvError):
    """A model file cannot be read, converted or quantized."""


class RunFolderError(EdgecvError):
    """The output folder cannot be used or written."""


class DeviceError(EdgecvError):
    """A board, or the runtime on it, does not do what is needed."""


class DeviceUnreachable(DeviceError):
    """The board did not answer; a second try may help."""


class CheckFailed(EdgecvError):
    """A limit the user set was not met."""

    exit_code = 3


def printable(text: str) -> str:
    """A text in one line, in which control codes are seen and not obeyed."""
    return UNPRINTABLE.sub(lambda match: match[0].encode("unicode_escape").decode(), text)


def nearest(word: str, allowed: Iterable[str]) -> str:
    """A hint that ends a message: `; did you mean 'width'?`, or nothing."""
    close = difflib.get_close_matches(word, list(allowed), n=1, cutoff=0.5)
    return f"; did you mean '{close[0]}'?" if close else ""


def plural(count: int, noun: str) -> str:
    """A count with its noun: `1 layer`, `2 layers`."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def be(count: int) -> str:
    """The verb after a count: `1 image is`, `2 images are`."""
    return "is" if count == 1 else "are"
