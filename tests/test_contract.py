"""What a model takes and gives is read from any file: answers do not depend on how pixels go in."""

import zipfile

import numpy as np
import pytest

from edgecv.artifacts import CENTERED, Normalization, TFLiteModel
from edgecv.data.images import fit_view
from edgecv.errors import DataError, RecipeError, UnsupportedModelError
from edgecv.evaluate.accuracy import host_scorer
from edgecv.tflite import contract, flatbuffer, metadata, pixels, scale_test
from edgecv.tflite.pixels import BYTES, IMAGENET, UNIT, Grid
from tests import foreign_models
from tests.foreign_models import BRIGHTNESS, brightness, declared, scenes

FLOATS = {"-1..1": CENTERED, "0..1": UNIT, "0..255": BYTES, "ImageNet": IMAGENET}
GRIDS = {  # an integer input, and the real numbers that the network behind it was trained on
    "uint8 0..255": (Grid("uint8", 1.0, 0), BYTES),
    "uint8 0..1": (Grid("uint8", 1 / 255, 0), UNIT),
    "uint8 -1..1, 127": (Grid("uint8", 1 / 127.5, 127), CENTERED),
    "uint8 -1..1, 128": (Grid("uint8", 1 / 127.5, 128), CENTERED),
    "uint8 -1..1, 1/128": (Grid("uint8", 1 / 128, 128), CENTERED),
    "int8 0..255": (Grid("int8", 1.0, -128), BYTES),
    "int8 0..1": (Grid("int8", 1 / 255, -128), UNIT),
    "int8 -1..1": (Grid("int8", 1 / 127.5, -1), CENTERED),
    "int8 -1..1, 1/128": (Grid("int8", 1 / 128, 0), CENTERED),
    "int8 calibrated": (Grid("int8", 1.94 / 255, 3), CENTERED),
    "int8 ImageNet": (Grid("int8", 4.758 / 255, -14), IMAGENET),
}
COUNT = 100


def float_variants():
    for name, normalization in FLOATS.items():
        model = brightness(normalization)
        for said in ("edgecv", "TFLite", "flag", "nothing"):
            yield pytest.param(model, normalization, said, id=f"float {name}, {said} says it")
    inside = brightness(UNIT, with_operators=True)
    yield pytest.param(inside, BYTES, "nothing", id="float, its operators say it")


def integer_variants():
    for name, (grid, normalization) in GRIDS.items():
        model = brightness(normalization, grid)
        for said in ("nothing", "TFLite", "no change"):
            yield pytest.param(model, normalization, said, id=f"{name}, {said}")


def written(model, normalization, said, path):
    """The model as a file that says its scale in one of the ways, or not at all."""
    path.write_bytes(flatbuffer.serialized(model))
    mean, std = normalization
    if said == "edgecv":
        metadata.attach(path, metadata.Metadata(BRIGHTNESS, normalization=normalization))
    elif said == "TFLite":
        declared(TFLiteModel(path, ""), mean, std, path)
    elif said == "no change":  # as real files of bytes declare it, on a grid of [-1, 1], too
        declared(TFLiteModel(path, ""), [0.0], [1.0], path)
    return path


def answers(path, normalization=None):
    """The class of each scene, as `edgecv evaluate` asks for it."""
    images, labels = scenes(COUNT)
    said = contract.read(path, contract.Asked(normalization, BRIGHTNESS))
    views = [fit_view(image, said.image) for image in images]
    said = scale_test.decide_scale(said, path, views, labels.tolist())
    scores = host_scorer(TFLiteModel(path, "model", said.image.normalization))
    return scores(np.stack(views)).argmax(1), labels


@pytest.fixture(scope="module")
def expected(tmp_path_factory):
    path = tmp_path_factory.mktemp("contract") / "plain.tflite"
    found, labels = answers(written(brightness(CENTERED), CENTERED, "edgecv", path))
    assert 0.8 < (found == labels).mean() < 1, "the scenes must be neither easy nor hopeless"
    return found


