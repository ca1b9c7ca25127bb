"""The identity of evaluation images, by which accuracies compare: files and classes."""

import hashlib
from collections.abc import Iterable, Sequence

DIGITS = 16  # hexadecimal; two of a million data sets are equal by chance in 1 of 10^7 cases


def images_sha256(labels: Sequence[str], images: Iterable[str]) -> str:
    """A short hash of the classes and of the images evaluated on, in any order.

    `images` are the SHA-256 of their files; their names, where they are rendered anew.
    """
    rows = [*sorted(labels), "", *sorted(set(images))]
    text = "\n".join(rows).encode(errors="surrogateescape")
    return hashlib.sha256(text).hexdigest()[:DIGITS]
