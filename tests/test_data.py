"""Folders of images as users have them: layouts, splits, damage; batches and calibration."""

import hashlib
import os
import subprocess
import sys
import tempfile
import threading
import zlib
from collections import Counter
from pathlib import Path

import cv2
import numpy as np
import pytest

import edgecv.data
from edgecv.data import Sample, batches, calibration_folder, manifest
from edgecv.data.batches import THREADS
from edgecv.data.dataset import pick_evenly
from edgecv.data.images import Square
from edgecv.data.signs import Signs
from edgecv.errors import DataError
from edgecv.progress import QUIET
from edgecv.recipe import DataOptions
from tests.waiting import SECONDS, wait_until


def photo(path, size=(40, 52)):
    """Write an image that differs from those written under other names."""
    seed = zlib.crc32("/".join(path.parts[-3:]).encode())
    path.parent.mkdir(parents=True, exist_ok=True)
    coarse = np.random.default_rng(seed).integers(0, 255, (5, 5, 3), np.uint8)
    pixels = cv2.resize(coarse, size[::-1], interpolation=cv2.INTER_CUBIC)
    path.write_bytes(cv2.imencode(path.suffix.lower(), pixels)[1].tobytes())
    return path


def classes(root, each=10, names=("cat", "dog", "eel")):
    for name in names:
        for number in range(each):
            photo(root / name / f"{number}.jpg")
    return root


def opened(root, seed=0, **options):
    return edgecv.data.open(DataOptions(path=str(root), **options), seed, QUIET)


def names(samples):
    return {sample.name for sample in samples}


def training_names(dataset):
    return names(dataset.calibration(32, 10_000))


def all_names(dataset):
    held_out = names(dataset.validation(32)) | names(dataset.monitor(32))
    return training_names(dataset) | held_out


def shown(dataset, epoch, resolution=32):
    return [(image.tobytes(), label) for image, label in dataset.training(resolution, epoch)]


def refusal(root, **options):
    with pytest.raises(DataError) as raised:
        opened(root, **options)
    assert "\n" not in str(raised.value)
    return str(raised.value)


# Layouts and splits


def test_class_folders_are_split_by_class(tmp_path):
    dataset = opened(classes(tmp_path / "pets"), validation=0.2)
    assert (dataset.name, dataset.labels) == ("pets", ("cat", "dog", "eel"))
    assert (dataset.train_size, dataset.validation_size) == (24, 6)
    held_out = list(dataset.validation(32))
    assert Counter(sample.label for sample in held_out) == {0: 2, 1: 2, 2: 2}
    assert all(sample.name.startswith(dataset.labels[sample.label] + "/") for sample in held_out)
    assert len(training_names(dataset) | names(held_out)) == 30


def test_even_a_small_share_holds_out_one_of_each_class(tmp_path):
    dataset = opened(classes(tmp_path, each=5), validation=0.05)
    assert Counter(sample.label for sample in dataset.validation(32)) == {0: 1, 1: 1, 2: 1}


def test_the_split_belongs_to_the_seed_and_the_names(tmp_path):
    first = opened(classes(tmp_path / "a"))
    for name in ("eel", "cat", "dog"):  # the same files, made in another order
        for number in reversed(range(10)):
            source = tmp_path / "a" / name / f"{number}.jpg"
            target = tmp_path / "b" / name / source.name
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(source.read_bytes())
    held_out = names(first.validation(32))
    assert names(opened(tmp_path / "b").validation(32)) == held_out
    assert names(opened(tmp_path / "b", seed=1).validation(32)) != held_out


@pytest.mark.parametrize("stated", ["val", "valid", "validation", "test", "Val"])
def test_stated_splits_are_kept(tmp_path, stated):
    classes(tmp_path / "train", each=6)
    classes(tmp_path / stated, each=2)
    dataset = opened(tmp_path)
    assert (dataset.train_size, dataset.validation_size) == (18, 6)
    assert all(name.startswith(f"{stated}/") for name in names(dataset.validation(32)))
    assert all(name.startswith("train/") for name in training_names(dataset))


def test_a_train_folder_alone_is_split(tmp_path):
    classes(tmp_path / "train")
    dataset = opened(tmp_path)
    assert dataset.labels == ("cat", "dog", "eel")
    assert (dataset.train_size, dataset.validation_size) == (24, 6)


def test_trains_may_be_a_class(tmp_path):
    assert opened(classes(tmp_path, names=("bus", "train"))).labels == ("bus", "train")