@pytest.mark.parametrize(("model", "normalization", "said"), [*float_variants()])
def test_a_float_model_answers_alike_however_its_input_is_scaled(
    model, normalization, said, expected, tmp_path
):
    path = written(model, normalization, said, tmp_path / "model.tflite")
    found, _ = answers(path, normalization if said == "flag" else None)
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize(("model", "normalization", "said"), [*integer_variants()])
def test_an_integer_input_takes_what_its_grid_says(model, normalization, said, expected, tmp_path):
    path = written(model, normalization, said, tmp_path / "model.tflite")
    found, _ = answers(path)
    assert (found == expected).mean() >= (0.98 if "calibrated" in str(path) else 0.99)


def test_bytes_go_in_as_they_are_where_the_grid_holds_them():
    images = np.arange(256, dtype=np.uint8).repeat(3).reshape(1, 16, 16, 3)
    for name, (grid, _) in GRIDS.items():
        found = pixels.encode(images, grid, pixels.usual_normalization(grid))
        if "calibrated" not in name and "ImageNet" not in name:
            shift = 128 if grid.dtype == "int8" else 0
            np.testing.assert_array_equal(found.astype(int) + shift, images, err_msg=name)


@pytest.mark.parametrize("normalization", FLOATS.values(), ids=FLOATS)
def test_a_scale_that_nobody_says_is_told_from_labels(normalization, tmp_path):
    path = written(brightness(normalization), normalization, "nothing", tmp_path / "m.tflite")
    images, labels = scenes(COUNT)
    said = contract.read(path)
    assert said.image.origin == contract.ASSUMED
    views = [fit_view(image, said.image) for image in images]
    found = scale_test.decide_scale(said, path, views, labels.tolist()).image
    assert (found.normalization, found.origin) == (normalization, contract.TESTED)
    few = scale_test.decide_scale(said, path, views[:4], labels[:4].tolist()).image
    assert few.origin == contract.ASSUMED
    (warning,) = few.warnings("m.tflite")
    assert "assumed to go in as [-1, 1]" in warning


def test_flags_go_before_what_the_file_says(tmp_path):
    path = written(brightness(UNIT), UNIT, "edgecv", tmp_path / "m.tflite")
    asked = contract.Asked(BYTES, ("x", "y", "z"))
    said = contract.read(path, asked)
    assert (said.image.normalization, said.image.origin) == (BYTES, contract.FLAG)
    assert (said.output.labels, said.output.origin) == (("x", "y", "z"), contract.FLAG)


def test_a_scale_outside_the_grid_is_a_warning(tmp_path):
    grid, normalization = GRIDS["uint8 0..1"]
    path = written(brightness(normalization, grid), normalization, "nothing", tmp_path / "m.tflite")
    (warning,) = contract.read(path, contract.Asked(CENTERED)).image.warnings("m.tflite")
    assert "outside what the input can hold, 0 to 1" in warning
    assert contract.read(path).image.warnings("m.tflite") == []


# -- labels -----------------------------------------------------------------------------------


@pytest.fixture
def plain(tmp_path):
    return written(brightness(), CENTERED, "nothing", tmp_path / "model.tflite")


def zipped(path, **files):
    with zipfile.ZipFile(path, "a") as archive:
        for name, text in files.items():
            archive.writestr(name.replace("_txt", ".txt"), text)


def test_labels_are_looked_for_in_the_file_and_beside_it(plain):
    assert contract.read(plain).output.labels == ()
    plain.with_name("labels.txt").write_text("a\nb\nc\n")
    assert contract.read(plain).output.labels == ("a", "b", "c")
    zipped(plain, LICENSE_txt="one\ntwo", names_txt="d\ne\nf\n")
    output = contract.read(plain).output
    assert (output.labels, output.origin) == (("d", "e", "f"), "archive in the file")


def test_the_file_that_tflite_metadata_name_goes_before_others(plain):
    declared(TFLiteModel(plain, ""), [0.0], [1.0], plain, labels_file="classes.txt", stats=True)
    zipped(plain, labels_txt="a\nb\nc\n", classes_txt="d\ne\nf\n")
    said = contract.read(plain)
    assert said.output.labels == ("d", "e", "f")
    assert (said.image.normalization, said.image.origin) == (BYTES, contract.TFLITE)


