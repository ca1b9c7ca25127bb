"""The names of folders and tables of a split."""

import re
from collections.abc import Sequence
from functools import cache
from pathlib import Path

TRAINING = ("train", "training")
VALIDATION = ("val", "valid", "validation", "dev", "test", "testing")  # the first that there is
UNLABELED = ("test", "testing")  # competitions keep the labels of these to themselves


@cache
def split_word(name: str) -> str:
    """The word that makes a name that of a split: `train` in `seg_train`; "" where none does."""
    words = re.split(r"[^a-z]+", name.lower())
    sides = [word for word in words if word in TRAINING + VALIDATION]
    return sides[0] if len(sides) == 1 else ""


def first_named(folders: Sequence[Path], words: Sequence[str]) -> Path | None:
    """The first folder by the order of `words`; `val` comes before `my_val`."""
    named = [folder for folder in folders if split_word(folder.name) in words]

    def order(folder: Path) -> tuple[int, bool, str]:
        word = split_word(folder.name)
        return words.index(word), folder.name.lower() != word, folder.name

    return min(named, key=order, default=None)