def test_copies_stay_on_one_side(tmp_path):
    classes(tmp_path)
    for name in ("cat", "dog", "eel"):
        for number in range(5):
            source = tmp_path / name / f"{number}.jpg"
            (tmp_path / name / f"copy of {number}.jpg").write_bytes(source.read_bytes())
    for seed in range(5):
        dataset = opened(tmp_path, seed, validation=0.5)
        sides = [
            {hashlib.sha256((tmp_path / name).read_bytes()).hexdigest() for name in side}
            for side in (training_names(dataset), names(dataset.validation(32)))
        ]
        assert not sides[0] & sides[1]
        assert len(all_names(dataset)) == 45
    assert "15 files are copies" in dataset.warnings[0]


def test_an_image_in_two_classes_is_left_out(tmp_path):
    classes(tmp_path)
    (tmp_path / "dog" / "x.jpg").write_bytes((tmp_path / "cat" / "0.jpg").read_bytes())
    dataset = opened(tmp_path)
    assert len(all_names(dataset)) == 29
    assert "1 image is in more than one class" in dataset.warnings[0]


def test_validation_images_are_not_trained_on(tmp_path):
    classes(tmp_path / "train", each=6)
    classes(tmp_path / "val", each=2)
    leaked = (tmp_path / "val" / "cat" / "0.jpg").read_bytes()
    (tmp_path / "train" / "cat" / "leaked.jpg").write_bytes(leaked)
    dataset = opened(tmp_path)
    assert "train/cat/leaked.jpg" not in training_names(dataset)
    assert "1 training images are also in validation" in dataset.warnings[0]


def test_strange_names_hidden_files_and_links(tmp_path):
    classes(tmp_path, names=("naïve 猫", "β, or not"))
    photo(tmp_path / "naïve 猫" / "deeper" / "UPPER.JPEG")
    for clutter in (".hidden/a.jpg", "__MACOSX/._a.jpg", "β, or not/.thumb.jpg"):
        photo(tmp_path / clutter)
    (tmp_path / "β, or not" / "Thumbs.db").write_bytes(b"x")
    (tmp_path / "naïve 猫" / "again").symlink_to(tmp_path)
    dataset = opened(tmp_path)
    assert dataset.labels == ("naïve 猫", "β, or not")
    assert "naïve 猫/deeper/UPPER.JPEG" in all_names(dataset)
    assert not any(".thumb" in name or "__MACOSX" in name for name in all_names(dataset))


def test_the_monitor_is_apart_from_training_and_validation(tmp_path):
    classes(tmp_path, each=50)
    for number in range(10):  # a copied photograph must not be in two places either
        source = tmp_path / "cat" / f"{number}.jpg"
        (tmp_path / "cat" / f"copy of {number}.jpg").write_bytes(source.read_bytes())
    dataset = opened(tmp_path)
    monitored = dataset.monitor(32)
    assert Counter(sample.label for sample in monitored) == {0: 2, 1: 4, 2: 4}
    sides = (training_names(dataset), names(dataset.validation(32)), names(monitored))
    contents = [{(tmp_path / name).read_bytes() for name in side} for side in sides]
    assert len(contents[0]) + len(contents[1]) + len(contents[2]) == len(set().union(*contents))
    assert names(opened(tmp_path).monitor(32)) == names(monitored)


def test_the_digest_is_that_of_the_images_and_their_split(tmp_path):
    first = opened(classes(tmp_path / "a")).digest
    assert opened(classes(tmp_path / "a")).digest == first
    assert opened(tmp_path / "a", seed=1).digest != first
    (tmp_path / "a" / "cat" / "0.jpg").write_bytes(photo(tmp_path / "new.jpg").read_bytes())
    assert opened(tmp_path / "a").digest != first


# What the network is shown


def test_training_belongs_to_the_seed_and_the_epoch(tmp_path):
    classes(tmp_path)
    first = shown(opened(tmp_path), epoch=3)
    assert shown(opened(tmp_path), epoch=3) == first
    later = shown(opened(tmp_path), epoch=4)
    assert Counter(label for _, label in later) == Counter(label for _, label in first)
    assert [label for _, label in later] != [label for _, label in first]
    assert not {image for image, _ in first} & {image for image, _ in later}
    assert shown(opened(tmp_path, seed=1), epoch=3) != first


