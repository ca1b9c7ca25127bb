"""report.html: the report as one file that opens anywhere, without a network or scripts."""

import base64
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from edgecv.artifacts import Report
from edgecv.report import charts, coral, figures
from edgecv.report.details import Details
from edgecv.report.environment import environment
from edgecv.report.sensitivity import costs

if TYPE_CHECKING:
    from edgecv.evaluate.accuracy import Prediction

CLASSES = 25  # rows of the per-class table, and the largest matrix that is drawn
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


class ConfusionCell(NamedTuple):
    """One field of the confusion matrix; `shade` is 0 to 100."""

    images: int
    shade: float
    right: bool
    text: str


def page(report: Report, details: Details, run_folder: str) -> str:
    """The whole page; a section of which nothing was measured says so in one line."""
    return (
        environment()
        .get_template("page.html.jinja")
        .render(
            report=report,
            final=figures.final_scheme(report),
            schemes=figures.schemes(report.accuracy or {}),
            comparisons=figures.comparisons(report.accuracy or {}),
            hardest=figures.hardest(report, CLASSES),
            cards=[_card(prediction, details.labels) for prediction in details.predictions],
            matrix=_matrix(report),
            lanes=charts.lanes(report.latency),
            bars=charts.bars(details.ranges),
            costs=costs(details.sensitivity),
            coral=coral,
            commands=figures.next_commands(report, run_folder),
            figures=figures,
        )
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


def _matrix(report: Report) -> list[tuple[str, list[ConfusionCell]]]:
    """Labeled rows of the confusion matrix; none when it is absent or too large to read."""
    accuracy: Mapping[str, Any] = report.accuracy or {}
    rows: list[list[int]] = accuracy.get("confusion", [])
    if not 0 < len(rows) <= CLASSES:
        return []
    labels = [row["label"] for row in accuracy["per_class"]]
    return [
        (labels[truth], [_cell(labels, truth, answer, row) for answer in range(len(row))])
        for truth, row in enumerate(rows)
    ]


def _cell(labels: Sequence[str], truth: int, answer: int, row: Sequence[int]) -> ConfusionCell:
    share = row[answer] / max(1, sum(row))
    text = f"{labels[truth]} taken for {labels[answer]}: {row[answer]} of {sum(row)}"
    shade = 100 * share**0.5  # so that a single mistake can be seen
    return ConfusionCell(row[answer], round(shade, 1), truth == answer, text)
