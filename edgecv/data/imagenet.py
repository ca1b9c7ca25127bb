"""ImageNet's 1000 classes by their WordNet numbers, which its folders are named by.

Their order is that of the numbers; models of 1001 classes have a background before them.
"""

import functools
import re
from collections.abc import Sequence
from pathlib import Path

WNID = re.compile(r"(?:.*[ _.-])?(n\d{8})(?:[ _.-].*)?")  # alone, or beside a name
SIZES = (1000, 1001)
BACKGROUND = "background"
FIRST = ("tench", "goldfish")  # of the names, whoever wrote them down


@functools.cache
def wnids() -> tuple[str, ...]:
    """The WordNet numbers in the order of the classes: `n01440764` is a tench."""
    file = Path(__file__).with_name("imagenet_wnids.txt")
    return tuple(file.read_text(encoding="ascii").split())


def wnid(name: str) -> str:
    """The WordNet number in a folder's name; empty where there is none."""
    match = WNID.fullmatch(name)
    return match[1] if match else ""


def labels_of(classes: int) -> tuple[str, ...]:
    """ImageNet's labels of a model with so many classes; none, if those are not its own."""
    if classes not in SIZES:
        return ()
    return ((BACKGROUND,) if classes == SIZES[1] else ()) + wnids()


def place(name: str, labels: Sequence[str]) -> int | None:
    """Which of a model's labels a folder named by a WordNet number is; None where that is open."""
    number = wnid(name)
    if not number:
        return None
    if number in (own := _numbers(tuple(labels))):
        return own.index(number)
    if not _are_names(labels) or number not in wnids():
        return None
    return len(labels) - SIZES[0] + wnids().index(number)


@functools.cache
def _numbers(labels: tuple[str, ...]) -> tuple[str, ...]:
    """The WordNet numbers in a model's labels: `n01440764 tench, Tinca tinca`."""
    return tuple(map(wnid, labels))


def _are_names(labels: Sequence[str]) -> bool:
    """Whether labels are ImageNet's, in any usual spelling."""
    if len(labels) not in SIZES:
        return False
    start = len(labels) - SIZES[0]
    return all(word in labels[start + at].lower() for at, word in enumerate(FIRST))
