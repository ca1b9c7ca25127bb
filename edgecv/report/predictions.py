"""A few images with the answers of every model, as the page shows them."""

import base64
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from edgecv.artifacts import Report
from edgecv.report import figures
from edgecv.report.details import Details

if TYPE_CHECKING:
    from edgecv.evaluate.accuracy import Prediction

THUMBNAIL = 192  # pixels; twice what the page shows, for sharp screens
JPEG_QUALITY = 80


class Guess(NamedTuple):
    """One of the classes that a model holds most likely."""

    label: str
    share: float
    right: bool


class Answer(NamedTuple):
    """One model's answer for an image."""

    scheme: str
    right: bool
    guesses: list[Guess]


class Card(NamedTuple):
    """An image with everybody's verdict."""

    image: str  # a data: address
    name: str
    label: str
    verdicts: list[Answer]


def cards(details: Details) -> list[Card]:
    """A card for every prediction of a run."""
    return [_card(prediction, details.labels) for prediction in details.predictions]


def remark(report: Report, shown: Sequence[Card]) -> str:
    """How many of the images shown are mistakes of the last model, and how many of all are."""
    accuracy: Mapping[str, Any] = report.accuracy or {}
    if not accuracy:
        return ""
    last = figures.schemes(accuracy)[-1]
    wrong = sum(not card.verdicts[-1].right for card in shown)
    return (
        f"{len(shown)} of the {accuracy['images']} held-out images, with the three likeliest"
        f" classes by every model. {last} is wrong on {wrong} of these, and on"
        f" {figures.percent(1 - accuracy[last]['top1'])} of all."
    )


def _card(prediction: "Prediction", labels: Sequence[str]) -> Card:
    sample = prediction.sample
    verdicts = [
        _verdict(scheme, scores, sample.label, labels)
        for scheme, scores in prediction.scores.items()
    ]
    return Card(_data_address(sample.image), sample.name, labels[sample.label], verdicts)


def _verdict(scheme: str, scores: NDArray[np.float32], truth: int, labels: Sequence[str]) -> Answer:
    shares = _probabilities(scores)
    best = np.argsort(-shares, kind="stable")[:3].tolist()
    guesses = [Guess(labels[place], float(shares[place]), place == truth) for place in best]
    return Answer(scheme, best[0] == truth, guesses)


def _probabilities(scores: NDArray[np.float32]) -> NDArray[np.float32]:
    """Scores of a softmax as they are, logits through a softmax."""
    if scores.min() >= 0 and scores.max() <= 1:
        return scores
    powers = np.exp(scores - scores.max())
    shares: NDArray[np.float32] = powers / powers.sum()
    return shares


def _data_address(image: NDArray[np.uint8]) -> str:
    """The image inside the page, as JPEG."""
    import cv2  # a report without images needs no OpenCV

    scale = THUMBNAIL / max(image.shape[:2])
    if scale < 1:
        image = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    quality = [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY]
    _, data = cv2.imencode(".jpg", np.ascontiguousarray(image[..., ::-1]), quality)
    return "data:image/jpeg;base64," + base64.b64encode(data.tobytes()).decode()
