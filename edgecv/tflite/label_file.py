"""A file of labels, one a line, as the tools of others write it.

Numbers before the names (Teachable Machine, Coral), blank last lines, a byte order mark, UTF-16 and
Windows' line ends (Notepad), decomposed letters (macOS): none of these is part of a name.
"""

import re
import unicodedata
from collections.abc import Sequence
from pathlib import Path

from edgecv.errors import DataError

MOST_BYTES = 1 << 22  # of a file of labels: 20,000 names take a quarter of a megabyte
LINE_ENDS = re.compile(r"\r\n|\n|\r")
NUMBERED = re.compile(r"(\d{1,6})(\s*[:,;=]\s*|\s+-\s+|\.\s+|\)\s*|\s+)(\S.*)")
ENCODINGS = {b"\xef\xbb\xbf": "utf-8-sig", b"\xff\xfe": "utf-16", b"\xfe\xff": "utf-16"}


def label_lines(path: Path) -> tuple[str, ...]:
    """The labels in a file with one a line. Raises DataError when it cannot be read as one."""
    try:
        with path.open("rb") as file:
            data = file.read(MOST_BYTES + 1)
    except OSError as error:
        raise DataError(f"{path}: not a readable file of labels: {error.strerror}") from error
    return parse_labels(data, str(path))


def parse_labels(data: bytes, where: str) -> tuple[str, ...]:
    """The labels in a file's bytes, in the order of a model's scores.

    Raises DataError, naming `where`, for what is not text, or has a class without a name.
    """
    if len(data) > MOST_BYTES:
        raise DataError(
            f"{where}: not a file of labels: more than {MOST_BYTES >> 20} MB;"
            " one label a line is read"
        )
    lines = [normalize_name(line) for line in LINE_ENDS.split(decode(data, where))]
    while lines and not lines[-1]:
        lines.pop()
    if "" in lines:
        raise DataError(
            f"{where}: line {lines.index('') + 1} is empty; one label a line is read,"
            " in the order of the scores"
        )
    return tuple(_without_numbers(lines))


def decode(data: bytes, where: str) -> str:
    """Text in UTF-8, or in what its byte order mark says. Raises DataError, naming `where`."""
    encoding = next((ENCODINGS[mark] for mark in ENCODINGS if data.startswith(mark)), "utf-8")
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError as error:
        raise DataError(
            f"{where}: not a readable file of labels: byte {error.start} is not {encoding};"
            " save it as UTF-8"
        ) from error
    if "\0" in text:
        raise DataError(f"{where}: not a readable file of labels: it is not text; save it as UTF-8")
    return text


def normalize_name(name: str) -> str:
    """A name of a class as it compares: composed letters (NFC), no space around it."""
    return unicodedata.normalize("NFC", name).strip()


def is_label(name: str, place: int, label: str) -> bool:
    """Whether a folder's `name` is that of the label at `place`, with or without its number."""
    name, label = normalize_name(name), normalize_name(label)
    numbered = NUMBERED.fullmatch(name)
    if numbered and int(numbered[1]) in (place, place + 1) and numbered[3] == label:
        return True
    return name == label


def _without_numbers(lines: Sequence[str]) -> Sequence[str]:
    """The names alone, in the order of their numbers, where every line has a number of its own.

    Numbers must count from 0 or 1, with one separator, and most names must differ without them:
    `1 euro` beside `2 euro` is a name. ImageNet has two cranes and two maillots.
    """
    matches = [match for match in map(NUMBERED.fullmatch, lines) if match]
    if len(matches) < max(2, len(lines)):
        return lines
    rows = sorted((int(match[1]), match[3].strip()) for match in matches)
    numbers, names = zip(*rows, strict=True)
    counted = numbers in (tuple(range(len(rows))), tuple(range(1, len(rows) + 1)))
    separators = {match[2].strip() for match in matches}
    differ = 2 * len(set(names)) > len(names)
    return names if counted and len(separators) == 1 and differ else lines