def test_images_keep_their_labels_and_colors(tmp_path):
    """Red cats, green dogs, blue eels: no stage may mix up classes or channels."""
    for label, name in enumerate(("cat", "dog", "eel")):
        for number in range(10):
            rgb = np.full((40, 52, 3), 60 + number, np.uint8)
            rgb[..., label] = 150
            (tmp_path / name).mkdir(exist_ok=True)
            cv2.imwrite(str(tmp_path / name / f"{number}.png"), rgb[..., ::-1])
    dataset = opened(tmp_path)
    augmented = list(dataset.training(32, 0))
    assert all(image.mean((0, 1)).argmax() == label for image, label in augmented)
    assert len({round(image.mean()) for image, _ in augmented}) > 10  # of 24, from 10 colors
    for sample in (*dataset.validation(32), *dataset.calibration(32, 24)):
        assert sample.image.mean((0, 1)).argmax() == sample.label


def test_half_of_the_training_images_are_mirrored(tmp_path):
    left_dark = np.tile(np.linspace(60, 200, 52).astype(np.uint8)[None, :, None], (40, 1, 3))
    for name in ("cat", "dog"):
        (tmp_path / name).mkdir()
        for number in range(50):
            left_dark[0, 0] = number, len(list(tmp_path.iterdir())), 0  # no two alike
            cv2.imwrite(str(tmp_path / name / f"{number}.png"), left_dark)
    images = [image for image, _ in opened(tmp_path).training(32, 0)]
    mirrored = [image[:, :8].mean() > image[:, -8:].mean() for image in images]
    assert 0.3 < np.mean(mirrored) < 0.7


def test_validation_is_the_central_crop(tmp_path):
    classes(tmp_path)
    (sample, *_) = opened(tmp_path, crop=0.5).validation(10)
    stored = cv2.imread(str(tmp_path / sample.name))[10:30, 16:36, ::-1]
    assert np.array_equal(sample.image, cv2.resize(stored, (10, 10), interpolation=cv2.INTER_AREA))


def test_large_photographs_are_trained_on_at_a_fraction(tmp_path):
    """Decoding a JPEG small must not change what is in it, only how fine it is."""
    for name in ("cat", "dog"):
        for number in range(5):
            photo(tmp_path / name / f"{number}.jpg", size=(400, 560))
    dataset = opened(tmp_path)
    small = next(dataset.training(32, 0))[0]
    large = next(dataset.training(256, 0))[0]
    shrunk = cv2.resize(large, (32, 32), interpolation=cv2.INTER_AREA)
    assert np.abs(small.astype(int) - shrunk).mean() < 6


def test_no_detail_is_lost_that_the_resolution_can_show(tmp_path):
    stripes = np.zeros((400, 400, 3), np.uint8)
    stripes[:, np.arange(400) % 12 < 6] = 200
    for name in ("cat", "dog"):
        (tmp_path / name).mkdir()
        for number in range(5):
            stripes[0, 0] = number, len(list(tmp_path.iterdir())) * 100, 0  # no two alike
            cv2.imwrite(str(tmp_path / name / f"{number}.bmp"), stripes)
            cv2.imwrite(str(tmp_path / name / f"{number}.jpg"), stripes)
    assert all(image.std() > 60 for image, _ in opened(tmp_path).training(256, 0))


# Batches


def test_batches_are_full_and_in_order(tmp_path):
    dataset = opened(classes(tmp_path))
    made = list(batches(dataset, 32, batch=10, epoch=1))
    assert [images.shape for images, _ in made] == [(10, 32, 32, 3)] * 3
    assert all(images.dtype == np.uint8 and labels.dtype == np.int32 for images, labels in made)
    flat = [(image.tobytes(), label) for pair in made for image, label in zip(*pair, strict=True)]
    assert flat[:24] == shown(dataset, epoch=1)


@pytest.mark.parametrize("steps", [0, 1, 2, 7])
def test_as_many_batches_as_asked_for(steps):
    signs = edgecv.data.open(DataOptions(), 0, QUIET, images_per_epoch=20)
    assert len(list(batches(signs, 32, batch=10, epoch=0, steps=steps))) == steps


class GatedSigns(Signs):
    """Makes the first batch at once, and of the others no image before the gate is opened."""

    def __init__(self, batch):
        super().__init__(0)
        self.gate, self.begun, self._batch = threading.Event(), [], batch

    def training_image(self, resolution, epoch, index):
        if index >= self._batch:
            self.begun.append(index)
            assert self.gate.wait(SECONDS)
        return super().training_image(resolution, epoch, index)


