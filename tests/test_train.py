"""Training: schedules are tables; an interrupted training ends where an undisturbed one does."""

import dataclasses

import numpy as np
import pytest

from edgecv import data
from edgecv.progress import Progress
from edgecv.recipe import DataOptions, ModelOptions, Recipe, TrainOptions
from edgecv.train import SCRATCH, checkpoint, train
from edgecv.train.schedule import from_scratch, transfer
from tests.interrupted import Killed, KilledAfter

SMALL = Recipe(
    model=ModelOptions("mobilenet_v1", width=0.25, resolution=48),
    train=TrainOptions(epochs=3, images_per_epoch=64),
)


def signs(recipe):
    return data.open(DataOptions(), recipe.seed, Progress(), recipe.train.images_per_epoch)


def test_scratch_grows_the_images_and_lets_the_rate_rise_and_fall():
    rows = from_scratch(1e-3, 160, 20)
    sides = [row.resolution for row in rows]
    assert sides == sorted(sides)
    assert set(sides) == {80, 128, 160}
    rates = [row.rate(share) for row in rows for share in (0.0, 0.5)]
    assert max(rates) == pytest.approx(1e-3)
    assert rates.index(max(rates)) == 4  # a tenth of the way
    assert rates[:4] == sorted(rates[:4])
    assert rates[4:] == sorted(rates[4:], reverse=True)
    assert rows[-1].rate(1.0) == pytest.approx(0)
    assert [row.rate(0) for row in rows[1:]] == pytest.approx([r.rate(1) for r in rows[:-1]])


@pytest.mark.parametrize("epochs", [1, 2, 3, 7])
@pytest.mark.parametrize("resolution", [32, 48, 97, 224])
def test_every_schedule_ends_at_full_size(epochs, resolution):
    for schedule in (from_scratch, transfer):
        rows = schedule(1e-3, resolution, epochs)
        assert len(rows) == epochs
        assert rows[-1].resolution == resolution
        assert max(row.resolution for row in rows) == resolution


def test_transfer_trains_the_head_first_and_the_trunk_gently():
    rows = transfer(1e-2, 96, 10)
    assert [row.frozen for row in rows] == ["trunk"] * 2 + ["norm"] * 8
    assert {row.peak for row in rows[:2]} == {1e-2}
    assert {row.peak for row in rows[2:]} == {1e-3}


def test_effort_is_bounded_by_epochs():
    assert SCRATCH.epochs(1_000_000) == SCRATCH.least
    assert SCRATCH.epochs(10) == SCRATCH.most


def test_checkpoint_comes_back_as_it_was(tmp_path):
    arrays = [np.arange(6, dtype=np.float32).reshape(2, 3), np.float32(4).reshape(())]
    kept = checkpoint.Checkpoint(4, arrays, arrays[::-1], arrays, 0.25, 3)
    kept.save(tmp_path / "training.npz")
    again = checkpoint.load(tmp_path / "training.npz")
    assert (again.epoch, again.best_loss, again.best_epoch) == (4, 0.25, 3)
    for group in ("weights", "slots", "best"):
        for mine, theirs in zip(getattr(kept, group), getattr(again, group), strict=True):
            np.testing.assert_array_equal(mine, theirs)


def test_the_optimizer_computes_what_keras_s_own_does():
    import tf_keras as keras

    from edgecv.train.adamw import AdamW

    def trained(optimizer):
        layers = [keras.layers.Conv2D(4, 3, use_bias=False), keras.layers.BatchNormalization()]
        layers += [keras.layers.Flatten(), keras.layers.Dense(2, "softmax")]
        keras.utils.set_random_seed(0)
        model = keras.Sequential([keras.Input((6, 6, 3)), *layers])
        model.compile(optimizer, "categorical_crossentropy")
        images = np.random.default_rng(0).normal(size=(8, 6, 6, 3))
        for rate in (0.1, 0.03, 0.01):
            optimizer.learning_rate.assign(rate)
            model.train_on_batch(images, np.eye(2)[[0, 1] * 4])
        return model.get_weights() + [each.numpy() for each in optimizer.variables]

    theirs = keras.optimizers.AdamW(weight_decay=0.2)
    theirs.exclude_from_weight_decay(var_names=["bias", "gamma", "beta"])
    for mine, other in zip(trained(AdamW(0.1, 0.2)), trained(theirs), strict=True):
        np.testing.assert_allclose(mine, other, rtol=1e-4, atol=1e-6)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """The small model, trained."""
    return train(SMALL, signs(SMALL), 10, tmp_path_factory.mktemp("undisturbed"), Progress())


def test_training_that_was_killed_ends_as_if_it_was_not(undisturbed, tmp_path):
    with pytest.raises(Killed):
        train(SMALL, signs(SMALL), 10, tmp_path / "b", KilledAfter(epoch=3))
    resumed = train(SMALL, signs(SMALL), 10, tmp_path / "b", Progress())
    for mine, theirs in zip(undisturbed.get_weights(), resumed.get_weights(), strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=1e-3, atol=1e-4)


def test_training_changes_the_weights_and_random_weights_stay(undisturbed, tmp_path):
    untrained = dataclasses.replace(SMALL, model=dataclasses.replace(SMALL.model, weights="random"))
    before = train(untrained, signs(SMALL), 10, tmp_path / "a", Progress()).get_weights()
    again = train(untrained, None, 10, tmp_path / "b", Progress()).get_weights()
    after = undisturbed.get_weights()
    assert all(np.array_equal(*pair) for pair in zip(before, again, strict=True))
    assert not any(np.array_equal(*pair) for pair in zip(before[:-1], after[:-1], strict=True))


def test_a_hopeless_training_stops_early(tmp_path):
    stuck = dataclasses.replace(
        SMALL, train=TrainOptions(epochs=8, images_per_epoch=32, learning_rate=1e-7, patience=1)
    )
    said, listener = [], Progress()
    listener.line = said.append
    train(stuck, signs(stuck), 10, tmp_path, listener)
    assert any("stopped early" in text for text in said)
