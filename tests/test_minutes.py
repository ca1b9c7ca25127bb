"""`--minutes`: the time is kept and shared, features come first, a killed training goes on."""

import dataclasses
import re

import cv2
import numpy as np
import pytest

from edgecv import data, models
from edgecv.data.balance import class_weights
from edgecv.errors import RecipeError
from edgecv.progress import Progress
from edgecv.recipe import DataOptions, ModelOptions, Recipe, TrainOptions
from edgecv.train import train
from edgecv.train.average import Average
from edgecv.train.clock import WARM, Clock
from edgecv.train.head import Features, solve_head
from edgecv.train.schedule import describe_tuning, timed_transfer
from edgecv.train.statistics import set_statistics
from tests.builds import invoke
from tests.interrupted import Killed, KilledAfter

SHAPE = ModelOptions("mobilenet_v1", width=0.25, resolution=48)


class Listener(Progress):
    """Keeps the labels of what was tracked."""

    def __init__(self):
        self.labels = []

    def track(self, items, label, total=None):  # noqa: ARG002
        self.labels.append(label)
        yield from items


def pale(seed):
    """Features of 60 images of three classes, apart in the means of a few channels of many."""
    rng = np.random.default_rng(seed)
    labels = np.arange(60, dtype=np.int32) % 3
    rows = rng.normal(size=(60, 40)).astype(np.float32)
    rows[:, :3] += 4 * np.eye(3, dtype=np.float32)[labels]
    return Features(7 + 0.1 * rows, labels)


def test_a_head_is_solved_and_its_decay_is_right_for_other_images():
    training, other = pale(1), pale(2)
    head = solve_head(training, pale(3), np.eye(3, dtype=np.float32), None)
    answers = (other.rows @ head.kernel + head.bias).argmax(axis=1)
    assert (answers == other.labels).mean() > 0.9
    alone = solve_head(training, Features(training.rows[:0], training.labels[:0]), np.eye(3), None)
    assert alone.kernel.shape == (40, 3)


def test_rare_classes_weigh_more_and_the_mean_image_weighs_one():
    assert class_weights([100, 90, 110]) is None
    weights = class_weights([400, 100, 25])
    np.testing.assert_allclose(weights / weights[0], [1, 2, 4], rtol=1e-5)
    assert (weights * [400, 100, 25]).sum() / 525 == pytest.approx(1)
    assert np.isfinite(class_weights([3, 0])).all()


def test_a_rare_class_gains_by_its_weight():
    rows = np.linspace(-1, 1, 40, dtype=np.float32)[:, None]
    labels = (rows[:, 0] > 0.8).astype(np.int32)
    overlapping = Features(rows + np.where(labels == 1, -0.5, 0)[:, None], labels)
    plain, weighted = (
        solve_head(overlapping, overlapping, np.eye(2, dtype=np.float32), weights)
        for weights in (None, class_weights(np.bincount(labels)))
    )
    assert weighted.bias[1] - weighted.bias[0] > plain.bias[1] - plain.bias[0]


@pytest.mark.parametrize("resolution", [48, 160, 224])
def test_more_time_tunes_more_layers_at_a_growing_size(resolution):
    assert timed_transfer(1e-3, resolution, 0.1) == []
    assert "no time to fine-tune" in describe_tuning([])
    (late,) = {row.frozen for row in timed_transfer(1e-3, resolution, 3)}
    assert late == "early"
    rows = timed_transfer(1e-3, resolution, 30)
    sides = [row.resolution for row in rows]
    assert {row.frozen for row in rows} == {"norm"}
    assert sides == sorted(sides) and sides[-1] == resolution
    assert [row.begin for row in rows[1:]] == [row.end for row in rows[:-1]]
    assert "all layers" in describe_tuning(rows)


def test_the_parts_of_a_clock_share_what_is_left_of_its_time(tmp_path):
    clock = Clock(1 / 600, tmp_path / "clock")
    for begin, end in ((0.0, 0.5), (0.5, 1.0)):
        shares = [share for share, _ in clock.part(range(10**9), begin, end)]
        assert shares == sorted(shares) and shares[0] >= 0 and shares[-1] < 1
    assert clock.left == 0
    assert list(clock.part(range(3), 0.5, 1.0)) == []