def test_no_image_is_begun_once_the_reader_has_closed():
    signs = GatedSigns(batch=20)
    reader = batches(signs, 32, batch=20, epoch=0)
    next(reader)
    wait_until(lambda: len(signs.begun) == min(2, THREADS))  # a batch to each thread
    closing = threading.Thread(target=reader.close)
    closing.start()
    wait_until(lambda: reader.gi_running)
    signs.gate.set()
    closing.join()
    assert len(signs.begun) == min(2, THREADS)
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("batches")]


def test_batches_hand_on_what_goes_wrong(tmp_path):
    dataset = opened(classes(tmp_path))
    for path in tmp_path.rglob("*.jpg"):
        path.unlink()
    with pytest.raises(DataError, match="No such file"):
        next(batches(dataset, 32, batch=4, epoch=0))


# Calibration


def test_calibration_is_even_seeded_and_never_held_out(tmp_path):
    dataset = opened(classes(tmp_path))
    chosen = dataset.calibration(32, 9)
    assert Counter(sample.label for sample in chosen) == {0: 3, 1: 3, 2: 3}
    assert not training_names(dataset) & names(dataset.validation(32))
    assert names(opened(tmp_path).calibration(32, 9)) == names(chosen)
    assert len(dataset.calibration(32, 10_000)) == dataset.train_size


def test_calibration_from_a_folder_without_labels(tmp_path):
    paths = [photo(tmp_path / folder / f"{n}.png") for folder in (".", "a/b") for n in range(6)]
    (tmp_path / "notes.txt").write_text("not an image")
    samples, _ = calibration_folder(tmp_path, Square(24, 0.875), 8, 0)
    assert len(names(samples)) == 8
    assert all(sample.label == -1 and sample.image.shape == (24, 24, 3) for sample in samples)
    assert names(samples) < {path.relative_to(tmp_path).as_posix() for path in paths}
    assert names(calibration_folder(tmp_path, Square(24, 0.875), 8, 1).samples) != names(samples)


def test_calibration_folder_says_when_images_are_few(tmp_path):
    photo(tmp_path / "one.jpg")
    samples, warnings = calibration_folder(tmp_path, Square(24), 5, 0)
    assert len(samples) == 1
    assert "1 image to calibrate with, 5 were asked for" in warnings[0]


def test_calibration_folder_without_images(tmp_path):
    (tmp_path / "notes.txt").write_text("x")
    with pytest.raises(DataError, match=r"no images, found 1 x \.txt"):
        calibration_folder(tmp_path, Square(24), 5, 0)
    with pytest.raises(DataError, match="gone: cannot be read: No such file"):
        calibration_folder(tmp_path / "gone", Square(24), 5, 0)


def test_calibration_folder_skips_or_refuses_damage(tmp_path):
    for number in range(30):
        photo(tmp_path / f"{number}.jpg")
    (tmp_path / "bad.jpg").write_bytes(b"no")
    samples, warnings = calibration_folder(tmp_path, Square(24), 30, 0)
    assert len(samples) == 30
    assert "1 of 31 images cannot be read" in warnings[0]
    for number in range(3):
        (tmp_path / f"{number}.jpg").write_bytes(b"no")
    with pytest.raises(DataError, match="4 of 31 images cannot be read"):
        calibration_folder(tmp_path, Square(24), 30, 0)


def test_the_manifest_has_the_hash_of_each_file(tmp_path):
    path = photo(tmp_path / "a.png")
    samples, _ = calibration_folder(tmp_path, Square(24), 1, 0)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    assert manifest(samples, tmp_path) == [{"file": "a.png", "sha256": digest}]


def test_the_manifest_of_renders_has_the_hash_of_the_pixels():
    image = np.arange(12, dtype=np.uint8).reshape(2, 2, 3)
    digest = hashlib.sha256(bytes(range(12))).hexdigest()
    rows = manifest([Sample(image, 0, "signs/calibration/0")])
    assert rows == [{"file": "signs/calibration/0", "sha256": digest}]


# Bad input


def test_damaged_files_are_named_and_skipped(tmp_path, capfd):
    classes(tmp_path, each=20)
    whole = (tmp_path / "cat" / "3.jpg").read_bytes()
    (tmp_path / "cat" / "3.jpg").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "dog" / "gone.png").symlink_to(tmp_path / "nowhere.png")
    (tmp_path / "dog" / "header.bmp").write_bytes(b"BM" + bytes(range(100)))
    dataset = opened(tmp_path)
    assert len(all_names(dataset)) == 59
    (warning,) = dataset.warnings
    assert "3 of 62 images cannot be read" in warning
    for name in ("cat/3.jpg: truncated", "dog/gone.png: No such file", "dog/header.bmp"):
        assert name in warning
    assert capfd.readouterr() == ("", "")


