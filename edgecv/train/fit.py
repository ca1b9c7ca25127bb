"""Training by a table of epochs, resumable after any of them."""

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras as keras
from numpy.typing import NDArray

from edgecv.artifacts import Normalization
from edgecv.data import Dataset
from edgecv.data.batches import batches
from edgecv.progress import OnEpoch, Progress
from edgecv.recipe import TrainOptions
from edgecv.train import checkpoint
from edgecv.train.adamw import AdamW
from edgecv.train.checkpoint import Arrays, Checkpoint
from edgecv.train.schedule import Epoch
from edgecv.train.spread import strategy

TAUGHT = 0.5  # of the target is what the teacher says; cross-entropy is linear in its target
WEIGHT_DECAY = 1e-4


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

    def run(self, epochs: Sequence[Epoch], state: Path, into: keras.Model) -> keras.Model:
        """`into`, a model at full resolution, with the weights of the best monitored epoch.

        Goes on after the epochs that the checkpoint at `state` has seen. The monitored images are
        held out of the training split; the evaluation split is never looked at.
        """
        kept = checkpoint.load(state)
        full = epochs[-1].resolution
        model = None
        while kept.epoch < len(epochs) and not self._is_hopeless(kept):
            row, before = epochs[kept.epoch], epochs[max(kept.epoch - 1, 0)]
            if model is None or _shape(row) != _shape(before):
                model = self._ready(row, kept, keep_slots=row.frozen == before.frozen)
            label = f"{self.stage} {kept.epoch + 1}/{len(epochs)}, {row.resolution} px"
            loss, accuracy = self._epoch(model, row, kept.epoch, label)
            kept = self._looked_at(model, kept, row.monitored and row.resolution == full)
            kept.add_figures(row.resolution, loss, accuracy)
            kept.save(state)
            if self.on_epoch:
                self.on_epoch(kept.epoch, accuracy)
        kept.write_history(state.with_suffix(".json"))
        into.set_weights(kept.best or kept.weights)
        return into

    def _is_hopeless(self, kept: Checkpoint) -> bool:
        """Whether the monitored loss has not fallen for too many epochs."""
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

    def _epoch(self, model: keras.Model, row: Epoch, index: int, label: str) -> tuple[float, float]:
        """Loss and accuracy of one pass over the training images, at its row's learning rates."""
        keras.utils.set_random_seed(self.seed + index)
        steps = -(-self.dataset.train_size // self.options.batch)
        loss = accuracy = 0.0
        feed = batches(self.dataset, row.resolution, self.options.batch, index)
        for step, (images, labels) in enumerate(self.progress.track(feed, label, steps)):
            model.optimizer.learning_rate.assign(row.rate(step / steps))
            pixels, wanted = self._tensors(images, labels)
            if self.teacher:
                taught = self.teacher.predict_on_batch(pixels)
                wanted = TAUGHT * taught + (1 - TAUGHT) * wanted
            loss, accuracy = model.train_on_batch(pixels, wanted, reset_metrics=step == 0)
            self.progress.figures(loss=loss, accuracy=accuracy)
            if self.callback:
                self.callback.on_train_batch_end(step)
        if self.callback:
            self.callback.on_epoch_end(index)
        return float(loss), float(accuracy)

    def _tensors(self, images: NDArray[np.uint8], labels: NDArray[np.int32]) -> tuple[Any, Any]:
        mean, std = (np.array(values, np.float32) for values in self.normalization)
        one_hot = np.eye(len(self.dataset.labels), dtype=np.float32)[labels]
        return (images.astype(np.float32) - mean) / std, one_hot

    def _looked_at(self, model: keras.Model, kept: Checkpoint, monitored: bool) -> Checkpoint:
        """The checkpoint after this epoch; the best weights change when the monitored loss fell."""
        weights: Arrays = model.get_weights()
        slots = [variable.numpy() for variable in model.optimizer.variables]
        now = dataclasses.replace(kept, epoch=kept.epoch + 1, weights=weights, slots=slots)
        now.seen = ()
        held_out = self.dataset.monitor(model.input_shape[1]) if monitored else []
        if held_out:
            images = np.stack([sample.image for sample in held_out])
            labels = np.array([sample.label for sample in held_out], np.int32)
            loss, _ = now.seen = model.evaluate(*self._tensors(images, labels), verbose=0)
            if loss < kept.best_loss:
                now.best, now.best_loss, now.best_epoch = weights, loss, now.epoch
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


FROZEN: dict[str, Callable[[keras.Model], list[keras.layers.Layer]]] = {
    "trunk": _trunk,
    "norm": _norm,
}
