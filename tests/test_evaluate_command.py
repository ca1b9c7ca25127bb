"""`edgecv evaluate`: any model, any labeled folder, matched by the names of the classes."""

import json

import numpy as np
import pytest
from click.testing import CliRunner

from edgecv.cli import main
from edgecv.tflite import runtime
from tests import tiny_models


def run(*arguments):
    return CliRunner().invoke(main, ["evaluate", *map(str, arguments)])


@pytest.fixture(scope="module")
def tiny():
    return tiny_models.tiny()


@pytest.fixture
def model(tiny, tmp_path):
    return tiny_models.with_labels(tmp_path / "int8.tflite")


@pytest.fixture
def photos(tiny, tmp_path):
    """Some of the images; two classes have none."""
    some = [each for each in tiny.samples if each.label not in (0, 5)]
    return tiny_models.photos(tmp_path / "photos", some)


def test_figures_are_those_of_a_plain_count_by_class_name(tiny, model, photos):
    shown = run(model, "--data", photos, "--against", tiny.float32.path, "--json")
    assert shown.exit_code == 0, shown.stderr
    found = json.loads(shown.stdout)
    kept = [each for each in tiny.samples if each.label not in (0, 5)]
    answers = {}
    for name, path in (("model", model), ("against", tiny.float32.path)):
        scores = runtime.run(runtime.load(path), np.stack([each.image for each in kept]))
        answers[name] = scores.argmax(1)
        truth = np.array([each.label for each in kept])
        assert found[name]["top1"] == pytest.approx((answers[name] == truth).mean(), abs=1e-6)
    assert found["images"] == len(kept)
    agreement = (answers["model"] == answers["against"]).mean()
    assert found["agreement"] == pytest.approx(agreement, abs=1e-6)


def test_only_val_is_scored_where_there_is_one(model, photos):
    photos.rename(photos.parent / "val")
    (photos / "train").mkdir(parents=True)
    (photos.parent / "val").rename(photos / "val")
    shown = run(model, "--data", photos)
    assert shown.exit_code == 0, shown.stderr
    assert "images     80 of" in shown.stdout


def test_a_folder_that_is_no_label_is_named(model, photos):
    (photos / "give_way").rename(photos / "giveway")
    shown = run(model, "--data", photos)
    assert shown.exit_code == 1
    assert "'giveway' is no label of the model; did you mean 'give_way'?" in shown.stderr


def test_labels_come_from_a_file_for_a_model_without(tiny, photos, tmp_path):
    (tmp_path / "labels.txt").write_text("\n".join(tiny.labels))
    shown = run(tiny.int8.path, "--data", photos, "--labels", tmp_path / "labels.txt", "--json")
    assert json.loads(shown.stdout)["images"] == 80
    refused = run(tiny.int8.path, "--data", photos)
    assert refused.exit_code == 1
    assert "gives 10 scores, but the data has 8 classes" in refused.stderr


@pytest.mark.parametrize("content", [b"", b"TFL3", b"\0\0\0\0TFL3" + bytes(range(200))])
def test_a_file_that_is_no_model_is_one_line(content, photos, tmp_path):
    (tmp_path / "bad.tflite").write_bytes(content)
    shown = run(tmp_path / "bad.tflite", "--data", photos)
    assert shown.exit_code == 1
    assert len(shown.stderr.strip().splitlines()) == 1
    assert "bad.tflite" in shown.stderr
