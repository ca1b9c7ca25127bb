"""How good a model is, and how much of it a conversion kept: one pass over labeled images."""

import operator
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from edgecv.artifacts import TFLiteModel
from edgecv.data import Sample
from edgecv.errors import DataError, UnsupportedModelError
from edgecv.progress import QUIET, Progress
from edgecv.tflite import contract, runtime

BATCH = 16  # images in memory at a time
TOP = 5  # of 5 classes or fewer every answer is in the top 5: a figure that says nothing
MATRIX_ROWS = 100  # of the matrix; of more classes, those that follow one another share a row
CONFUSIONS = 25  # most frequent mistakes listed
STRIP = 12  # predictions kept to look at

Scores: TypeAlias = NDArray[np.float32]  # one image's, one per class
# Scores [n, classes] for RGB images [n, height, width, 3].
Scorer: TypeAlias = Callable[[NDArray[np.uint8]], NDArray[np.float32]]


class Prediction(NamedTuple):
    """An image, and the scores that each model gave it, by scheme."""

    sample: Sample
    scores: dict[str, Scores]

    def is_right(self) -> bool:
        """Whether every model names the image's class."""
        return all(int(score.argmax()) == self.sample.label for score in self.scores.values())


class Evaluation(NamedTuple):
    """The report's `accuracy`, and a few predictions on real inputs, mistakes among them."""

    accuracy: dict[str, Any]
    predictions: list[Prediction]


def host_scorer(model: TFLiteModel) -> Scorer:
    """A model's scores of each class by the runtime of this machine.

    Raises as `contract.read` and `tflite.runtime.load`.
    """
    said = contract.read(model.path, contract.Asked(model.normalization))
    interpreter = runtime.load(model.path)
    taken, output = said.image.normalization, said.output
    return lambda images: output.of_each_class(runtime.run(interpreter, images, taken))


def evaluate(
    reference: TFLiteModel,
    candidate: TFLiteModel | None,
    samples: Iterable[Sample],
    labels: Sequence[str],
    data_name: str,
    progress: Progress = QUIET,
    scorer: Callable[[TFLiteModel], Scorer] = host_scorer,
) -> Evaluation:
    """Top-1, top-5, agreement, per-class accuracy and confusions, each under its model's scheme.

    `scorer` says where a model runs. The confusions are the candidate's where there is one. Raises
    DataError when there is no image or an image without a label, UnsupportedModelError when a model
    has other classes than the data.
    """
    models = [reference] if candidate is None else [reference, candidate]
    if candidate and candidate.scheme == reference.scheme:
        raise UnsupportedModelError(
            f"{candidate.path}: is {candidate.scheme} like {reference.path};"
            " a comparison needs two schemes, such as float32 and int8"
        )
    tallies = {model.scheme: _Tally() for model in models}
    strip = _Strip()
    agreeing = 0
    total = operator.length_hint(samples) or None
    predictions = _predictions(models, samples, labels, scorer)
    for prediction in progress.track(predictions, "evaluate", total):
        answers = {
            tallies[scheme].add(prediction.sample.label, scores)
            for scheme, scores in prediction.scores.items()
        }
        agreeing += len(answers) == 1
        strip.add(prediction)
        progress.figures(**{scheme: tally.top1 for scheme, tally in tallies.items()})
    if not tallies[reference.scheme].images:
        raise DataError(f"{data_name}: no image to evaluate on")
    return Evaluation(_accuracy(tallies, agreeing, labels, data_name), strip.predictions())


def compare_outputs(
    reference: TFLiteModel,
    candidate: TFLiteModel,
    samples: Iterable[Sample],
    data_name: str,
    progress: Progress = QUIET,
) -> dict[str, Any]:
    """How alike two models' numbers are that are no scores of classes: embeddings, measures.

    `cosine` is the mean over the images of the cosine between both outputs, `least_cosine` the
    worst, `relative_error` the distance as a share of the reference's length. Raises DataError
    without images, UnsupportedModelError when the models give different numbers of numbers.
    """
    total, run = operator.length_hint(samples) or None, (_plain(reference), _plain(candidate))
    pairs = [
        (run[0](sample.image[np.newaxis])[0], run[1](_second(sample)[np.newaxis])[0])
        for sample in progress.track(samples, "compare", total)
    ]
    if not pairs:
        raise DataError(f"{data_name}: no image to compare on")
    if len(pairs[0][0]) != len(pairs[0][1]):
        raise UnsupportedModelError(
            f"{candidate.path}: gives {len(pairs[0][1])} numbers, {reference.path}"
            f" {len(pairs[0][0])}; only models that give as many can be compared"
        )
    return {
        "data": data_name,
        "images": len(pairs),
        **_likeness(*map(np.stack, zip(*pairs, strict=True))),
    }


def _likeness(exact: Scores, rounded: Scores) -> dict[str, float]:
    lengths = [np.linalg.norm(side, axis=1) for side in (exact, rounded)]
    products = (exact * rounded).sum(1)
    cosines = products / np.maximum(lengths[0] * lengths[1], 1e-12)
    apart = np.linalg.norm(exact - rounded) / max(float(np.linalg.norm(exact)), 1e-12)
    return {
        "cosine": round(float(cosines.mean()), 6),
        "least_cosine": round(float(cosines.min()), 6),
        "relative_error": round(float(apart), 6),
    }


def _plain(model: TFLiteModel) -> Scorer:
    """A model's numbers as they are."""
    said = contract.read(model.path, contract.Asked(model.normalization))
    interpreter = runtime.load(model.path)
    return lambda images: runtime.run(interpreter, images, said.image.normalization)