def test_more_or_fewer_labels_than_scores_are_named(plain):
    zipped(plain, labels_txt="a\nb\n")
    with pytest.raises(DataError, match="gives 3 scores, but there are 2 labels"):
        contract.read(plain).output.check_labels("model.tflite")


# -- scores -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("ends", "kind", "classes"),
    [
        ("softmax", "softmax", 3),
        ("sigmoid", "sigmoid", 2),
        ("logits", "values", 3),
        ("embedding", "values", 3),
    ],
)
def test_scores_are_what_the_last_operator_makes(ends, kind, classes, tmp_path):
    path = written(brightness(ends=ends), CENTERED, "nothing", tmp_path / "m.tflite")
    output = contract.read(path).output
    assert (output.kind, output.classes) == (kind, classes)
    if ends == "logits":
        labeled = contract.read(path, contract.Asked(None, BRIGHTNESS)).output
        assert labeled.kind == "logits"


def test_a_single_probability_speaks_of_two_classes(tmp_path):
    path = written(brightness(ends="sigmoid"), CENTERED, "edgecv", tmp_path / "m.tflite")
    images, labels = scenes(30)
    said = contract.read(path)
    views = np.stack([fit_view(image, said.image) for image in images])[labels != 1]
    scores = host_scorer(TFLiteModel(path, "model"))(views)
    assert scores.shape == (20, 2)
    np.testing.assert_allclose(scores.sum(1), 1, rtol=1e-6)
    assert (scores.argmax(1) == labels[labels != 1] // 2).all()


# -- what is refused --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("shape", "said"),
    [
        ((3, 12, 16), "channels come last in TFLite"),
        ((12, 16, 4), "one RGB or gray image"),
    ],
)
def test_what_is_no_image_is_named_with_its_shape(shape, said, tmp_path):
    path = tmp_path / "m.tflite"
    path.write_bytes(flatbuffer.serialized(foreign_models.brightness(BYTES, shape=shape)))
    with pytest.raises(UnsupportedModelError, match=said):
        contract.read(path)


@pytest.mark.parametrize(("mean", "std"), [([0.0, 1.0], [1.0]), ([0.0], [0.0]), ([np.nan], [1.0])])
def test_damaged_tflite_metadata_are_one_line_with_the_file(mean, std, plain):
    declared(TFLiteModel(plain, ""), mean, std, plain)
    with pytest.raises(UnsupportedModelError, match=r"model.tflite: damaged TFLite metadata"):
        contract.read(plain)


def test_numbers_for_each_channel_are_taken(plain):
    declared(TFLiteModel(plain, ""), IMAGENET.mean, IMAGENET.std, plain)
    found = contract.read(plain).image.normalization
    np.testing.assert_allclose(found, Normalization(*IMAGENET), rtol=1e-6)


def test_a_grid_that_holds_no_usual_scale_takes_bytes_and_says_so(tmp_path):
    grid = Grid("uint8", 0.001, 7)
    path = written(brightness(CENTERED, grid), CENTERED, "nothing", tmp_path / "m.tflite")
    images, labels = scenes(COUNT)
    said = contract.read(path)
    views = [fit_view(image, said.image) for image in images]
    found = scale_test.decide_scale(said, path, views, labels.tolist()).image
    assert found.origin == contract.ASSUMED
    np.testing.assert_array_equal(found.encode(views[0]), views[0])
    assert "assumed to go in as they are" in found.warnings("m.tflite")[0]


def test_labels_beyond_the_scores_test_no_scale(tmp_path):
    path = written(brightness(BYTES), BYTES, "nothing", tmp_path / "m.tflite")
    images, labels = scenes(COUNT)
    said = contract.read(path)
    views = [fit_view(image, said.image) for image in images]
    found = scale_test.decide_scale(said, path, views, (labels + 5).tolist()).image
    assert found.normalization == BYTES


def test_flags_that_a_grid_cannot_hold_are_refused(tmp_path):
    grid, normalization = GRIDS["uint8 -1..1, 128"]
    path = written(brightness(normalization, grid), normalization, "nothing", tmp_path / "m.tflite")
    with pytest.raises(RecipeError, match=r"--mean, --std: put 99% of all pixel values outside"):
        contract.read(path, contract.Asked(BYTES)).image.check_flags()