def test_too_many_damaged_files_are_an_error(tmp_path):
    classes(tmp_path, each=20)
    for number in range(4):
        (tmp_path / "eel" / f"{number}.jpg").write_bytes(b"")
    message = refusal(tmp_path)
    assert "4 of 60 images cannot be read" in message
    assert "and 1 more" in message
    assert "5%" in message


def test_a_missing_folder(tmp_path):
    assert "gone: no such folder" in refusal(tmp_path / "gone")


def test_a_file_instead_of_a_folder(tmp_path):
    assert "a.jpg: not a folder" in refusal(photo(tmp_path / "a.jpg"))


def test_an_empty_folder(tmp_path):
    assert "no class folders, found no files" in refusal(tmp_path)


def test_images_without_class_folders(tmp_path):
    photo(tmp_path / "a.jpg")
    assert "no class folders, found 1 x .jpg" in refusal(tmp_path)


def test_one_class(tmp_path):
    assert "only one class, 'cat'" in refusal(classes(tmp_path, names=("cat",)))


def test_a_folder_within_a_folder(tmp_path):
    classes(tmp_path / "flower_photos")
    dataset = opened(tmp_path)
    assert dataset.labels == ("cat", "dog", "eel")
    assert dataset.warnings == (
        f"{tmp_path}: its images are those of {tmp_path / 'flower_photos'}",
    )


def test_two_images_a_class(tmp_path):
    message = refusal(classes(tmp_path, each=2))
    assert "class 'cat' has 2 different images" in message
    assert "at least 5" in message


def test_copies_do_not_make_a_class_larger(tmp_path):
    classes(tmp_path, each=6)
    data = (tmp_path / "dog" / "0.jpg").read_bytes()
    for number in range(6):
        (tmp_path / "dog" / f"{number}.jpg").write_bytes(data)
    assert "class 'dog' has 1 different images" in refusal(tmp_path)


def test_a_folder_of_text_files(tmp_path):
    for name in ("poems", "novels"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "a.txt").write_text("text")
    message = refusal(tmp_path)
    assert (
        "novels: no images, found 1 x .txt; JPEG, PNG, BMP, WebP, TIFF, JPEG 2000 or PNM is read"
        in message
    )


def test_an_empty_class(tmp_path):
    classes(tmp_path)
    (tmp_path / "fox").mkdir()
    assert "fox: no images, found no files" in refusal(tmp_path)


@pytest.mark.parametrize(
    ("validation", "expected"),
    [
        (("cat", "dog"), "val: lacks the class folders eel"),
        (("cat", "dog", "eel", "fox"), "val: alone has the class folders fox"),
        ((), "val: no class folders"),
    ],
)
def test_validation_with_other_classes(tmp_path, validation, expected):
    classes(tmp_path / "train")
    (tmp_path / "val").mkdir()
    classes(tmp_path / "val", each=2, names=validation)
    assert expected in refusal(tmp_path)


@pytest.fixture
def ordinary_user():
    """The test's own folder, and the rights of a user who is not root."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        root.chmod(0o755)
        user = os.geteuid()
        try:
            yield root, lambda: os.seteuid(65534) if user == 0 else None
        finally:
            os.seteuid(user)
            for each in (root, *root.rglob("*")):
                each.chmod(0o755)


@pytest.mark.skipif(not hasattr(os, "seteuid"), reason="rights work differently on this system")
@pytest.mark.parametrize("locked", [".", "cat"])
def test_an_unreadable_folder(ordinary_user, locked):
    folder, drop_rights = ordinary_user
    root = classes(folder / "data")
    (root / locked).chmod(0)
    drop_rights()
    message = refusal(root)
    assert message == f"{root / locked}: cannot be read: Permission denied"


def test_tensorflow_stays_out():
    code = "import sys, edgecv.data; sys.exit('tensorflow' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_class_name_that_a_file_of_labels_cannot_hold_is_refused(tmp_path):
    root = classes(tmp_path, names=("new\nline", "cat"))
    assert refusal(root).startswith(
        f"{root}: the class folder 'new\\nline' has a control character"
    )


@pytest.mark.parametrize(("count", "taken"), [(0, 0), (1, 1), (16, 16), (17, 9), (100, 15)])
def test_images_are_taken_evenly_and_never_more_than_asked_for(count, taken):
    found = pick_evenly(range(count), 16)
    assert len(found) == taken
    assert len(set(np.diff(found))) <= 1
