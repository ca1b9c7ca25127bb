import weakref

import numpy as np
import pytest

from edgecv.artifacts import TFLiteModel
from edgecv.data import Sample
from edgecv.errors import DataError, UnsupportedModelError
from edgecv.evaluate.accuracy import BATCH, evaluate
from edgecv.tflite import runtime
from tests import tiny_models


@pytest.fixture(scope="module")
def tiny():
    return tiny_models.tiny()


@pytest.fixture(scope="module")
def evaluation(tiny):
    return evaluate(tiny.float32, tiny.int8, iter(tiny.samples), tiny.labels, "signs")


def scores(model, samples):
    interpreter = runtime.load(model.path)
    return np.concatenate([runtime.run(interpreter, sample.image[None]) for sample in samples])


def blank(label=0, name="blank"):
    return Sample(np.zeros((8, 8, 3), np.uint8), label, name)


def test_figures_are_those_of_a_plain_count(tiny, evaluation):
    truth = np.array([sample.label for sample in tiny.samples])
    found = {model.scheme: scores(model, tiny.samples) for model in (tiny.float32, tiny.int8)}
    answers = {scheme: each.argmax(1) for scheme, each in found.items()}
    assert 0.3 < (answers["float32"] == truth).mean() < 1, "the model is no test of counting"
    for scheme, each in found.items():
        first_five = np.argsort(-each, axis=1, kind="stable")[:, :5]
        assert evaluation.accuracy[scheme] == {
            "top1": pytest.approx((answers[scheme] == truth).mean(), abs=1e-6),
            "top5": pytest.approx((first_five == truth[:, None]).any(1).mean(), abs=1e-6),
        }
    agreement = (answers["float32"] == answers["int8"]).mean()
    assert agreement < 1, "the models are no test of comparing"
    assert evaluation.accuracy["agreement"] == pytest.approx(agreement, abs=1e-6)
    assert evaluation.accuracy["images"] == 100
    assert evaluation.accuracy["data"] == "signs"

    confusion = np.zeros((10, 10), int)
    np.add.at(confusion, (truth, answers["int8"]), 1)
    assert evaluation.accuracy["confusion"] == confusion.tolist()
    worst = evaluation.accuracy["confusions"][0]
    assert worst["images"] == (confusion - np.diag(np.diag(confusion))).max()
    row, column = tiny.labels.index(worst["label"]), tiny.labels.index(worst["predicted"])
    assert confusion[row, column] == worst["images"]
    for label, row in enumerate(evaluation.accuracy["per_class"]):
        assert row["label"] == tiny.labels[label]
        assert row["images"] == 10
        for scheme, each in answers.items():
            assert row[scheme] == pytest.approx((each[truth == label] == label).mean())


def test_strip_holds_mistakes_of_several_classes_with_both_models_scores(tiny, evaluation):
    strip = evaluation.predictions
    assert len(strip) == 12
    mistakes = [each for each in strip if not each.is_right()]
    assert 4 <= len(mistakes) < 12
    assert len({each.sample.label for each in strip}) >= 6
    for each in strip:
        assert each.scores["int8"] == pytest.approx(scores(tiny.int8, [each.sample])[0])
        assert each.scores["float32"] == pytest.approx(scores(tiny.float32, [each.sample])[0])


def test_one_model_is_compared_with_nothing(tiny):
    accuracy = evaluate(tiny.float32, None, tiny.samples[:20], tiny.labels, "signs").accuracy
    assert "agreement" not in accuracy
    assert set(accuracy["per_class"][0]) == {"label", "images", "float32"}
    assert np.trace(accuracy["confusion"]) == round(20 * accuracy["float32"]["top1"])


def test_class_without_images_has_no_accuracy(tiny):
    samples = [each for each in tiny.samples[:30] if each.label != 3]
    row = evaluate(tiny.float32, None, samples, tiny.labels, "signs").accuracy["per_class"][3]
    assert row == {"label": tiny.labels[3], "images": 0}


class Watched(np.ndarray):
    """An image that can be counted while it is alive."""

    __hash__ = object.__hash__


def test_images_are_not_kept(tiny):
    alive, most = weakref.WeakSet(), 0

    def counted():
        nonlocal most
        for sample in tiny.samples:
            image = sample.image.copy().view(Watched)
            alive.add(image)
            most = max(most, len(alive))
            yield Sample(image, sample.label, sample.name)

    evaluate(tiny.float32, None, counted(), tiny.labels, "signs")
    strip = 2 * 12
    assert most <= 2 * BATCH + strip < len(tiny.samples), "more images in memory than needed"


def test_equal_scores_do_not_all_count_as_hits(tmp_path):
    model = tiny_models.undecided(tmp_path, classes=10)
    samples = [blank(label) for label in range(10)]
    figures = evaluate(model, None, samples, "abcdefghij", "blank").accuracy["float32"]
    assert figures == {"top1": 0.1, "top5": 0.5}


def test_top5_of_four_classes_says_nothing_and_is_left_out(tmp_path):
    model = tiny_models.undecided(tmp_path, classes=4)
    accuracy = evaluate(model, None, [blank()], "abcd", "blank").accuracy
    assert accuracy["float32"] == {"top1": 1.0}


@pytest.mark.parametrize(
    ("samples", "labels", "error", "words"),
    [
        pytest.param([], "abcd", DataError, "holiday: no image", id="nothing to look at"),
        pytest.param([blank(-1, "a.jpg")], "abcd", DataError, "a.jpg: has no label", id="label"),
        pytest.param([blank()], "abc", UnsupportedModelError, "gives 4 scores", id="classes"),
    ],
)
def test_unusable_data_is_named(tmp_path, samples, labels, error, words):
    model = tiny_models.undecided(tmp_path, classes=4)
    with pytest.raises(error, match=words):
        evaluate(model, None, samples, labels, "holiday")


def test_two_models_of_one_scheme_are_refused(tmp_path):
    model = tiny_models.undecided(tmp_path, classes=4)
    other = TFLiteModel(tmp_path / "other.tflite", "float32")
    with pytest.raises(UnsupportedModelError, match=r"other\.tflite: is float32 like"):
        evaluate(model, other, [blank()], "abcd", "blank")