def test_an_interrupted_clock_goes_on(tmp_path):
    clock = Clock(10, tmp_path / "clock")
    list(clock.part(range(10**9), 0, 1e-5))
    clock.save()
    assert 600 - Clock(10, tmp_path / "clock").left >= 6e-3


def test_too_few_minutes_for_a_pass_are_refused_with_what_would_do(tmp_path):
    clock = Clock(0.1, tmp_path / "clock")
    seen = iter(clock.watch(range(10**9), 1, 10**12))
    with pytest.raises(RecipeError, match=r"--minutes 0.1: too few .*1,000,000,000,000") as caught:
        for _ in range(WARM + 1):
            next(seen)
    assert float(re.search(r"with --minutes (\S+),", str(caught.value))[1]) > 0.1
    assert len(list(Clock(0.1, tmp_path / "b").watch(range(9), 32, 9))) == 9


def test_the_average_follows_and_lags():
    average = Average([])
    for value in (1.0, 2.0):
        average.update([np.float32([value])], 0.05)
    assert average.weights[0] == pytest.approx(1.5)


@pytest.fixture(scope="module")
def transfer(tmp_path_factory):
    """A recipe of minutes on a folder of two colors, from weights in a file."""
    folder = tmp_path_factory.mktemp("transfer")
    model = models.build(SHAPE, 4)
    set_statistics(model, None, models.normalization(SHAPE), seed=0)
    model.save(folder / "start.keras")
    rng = np.random.default_rng(0)
    for name, color in (("red", (40, 40, 200)), ("blue", (200, 40, 40))):
        (folder / "photos" / name).mkdir(parents=True)
        for number in range(24):
            image = np.full((64, 64, 3), rng.normal(color, 9), np.uint8)
            cv2.imwrite(str(folder / "photos" / name / f"{number}.png"), image)
    return Recipe(
        model=dataclasses.replace(SHAPE, weights=str(folder / "start.keras")),
        data=DataOptions(str(folder / "photos")),
        train=TrainOptions(minutes=5, batch=16),
    )


def images_of(recipe):
    return data.open(recipe.data, recipe.seed, Progress())


def test_features_and_head_come_before_fine_tuning_and_are_kept_for_a_resume(transfer, tmp_path):
    images = images_of(transfer)
    with pytest.raises(Killed):
        train(transfer, images, 2, tmp_path, KilledAfter(epoch=1))
    shorter = dataclasses.replace(transfer, train=TrainOptions(minutes=0.2, batch=16))
    listener = Listener()
    model = train(shorter, images, 2, tmp_path, listener)
    assert all(re.match(r"epoch .* min left", label) for label in listener.labels)
    samples = images.calibration(48, 30)
    pixels = np.stack([sample.image for sample in samples]) / 127.5 - 1
    answers = model.predict(pixels, verbose=0).argmax(axis=1)
    assert np.mean(answers == [sample.label for sample in samples]) > 0.8


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--minutes", "0"], "--minutes: must be 0.1 to 10000, got 0.0"),
        (["--minutes", "2", "--epochs", "3"], "--minutes: --epochs is there, too"),
        (["--minutes", "2", "--weights", "random"], "--minutes: trains, but --weights is random"),
    ],
)
def test_minutes_that_cannot_be_are_refused(flags, words, tmp_path):
    shown = invoke("build", "mobilenet", *flags, "-o", tmp_path / "run")
    assert shown.exit_code == 2
    assert shown.stderr.splitlines()[-1].startswith(f"Error: {words}")


def test_a_class_with_a_photograph_is_refused_before_anything_is_read(tmp_path):
    for name, count in (("cat", 6), ("dog", 1)):
        (tmp_path / "photos" / name).mkdir(parents=True)
        for number in range(count):
            (tmp_path / "photos" / name / f"{number}.jpg").write_bytes(b"")
    shown = invoke("build", "mobilenet", "--data", tmp_path / "photos", "-o", tmp_path / "run")
    assert shown.exit_code == 1
    (line,) = shown.stderr.splitlines()
    assert line.endswith("class 'dog' has 1 image; at least 5 are needed")
