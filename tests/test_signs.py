"""The built-in road signs: repeatable, fresh, balanced, and in the picture."""

from collections import Counter
from itertools import combinations

import cv2
import numpy as np
import pytest

from edgecv.data.sign_shapes import LABELS, template
from edgecv.data.signs import Pose, Signs, place, random_pose, render


def generator(*seed):
    return np.random.default_rng(seed)


def pixels(images):
    return {image.tobytes() for image in images}


def test_a_generator_state_gives_one_image():
    for label in range(len(LABELS)):
        image = render(label, 64, generator(1, label))
        assert image.shape == (64, 64, 3)
        assert image.dtype == np.uint8
        assert np.array_equal(image, render(label, 64, generator(1, label)))


def test_the_scene_is_the_same_at_any_resolution():
    for seed in range(20):
        small = render(seed % 10, 64, generator(seed))
        large = cv2.resize(render(seed % 10, 256, generator(seed)), (64, 64), None, 0, 0, 3)
        assert np.abs(small.astype(int) - large).mean() < 14
        other = render(seed % 10, 64, generator(seed + 1000))
        assert np.abs(small.astype(int) - other).mean() > 20


def test_signs_differ_from_each_other():
    shown = [template(label, 32).astype(int) for label in range(len(LABELS))]
    for one, other in combinations(shown, 2):
        assert np.abs(one - other).mean() > 12


@pytest.mark.parametrize("resolution", [32, 96, 320])
def test_a_sign_is_where_its_pose_says(resolution):
    street = np.zeros((resolution, resolution, 3), np.uint8)
    shown = place(street, LABELS.index("no_entry"), Pose(size=0.5, x=0.25, y=0.75)).max(axis=2) > 60
    rows, columns = np.nonzero(shown)
    left, right = columns.min() / resolution, (columns.max() + 1) / resolution
    top, bottom = rows.min() / resolution, (rows.max() + 1) / resolution
    margin = 0.03 * 0.5 + 1 / resolution  # of the template, and rounding
    assert (left, right, top, bottom) == pytest.approx((0, 0.5, 0.5, 1), abs=margin)


def test_a_turned_sign_looks_narrower():
    street = np.zeros((128, 128, 3), np.uint8)
    front, turned = (
        (place(street, LABELS.index("no_entry"), Pose(yaw=yaw)).max(axis=2) > 60).any(axis=0).sum()
        for yaw in (0, 45)
    )
    assert turned == pytest.approx(front * np.cos(np.pi / 4), rel=0.1)


def test_a_faded_sign_has_lost_color():
    street = np.zeros((64, 64, 3), np.uint8)
    fresh, faded = (
        np.ptp(place(street, LABELS.index("stop"), Pose(), fade).astype(int), axis=2).mean()
        for fade in (0.0, 0.25)
    )
    assert faded == pytest.approx(0.75 * fresh, rel=0.05)


def test_random_signs_are_large_and_hardly_leave_the_frame():
    street = np.zeros((64, 64, 3), np.uint8)
    whole = LABELS.index("parking")
    for seed in range(200):
        pose = random_pose(generator(seed))
        seen = (place(street, whole, pose).max(axis=2) > 60).mean()
        assert 0.7 * pose.size**2 < seen < 1.1
        assert 0.45 <= pose.size <= 0.9


def test_training_renders_are_fresh_but_repeatable():
    signs = Signs(seed=3, images_per_epoch=40)
    first = list(signs.training(48, epoch=0))
    again = list(Signs(seed=3, images_per_epoch=40).training(48, epoch=0))
    assert pixels(image for image, _ in first) == pixels(image for image, _ in again)
    assert [label for _, label in first] == [label for _, label in again]
    later = pixels(image for image, _ in signs.training(48, epoch=1))
    other = pixels(image for image, _ in Signs(seed=4, images_per_epoch=40).training(48, epoch=0))
    assert len(pixels(image for image, _ in first) | later | other) == 120


def test_training_labels_are_balanced_and_shuffled():
    labels = [label for _, label in Signs(seed=0, images_per_epoch=100).training(32, epoch=2)]
    assert Counter(labels) == dict.fromkeys(range(10), 10)
    assert labels[:10] != list(range(10))


@pytest.mark.parametrize("seed", range(4))
def test_validation_never_meets_training_or_calibration(seed):
    signs = Signs(seed, images_per_epoch=100, validation_size=50)
    held_out = pixels(sample.image for sample in signs.validation(32))
    assert len(held_out) == 50
    assert held_out == pixels(s.image for s in Signs(seed + 1, 100, 50).validation(32))
    for epoch in range(4):
        assert not held_out & pixels(image for image, _ in signs.training(32, epoch))
    assert not held_out & pixels(sample.image for sample in signs.calibration(32, 50))
    assert not held_out & pixels(sample.image for sample in signs.monitor(32))


def test_validation_is_named_and_balanced():
    samples = list(Signs(0).validation(32))
    assert len(samples) == Signs(0).validation_size == 500
    assert Counter(sample.label for sample in samples) == dict.fromkeys(range(10), 50)
    assert samples[17].name == "signs/validation/17"


def test_a_color_alone_does_not_give_the_class_away():
    """The mean color of an image, by nearest class mean, must not be enough; chance is 0.1."""
    signs = Signs(0, images_per_epoch=400, validation_size=200)
    training = [(image.mean(axis=(0, 1)), label) for image, label in signs.training(32, 0)]
    means = np.array([np.mean([x for x, label in training if label == k], 0) for k in range(10)])
    hits = [
        np.abs(means - sample.image.mean(axis=(0, 1))).sum(axis=1).argmin() == sample.label
        for sample in signs.validation(32)
    ]
    assert np.mean(hits) < 0.5