@dataclass
class _Tally:
    """The tally of one model's answers."""

    answers: Counter[tuple[int, int]] = field(default_factory=Counter)  # by (label, answer)
    images: int = 0
    right: int = 0
    in_top: int = 0

    @property
    def top1(self) -> float:
        return self.right / self.images

    def add(self, label: int, scores: Scores) -> int:
        """Count an image; the answer is the class of the highest score.

        Equal scores, frequent among the 256 values of int8, are ranked by class: calling a label
        that ties for fifth place a hit would flatter the coarser model.
        """
        best = np.argsort(-scores, kind="stable")[:TOP].tolist()
        self.answers[label, best[0]] += 1
        self.images += 1
        self.right += label == best[0]
        self.in_top += label in best
        return int(best[0])

    def figures(self, classes: int) -> dict[str, float]:
        top5 = {"top5": _share(self.in_top, self.images)} if classes > TOP else {}
        return {"top1": _share(self.right, self.images), **top5}


class _Strip:
    """At most STRIP right and STRIP wrong predictions, of as many classes as there are."""

    def __init__(self) -> None:
        self.right: list[Prediction] = []
        self.wrong: list[Prediction] = []

    def add(self, prediction: Prediction) -> None:
        kept = self.right if prediction.is_right() else self.wrong
        kept.append(prediction)
        _thin_out(kept, STRIP)

    def predictions(self) -> list[Prediction]:
        """A third mistakes, as far as there are any, ordered by class."""
        wrong, right = list(self.wrong), list(self.right)
        _thin_out(wrong, max(STRIP // 3, STRIP - len(right)))
        _thin_out(right, STRIP - len(wrong))
        return sorted(wrong + right, key=lambda prediction: prediction.sample.label)


def _thin_out(kept: list[Prediction], most: int) -> None:
    """Drop the latest of whichever class has most, until few enough are left."""
    while len(kept) > most:
        (fullest, _), *_ = Counter(prediction.sample.label for prediction in kept).most_common(1)
        del kept[max(i for i, prediction in enumerate(kept) if prediction.sample.label == fullest)]


def _predictions(
    models: Sequence[TFLiteModel],
    samples: Iterable[Sample],
    labels: Sequence[str],
    scorer: Callable[[TFLiteModel], Scorer],
) -> Iterator[Prediction]:
    """Every sample with every model's scores; BATCH images at a time."""
    scorers = [scorer(model) for model in models]
    remaining = iter(samples)
    while batch := list(islice(remaining, BATCH)):
        views = [[sample.image for sample in batch], [_second(sample) for sample in batch]]
        answers = [scores(np.stack(seen)) for scores, seen in zip(scorers, views, strict=False)]
        for model, scores in zip(models, answers, strict=True):
            _check_classes(model, scores, labels)
        for sample, *rows in zip(batch, *answers, strict=True):
            if not 0 <= sample.label < len(labels):
                raise DataError(f"{sample.name}: has no label; evaluation needs labeled images")
            schemes = (model.scheme for model in models)
            yield Prediction(sample, dict(zip(schemes, rows, strict=True)))


def _second(sample: Sample) -> NDArray[np.uint8]:
    """The images of a second model."""
    return sample.image if sample.other is None else sample.other


def _check_classes(model: TFLiteModel, scores: Scores, labels: Sequence[str]) -> None:
    if scores.shape[1] != len(labels):
        raise UnsupportedModelError(
            f"{model.path}: gives {scores.shape[1]} scores, but the data has {len(labels)} classes;"
            " name the labels of the model with --labels"
        )


def _accuracy(
    tallies: dict[str, _Tally], agreeing: int, labels: Sequence[str], data_name: str
) -> dict[str, Any]:
    """The tallies in the report's form; the confusions are the last one's."""
    *_, last = tallies.values()
    return {
        "data": data_name,
        "images": last.images,
        **{scheme: tally.figures(len(labels)) for scheme, tally in tallies.items()},
        **({"agreement": _share(agreeing, last.images)} if len(tallies) > 1 else {}),
        "per_class": _per_class(tallies, labels),
        **_confusions(last, labels),
    }


def _per_class(tallies: dict[str, _Tally], labels: Sequence[str]) -> list[dict[str, Any]]:
    """A row a class; accuracy is absent where no image is of the class."""
    images = Counter[int]()
    for (label, _), count in next(iter(tallies.values())).answers.items():
        images[label] += count
    return [
        {
            "label": name,
            "images": images[label],
            **{
                scheme: _share(tally.answers[label, label], images[label])
                for scheme, tally in tallies.items()
                if images[label]
            },
        }
        for label, name in enumerate(labels)
    ]


def _confusions(tally: _Tally, labels: Sequence[str]) -> dict[str, Any]:
    """`confusion`, rows by true class, and `confusions`, the most frequent mistakes by name.

    A row and a column of the matrix stand for `confusion_group` classes, where there are many.
    """
    mistakes = Counter({pair: n for pair, n in tally.answers.items() if pair[0] != pair[1]})
    figures: dict[str, Any] = {
        "confusions": [
            {"label": labels[label], "predicted": labels[answer], "images": count}
            for (label, answer), count in mistakes.most_common(CONFUSIONS)
        ]
    }
    group = -(-len(labels) // MATRIX_ROWS)
    size = -(-len(labels) // group)
    matrix = [[0] * size for _ in range(size)]
    for (label, answer), count in tally.answers.items():
        matrix[label // group][answer // group] += count
    return figures | {"confusion": matrix, **({"confusion_group": group} if group > 1 else {})}


def _share(part: int, whole: int) -> float:
    return round(part / whole, 6)
