"""Training: from scratch, from weights that were trained on something else, or for int8."""

from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from edgecv.data import Dataset
from edgecv.progress import OnEpoch, Progress
from edgecv.recipe import Recipe


class Effort(NamedTuple):
    """How many images a training looks at, and within which number of epochs."""

    images: int
    least: int
    most: int

    def epochs(self, train_size: int) -> int:
        """Epochs for a dataset of this size."""
        return min(max(round(self.images / train_size), self.least), self.most)


SIGNS = Effort(images=18_000, least=1, most=1000)
SCRATCH = Effort(images=70_000, least=10, most=80)
TRANSFER = Effort(images=15_000, least=5, most=30)
QAT = Effort(images=5_000, least=1, most=10)
TIMED_EPOCHS = 20  # of a training from scratch within minutes; weights are kept after every one
RATE, RATE_WITHOUT_NORM = 6e-3, 2e-3  # SqueezeNet has no batch-norm, and diverges sooner
# Share of those, with batch-norm's statistics kept. EfficientNet-B0 0.5/96 on 2,000 photographs of
# flowers, float 73.0 %, with min-max ranges in int8 73.5 %: three epochs of it give 74.5 %. At a
# tenth, with statistics that go on moving, two epochs gave 66.5 %.
QAT_RATE = 0.03
PRUNED = Effort(images=20_000, least=4, most=20)
PRUNE_RATE = 0.5  # share of the highest learning rate


def epochs(recipe: Recipe, images: Dataset) -> int:
    """Epochs of `train` on these images: the recipe's, or as many as the effort needs."""
    effort = TRANSFER if _is_loaded(recipe) else SCRATCH if recipe.data.path else SIGNS
    asked = recipe.train.epochs
    return effort.epochs(images.train_size) if asked is None else asked


def train(
    recipe: Recipe,
    images: Dataset | None,
    classes: int,
    state: Path,
    progress: Progress,
    on_epoch: OnEpoch | None = None,
) -> Any:
    """The recipe's tf_keras model with its final weights: loaded, random, or trained on `images`.

    Random ones get batch norms with the statistics of images; `statistics` says why.

    Goes on from the checkpoint in the folder `state` when there is one. `on_epoch` is called after
    every epoch, when its checkpoint is written; what it raises ends the training.
    """
    import tf_keras as keras

    from edgecv import models
    from edgecv.train.clock import Clock
    from edgecv.train.fit import Fit
    from edgecv.train.statistics import set_statistics

    keras.utils.set_random_seed(recipe.seed)
    options = recipe.model
    start = _start(recipe, classes, progress)
    if images is None or options.weights == "random" or recipe.train.epochs == 0:
        if not _is_loaded(recipe):
            set_statistics(start, images, models.normalization(options), recipe.seed)
        return start
    norm = models.normalization(options)
    clock = Clock(recipe.train.minutes, state / "clock") if recipe.train.minutes else None
    rows = _rows(recipe, start, images, clock, state, progress)
    first = start.get_weights()

    def build(resolution: int) -> Any:
        model = models.build(replace(options, resolution=resolution), classes)
        model.set_weights(first)
        return model

    others: dict[str, Any] = {"on_epoch": on_epoch, "devices": _devices(progress), "clock": clock}
    fit = Fit(build, images, norm, recipe.train, recipe.seed, progress, **others)
    return fit.run(rows, state / "training.npz", start) if rows else start


def _rows(
    recipe: Recipe, model: Any, images: Dataset, clock: Any, state: Path, progress: Progress
) -> list[Any]:
    """The epochs of a training, by the clock if there is one, else of as many images as it pays."""
    from edgecv.train.schedule import from_scratch, transfer

    if clock:
        return _timed(recipe, model, images, clock, state, progress)
    schedule = transfer if _is_loaded(recipe) else from_scratch
    return schedule(_rate(recipe, model), model.input_shape[1], epochs(recipe, images))


