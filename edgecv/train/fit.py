"""Training by a table of epochs, resumable after any of them."""

import dataclasses
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras as keras
from numpy.typing import NDArray

from edgecv.artifacts import Normalization
from edgecv.data import Dataset
from edgecv.data.balance import class_weights
from edgecv.data.batches import batches, normalize
from edgecv.progress import OnEpoch, Progress
from edgecv.recipe import TrainOptions
from edgecv.train import checkpoint
from edgecv.train.adamw import AdamW
from edgecv.train.average import Average
from edgecv.train.checkpoint import Checkpoint
from edgecv.train.clock import Clock
from edgecv.train.schedule import Epoch
from edgecv.train.spread import strategy

Batch = tuple[NDArray[np.uint8], NDArray[np.int32]]
TAUGHT = 0.5  # of the target is what the teacher says; cross-entropy is linear in its target
WEIGHT_DECAY = 1e-4
LATE = 16  # of the image's side; layers on as small a one are late


@dataclass(frozen=True)
class Fit:
    """The settings of a fit, the same from the first epoch to the last."""

    build: Callable[[int], keras.Model]  # the model at a resolution, with its starting weights
    dataset: Dataset
    normalization: Normalization
    options: TrainOptions
    seed: int
    progress: Progress
    stage: str = "epoch"  # what a line of progress begins with
    teacher: keras.Model | None = None  # whose answers are half of what is learned
    callback: keras.callbacks.Callback | None = None
    on_epoch: OnEpoch | None = None  # told of each epoch's accuracy on the training images
    devices: Sequence[str] = ()  # that share each batch; TensorFlow's own choice if there are none
    clock: Clock | None = None  # which epochs share by their rows, whatever they see in that time

    def run(self, epochs: Sequence[Epoch], state: Path, into: keras.Model) -> keras.Model:
        """`into`, a model at full resolution, with the weights of the best monitored epoch.

        Goes on after the epochs that the checkpoint at `state` has seen. The monitored images are
        held out of the training split; the evaluation split is never looked at.
        """
        kept = checkpoint.load(state)
        full = epochs[-1].resolution
        model = None
        while kept.epoch < len(epochs) and not self._is_over(kept):
            row, before = epochs[kept.epoch], epochs[max(kept.epoch - 1, 0)]
            if model is None or _shape(row) != _shape(before):
                model = self._ready(row, kept, keep_slots=row.frozen == before.frozen)
            label = f"{self.stage} {kept.epoch + 1}/{len(epochs)}, {row.resolution} px"
            average = Average(kept.average)
            loss, accuracy = self._epoch(model, row, kept.epoch, label, average)
            kept = dataclasses.replace(kept, average=average.weights)
            kept = self._looked_at(model, kept, row.monitored and row.resolution == full)
            kept.add_figures(row.resolution, loss, accuracy)
            kept.save(state)
            if self.clock:
                self.clock.save()
            if self.on_epoch:
                self.on_epoch(kept.epoch, accuracy)
        kept.write_history(state.with_suffix(".json"))
        into.set_weights(kept.best or kept.average or kept.weights or into.get_weights())
        return into

    def _is_over(self, kept: Checkpoint) -> bool:
        """Whether there is no time left, or the monitored loss has not fallen for too long."""
        if self.clock and not self.clock.left:
            return True
        stalled = bool(kept.best) and kept.epoch - kept.best_epoch >= self.options.patience
        if stalled:
            self.progress.line(f"stopped early: epoch {kept.best_epoch} stays the best")
        return stalled

    def _ready(self, row: Epoch, kept: Checkpoint, keep_slots: bool) -> keras.Model:
        """The compiled model for an epoch, as the checkpoint left it."""
        with strategy(self.devices).scope():
            model = self.build(row.resolution)
            if kept.weights:
                model.set_weights(kept.weights)
            for layer in FROZEN[row.frozen](model) if row.frozen else []:
                layer.trainable = False
            optimizer = AdamW(row.peak, WEIGHT_DECAY)
            optimizer.build(model.trainable_variables)
            if keep_slots and kept.slots:
                optimizer.set_weights(kept.slots)
            loss = keras.losses.CategoricalCrossentropy(
                label_smoothing=self.options.label_smoothing
            )
            model.compile(optimizer, loss, metrics=["accuracy"])
        if len(self.devices) < 2:
            self._make_metrics(model)
        if self.callback:
            self.callback.set_model(model)
            self.callback.on_train_begin()
        return model

    def _make_metrics(self, model: keras.Model) -> None:
        """Have the metrics' variables made now, or TensorFlow traces the training step twice."""
        image = tf.zeros((1, *model.input_shape[1:]))
        model.test_step((image, tf.zeros((1, len(self.dataset.labels)))))
        model.reset_metrics()

    def _epoch(
        self, model: keras.Model, row: Epoch, index: int, label: str, average: Average
    ) -> tuple[float, float]:
        """Loss and accuracy of an epoch's training images, at the learning rates of its row."""
        keras.utils.set_random_seed(self.seed + index)
        loss = accuracy = before = 0.0
        weights = class_weights(self.dataset.class_sizes)
        for step, (share, (images, labels)) in enumerate(self._feed(row, index, label)):
            model.optimizer.learning_rate.assign(row.rate(share))
            pixels, wanted = self._tensors(images, labels)
            if self.teacher:
                taught = self.teacher.predict_on_batch(pixels)
                wanted = TAUGHT * taught + (1 - TAUGHT) * wanted
            weight = None if weights is None else weights[labels]
            loss, accuracy = model.train_on_batch(
                pixels, wanted, sample_weight=weight, reset_metrics=step == 0
            )
            self.progress.figures(loss=loss, accuracy=accuracy)
            if self.clock:
                average.update(model.get_weights(), (share - before) * (row.end - row.begin))
                before = share
            if self.callback:
                self.callback.on_train_batch_end(step)
        if self.callback:
            self.callback.on_epoch_end(index)
        return float(loss), float(accuracy)

    def _feed(self, row: Epoch, index: int, label: str) -> Iterator[tuple[float, Batch]]:
        """The batches of an epoch, each with the share of the epoch that is over before it.

        With a clock, they go on until the epoch's time is over.
        """
        batch, steps = self.options.batch, -(-self.dataset.train_size // self.options.batch)
        if self.clock is None:
            feed = batches(self.dataset, row.resolution, batch, index)
            for step, pair in enumerate(self.progress.track(feed, label, steps)):
                yield step / steps, pair
        else:
            feed = batches(self.dataset, row.resolution, batch, index, sys.maxsize)
            feed = self.clock.watch(feed, batch, self.dataset.train_size)
            label += f", {self.clock.left / 60:.1f} min left"
            yield from self.progress.track(self.clock.part(feed, row.begin, row.end), label)

    def _tensors(self, images: NDArray[np.uint8], labels: NDArray[np.int32]) -> tuple[Any, Any]:
        one_hot = np.eye(len(self.dataset.labels), dtype=np.float32)[labels]
        return normalize(images, self.normalization), one_hot

    def _looked_at(self, model: keras.Model, kept: Checkpoint, monitored: bool) -> Checkpoint:
        """The checkpoint after this epoch; the best weights change when the monitored loss fell."""
        weights = model.get_weights()
        slots = [variable.numpy() for variable in model.optimizer.variables]
        now = dataclasses.replace(kept, epoch=kept.epoch + 1, weights=weights, slots=slots)
        now.seen = ()
        candidate = kept.average or weights
        held_out = self.dataset.monitor(model.input_shape[1]) if monitored else []
        if held_out:
            images = np.stack([sample.image for sample in held_out])
            labels = np.array([sample.label for sample in held_out], np.int32)
            model.set_weights(candidate)
            loss, _ = now.seen = model.evaluate(*self._tensors(images, labels), verbose=0)
            model.set_weights(weights)
            if loss < kept.best_loss:
                now.best, now.best_loss, now.best_epoch = candidate, loss, now.epoch
        return now


def _shape(row: Epoch) -> tuple[int, str]:
    """The key of a compilation: a model is compiled anew when it changes."""
    return row.resolution, row.frozen


def _trunk(model: keras.Model) -> list[keras.layers.Layer]:
    """All layers with weights but the last."""
    return [layer for layer in model.layers if layer.weights][:-1]


def _norm(model: keras.Model) -> list[keras.layers.Layer]:
    """The batch-norm layers: a small dataset's statistics are worse than ImageNet's."""
    return [
        layer
        for layer in model.layers
        if isinstance(getattr(layer, "layer", layer), keras.layers.BatchNormalization)
    ]


def _early(model: keras.Model) -> list[keras.layers.Layer]:
    """Batch-norm, and the layers on images of more than a sixteenth of the side."""
    most = -(-model.input_shape[1] // LATE)
    sides = ((layer, layer.output_shape) for layer in model.layers if layer.weights)
    return _norm(model) + [layer for layer, (_, side, *_) in sides if side > most]


FROZEN: dict[str, Callable[[keras.Model], list[keras.layers.Layer]]] = {
    "trunk": _trunk,
    "norm": _norm,
    "early": _early,
}
