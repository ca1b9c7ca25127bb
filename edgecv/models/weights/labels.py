"""The names of ImageNet's classes, in the order of the published weights."""

import json
from typing import NamedTuple

from edgecv.errors import WeightsError
from edgecv.models import published
from edgecv.models.weights.download import cache_folder, fetch
from edgecv.progress import Progress

IMAGENET_CLASSES = 1000
CLASSES = "https://storage.googleapis.com/download.tensorflow.org/data/imagenet_class_index.json"
CLASSES_MD5 = "md5:c2c37ea517e94d9795004a39431a14cb"  # {"0": ["n01440764", "tench"], ...}


class Labels(NamedTuple):
    """The names of the classes, in the order of the scores, and what to warn of."""

    names: tuple[str, ...]
    warnings: tuple[str, ...] = ()


def imagenet_labels(progress: Progress) -> Labels:
    """The names of ImageNet's classes, in the order of the published weights.

    Numbers, and a warning, where the list cannot be fetched: the weights work without it.
    """
    try:
        path = fetch(published.address(CLASSES), CLASSES_MD5, cache_folder(), progress)
    except WeightsError as error:
        numbers = tuple(str(number) for number in range(IMAGENET_CLASSES))
        return Labels(numbers, (f"labels.txt numbers the classes: {error}",))
    index = json.loads(path.read_text(encoding="utf-8"))
    return Labels(tuple(index[str(number)][1] for number in range(IMAGENET_CLASSES)))