def _timed(
    recipe: Recipe, model: Any, images: Dataset, clock: Any, state: Path, progress: Progress
) -> list[Any]:
    """The epochs of a training within minutes; loaded weights have a head then, solved."""
    from edgecv import models
    from edgecv.train import features, schedule, transfer

    rate, side = _rate(recipe, model), model.input_shape[1]
    if not _is_loaded(recipe):
        return schedule.from_scratch(rate, side, TIMED_EPOCHS)
    head, passes = features.head_of(model), schedule.ENOUGH
    if head:
        norm = models.normalization(recipe.model)
        trunk = features.Trunk(features.trunk_of(model, head), images, norm, progress, clock)
        smoothing = recipe.train.label_smoothing
        passes = transfer.start_at_head(head, trunk, smoothing, state / "features.npz")
    rows = schedule.timed_transfer(rate * schedule.GENTLE, side, passes)
    progress.line(schedule.describe_tuning(rows))
    return rows


def _devices(progress: Progress) -> list[str]:
    """The GPUs to train on; more than one are announced."""
    from edgecv.train.spread import gpus

    devices = gpus()
    if len(devices) > 1:
        progress.line(f"training on {len(devices)} GPUs, each with a share of every batch")
    return devices


def _is_loaded(recipe: Recipe) -> bool:
    """Whether training starts from weights that were trained before."""
    return recipe.model.weights not in ("", "random")


def _start(recipe: Recipe, classes: int, progress: Progress) -> Any:
    """The recipe's model before any training, its weights loaded or random."""
    from edgecv import models
    from edgecv.models import weights

    model = models.build(recipe.model, classes)
    if _is_loaded(recipe):
        weights.load(model, recipe.model, progress)
    return model


def train_for_int8(
    recipe: Recipe, model: Any, images: Dataset, state: Path, progress: Progress
) -> Any:
    """A float model like the trained `model`, its weights trained on with int8's rounding.

    A kernel's zeros stay, so that a pruned model stays pruned.
    Goes on from the checkpoint in the folder `state` when there is one.
    """
    from edgecv import models
    from edgecv.train.fit import Fit
    from edgecv.train.qat import add_rounding, remove_rounding
    from edgecv.train.schedule import fine_tuning
    from edgecv.train.zeros import ZerosStay

    twin = add_rounding(model)
    count = recipe.train.qat_epochs or QAT.epochs(images.train_size)
    rows = fine_tuning(_rate(recipe, model) * QAT_RATE, model.input_shape[1], count)
    fit = Fit(
        lambda _: twin,  # every epoch has its resolution
        images,
        models.normalization(recipe.model),
        recipe.train,
        recipe.seed,
        progress,
        stage="int8 epoch",
        callback=ZerosStay(model),
    )
    return remove_rounding(fit.run(rows, state / "qat.npz", twin), model)


def fine_tune(
    recipe: Recipe,
    model: Any,
    images: Dataset,
    count: int,
    checkpoint: Path,
    progress: Progress,
    **others: Any,
) -> Any:
    """The model, its weights trained on for `count` epochs.

    Goes on from `checkpoint` when it is there. `others` are fields of Fit: what a line of progress
    begins with, a teacher, a callback; and `settled`, the share of the epochs after which weights
    may be kept.
    """
    from edgecv import models
    from edgecv.train.fit import Fit
    from edgecv.train.schedule import recovery

    settled = others.pop("settled", 0.0)
    if not count:
        return model
    first = model.get_weights()

    def build(_: int) -> Any:
        model.set_weights(first)
        return model

    rows = recovery(_rate(recipe, model) * PRUNE_RATE, model.input_shape[1], count, settled)
    norm = models.normalization(recipe.model)
    fit = Fit(build, images, norm, recipe.train, recipe.seed, progress, **others)
    return fit.run(rows, checkpoint, model)


def _rate(recipe: Recipe, model: Any) -> float:
    """The highest learning rate."""
    import tf_keras as keras

    with_norm = any(isinstance(layer, keras.layers.BatchNormalization) for layer in model.layers)
    return recipe.train.learning_rate or (RATE if with_norm else RATE_WITHOUT_NORM)
