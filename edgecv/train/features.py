"""Transfer learning's first step: the trunk's features, computed once.

The trunk is all of a model but its last layer with weights, its head. Frozen, it gives the same
features for the same image, so that a head costs seconds once they are there.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tf_keras as keras
from numpy.typing import NDArray

from edgecv.artifacts import Normalization
from edgecv.data import Dataset
from edgecv.data.batches import batches, normalize
from edgecv.progress import Progress
from edgecv.train.array_store import load_arrays, save_arrays
from edgecv.train.clock import Clock
from edgecv.train.head import Features

BATCH = 32  # images
MOST_VIEWS = 4  # of an image; its augmentation makes each another
VIEWS_SHARE = 0.15  # of the time, after which no view ends
AFTER_HEAD = (
    keras.layers.Flatten,
    keras.layers.GlobalAveragePooling2D,
    keras.layers.Activation,
)


def head_of(model: keras.Model) -> keras.layers.Layer | None:
    """The last layer with weights, where its answers are linear in features; else None."""
    last = [layer for layer in model.layers if layer.weights][-1]
    after = model.layers[model.layers.index(last) + 1 :]
    return last if all(isinstance(layer, AFTER_HEAD) for layer in after) else None


def trunk_of(model: keras.Model, head: keras.layers.Layer) -> keras.Model:
    """The model from images to the features that its head takes, [batch, channels]."""
    features = head.input
    if len(features.shape) == 4:
        features = keras.layers.GlobalAveragePooling2D()(features)
    return keras.Model(model.input, features)


@dataclass(frozen=True)
class Trunk:
    """A model up to its head, and the images that it is shown."""

    model: keras.Model
    dataset: Dataset
    normalization: Normalization
    progress: Progress
    clock: Clock

    def training(self, state: Path) -> Features:
        """Features of some views of every training image; those that `state` holds are kept.

        Raises RecipeError where there is no time for one.
        """
        views = _load(state)
        while not views or self._has_time(views):
            views.append(self._view(len(views)))
            rows, labels, paces = zip(*views, strict=True)
            save_arrays(state, {"rows": rows, "labels": labels, "pace": list(map(np.array, paces))})
            self.clock.save()
        rows, labels, paces = zip(*views, strict=True)
        return Features(np.concatenate(rows), np.concatenate(labels), float(np.mean(paces)))

    def monitored(self) -> Features:
        """Features of the monitored images."""
        samples = self.dataset.monitor(self.model.input_shape[1])
        rows = [np.zeros((0, self.model.output_shape[-1]), np.float32)]
        for at in range(0, len(samples), BATCH):
            rows.append(self._rows(np.stack([s.image for s in samples[at : at + BATCH]])))
        labels = np.array([sample.label for sample in samples], np.int32)
        return Features(np.concatenate(rows), labels)

    def _has_time(self, views: Sequence[Features]) -> bool:
        """Whether another view ends within its share of the time."""
        another = self.dataset.train_size / views[-1].pace
        fits = self.clock.spent + another < VIEWS_SHARE * self.clock.seconds
        return fits and len(views) < MOST_VIEWS

    def _view(self, number: int) -> Features:
        """Features of all training images, augmented another way for every number."""
        size = self.dataset.train_size
        feed = batches(self.dataset, self.model.input_shape[1], BATCH, number)
        feed = self.clock.watch(feed, BATCH, size)
        label = f"features, view {number + 1}"
        rows, labels, times = [], [], [time.monotonic()]
        for images, classes in self.progress.track(feed, label, -(-size // BATCH)):
            rows.append(self._rows(images))
            labels.append(classes)
            times.append(time.monotonic())
        return Features(np.concatenate(rows), np.concatenate(labels), _pace(times))

    def _rows(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """The features of a batch, [images, channels]."""
        answers = self.model.predict_on_batch(normalize(images, self.normalization))
        rows: NDArray[np.float32] = np.asarray(answers, np.float32)
        return rows


def _load(state: Path) -> list[Features]:
    """The views that a file holds; none where it is not there."""
    if not state.exists():
        return []
    groups = load_arrays(state)
    triples = zip(groups["rows"], groups["labels"], groups["pace"], strict=True)
    return [Features(rows, labels, float(pace)) for rows, labels, pace in triples]


def _pace(times: Sequence[float]) -> float:
    """Images a second, by the times at which batches ended; TensorFlow traces in the first."""
    seconds = np.diff(times)
    return BATCH / float(np.mean(seconds[1:] if len(seconds) > 1 else seconds))
