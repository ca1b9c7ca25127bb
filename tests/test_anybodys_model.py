"""The commands on models of all shapes: two sizes, not square, gray, one sigmoid, embeddings."""

import json

import cv2
import numpy as np
import pytest
from click.testing import CliRunner

from edgecv.cli import main
from edgecv.data import imagenet
from edgecv.data.labeled import open_labeled
from edgecv.progress import Progress
from edgecv.tflite import contract, flatbuffer, metadata
from edgecv.tflite.pixels import BYTES, Grid
from tests.foreign_files import Network
from tests.foreign_models import BRIGHTNESS, brightness, scene_folder


def run(*arguments):
    return CliRunner().invoke(main, [*map(str, arguments)])


def found(*arguments):
    shown = run(*arguments, "--json")
    assert shown.exit_code == 0, shown.output
    return json.loads(shown.stdout)


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    return scene_folder(tmp_path_factory.mktemp("photos"))


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    return scene_folder(tmp_path_factory.mktemp("pair"), classes=("bright", "dark"))


def file(path, *arguments, labels=(), **options):
    """A model of brightness as a file."""
    path.write_bytes(flatbuffer.serialized(brightness(*arguments, **options)))
    if labels:
        path.with_name("labels.txt").write_text("\n".join(labels))
    return path


# -- evaluate ---------------------------------------------------------------------------------


def test_two_models_are_shown_images_of_their_own_size_and_scale(photos, tmp_path):
    small = file(tmp_path / "small.tflite", shape=(8, 8, 3), labels=BRIGHTNESS)
    large = file(tmp_path / "large.tflite", BYTES, Grid("uint8", 1.0, 0), shape=(20, 20, 3))
    both = found("evaluate", small, "--against", large, "--data", photos)
    for name, path in (("model", small), ("against", large)):
        alone = found("evaluate", path, "--data", photos)
        assert both[name]["top1"] == alone["model"]["top1"] > 0.8
    assert both["contract"]["against"]["input"]["height"] == 20
    assert both["contract"]["model"]["input"]["pixels"]["origin"] == "tested on images"


@pytest.mark.parametrize("shape", [(12, 16, 3), (16, 12, 1), (12, 12, 1)], ids=str)
def test_images_that_are_not_square_or_gray_are_scored(shape, photos, tmp_path):
    path = file(tmp_path / "m.tflite", shape=shape, labels=BRIGHTNESS)
    assert found("evaluate", path, "--data", photos)["model"]["top1"] > 0.8


def test_one_sigmoid_is_scored_against_a_half(pair, tmp_path):
    path = file(tmp_path / "m.tflite", ends="sigmoid", labels=("dark", "bright"))
    result = found("evaluate", path, "--data", pair, "--mean", "127.5", "--std", "127.5")
    assert result["model"]["top1"] == 1
    assert result["contract"]["model"]["output"]["scores"] == "sigmoid"


def test_the_order_of_labels_is_the_files_else_it_is_said(photos, tmp_path):
    path = file(tmp_path / "m.tflite")
    assumed = found("evaluate", path, "--data", photos)
    assert any("sorted folder names (bright, dark, medium)" in each for each in assumed["warnings"])
    assert assumed["model"]["top1"] < 0.5
    metadata.attach(path, metadata.Metadata(BRIGHTNESS))
    named = found("evaluate", path, "--data", photos)
    assert named["model"]["top1"] > 0.8
    assert not any("assumed" in each for each in named["warnings"])


def test_labels_in_another_order_are_not_compared(photos, tmp_path):
    one, other = file(tmp_path / "one.tflite"), file(tmp_path / "other.tflite")
    metadata.attach(one, metadata.Metadata(BRIGHTNESS))
    metadata.attach(other, metadata.Metadata(BRIGHTNESS[::-1]))
    shown = run("evaluate", one, "--against", other, "--data", photos)
    assert shown.exit_code == 1
    assert "another order of them" in shown.stderr


def test_embeddings_are_compared_by_their_angle(pair, tmp_path):
    exact = file(tmp_path / "float.tflite", ends="embedding")
    twin = file(tmp_path / "int8.tflite", BYTES, Grid("uint8", 1.0, 0), ends="embedding")
    scale = ("--mean", "127.5", "--std", "127.5")
    result = found("evaluate", twin, "--against", exact, "--data", pair, *scale)
    assert result["cosine"] == pytest.approx(1, abs=1e-4)
    assert result["relative_error"] < 1e-3
    assert "model" not in result
    shown = run("evaluate", twin, "--data", pair)
    assert shown.exit_code == 1
    assert "gives 3 numbers" in shown.stderr
    assert "--against" in shown.stderr


# -- quantize ---------------------------------------------------------------------------------


def convolutions(shape, ends, path):
    """A network with something to quantize; its output is of two classes, or four numbers."""
    network = Network((1, *shape)).conv(8).mean()
    if ends == "sigmoid":
        network.dense(1).then("LOGISTIC", (1, 1))
    else:
        network.dense(4)
    path.write_bytes(flatbuffer.serialized(network.done()))
    return path


QUICK = ("--method", "minmax", "--calibration-images", "20", "--mean", "127.5", "--std", "127.5")


@pytest.mark.parametrize("shape", [(12, 16, 3), (16, 16, 1)], ids=str)
def test_inputs_that_are_not_square_or_gray_are_quantized(shape, photos, tmp_path):
    path, out = convolutions(shape, "embedding", tmp_path / "m.tflite"), tmp_path / "int8.tflite"
    result = found("quantize", path, "--calibration", photos, "-o", out, *QUICK)
    assert result["full_int8"]
    said = contract.read(out).image
    assert (*said.size, said.channels) == shape
    assert result["fidelity"]["cosine"] > 0.99  # of four numbers that are no classes
    alike = found("evaluate", out, "--against", path, "--data", photos, *QUICK[4:])
    assert alike["cosine"] > 0.99


def test_a_budget_of_accuracy_holds_for_one_sigmoid(pair, tmp_path):
    path, out = convolutions((16, 16, 3), "sigmoid", tmp_path / "m.tflite"), tmp_path / "i.tflite"
    budget = ("--max-drop", "50", "--validation", pair)
    result = found("quantize", path, "--calibration", pair, "-o", out, *QUICK, *budget)
    assert result["ladder"]["met"]
    assert result["ladder"]["rungs"][0]["agreement"] > 0.8


def test_labels_of_the_archive_are_kept_in_int8(photos, tmp_path):
    path = convolutions((16, 16, 3), "embedding", tmp_path / "m.tflite")
    (tmp_path / "labels.txt").write_text("a\nb\nc\nd\n")
    out = tmp_path / "out" / "int8.tflite"
    found("quantize", path, "--calibration", photos, "-o", out, *QUICK)
    output = contract.read(out).output
    assert (output.labels, output.kind) == (("a", "b", "c", "d"), "logits")


# -- demo, profile, coral ---------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(12, 16, 3), (16, 12, 1)], ids=str)
def test_the_demo_sees_what_evaluate_sees(shape, photos, tmp_path):
    path = file(tmp_path / "m.tflite", BYTES, shape=shape, labels=BRIGHTNESS)
    flags = ("--mean", "0", "--std", "1")
    shown = run("demo", path, "--source", photos, "--once", "--json", *flags)
    assert shown.exit_code == 0, shown.output
    lines = [json.loads(line) for line in shown.stdout.splitlines() if line.startswith("{")]
    right = [line["top"][0][0] == line["name"].split("/")[0] for line in lines]
    scored = found("evaluate", path, "--data", photos, *flags)
    assert len(right) == scored["images"]
    assert np.mean(right) == pytest.approx(scored["model"]["top1"], abs=1e-6)


def test_the_demo_shows_two_classes_for_one_sigmoid(pair, tmp_path):
    path = file(tmp_path / "m.tflite", ends="sigmoid", labels=("dark", "bright"))
    shown = run("demo", path, "--source", pair, "--once", "--json")
    assert "are assumed to go in as [-1, 1]" in shown.stderr
    lines = [json.loads(line) for line in shown.stdout.splitlines() if line.startswith("{")]
    assert all(line["top"][0][0] == line["name"].split("/")[0] for line in lines)


@pytest.mark.parametrize("shape", [(12, 16, 3), (16, 12, 1)], ids=str)
def test_any_image_is_profiled_and_planned(shape, tmp_path):
    path = file(tmp_path / "m.tflite", BYTES, Grid("uint8", 1.0, 0), shape=shape)
    assert found("profile", path, "--inferences", "2", "--force")["p50_ms"] > 0
    assert run("coral", "plan", path).exit_code in (0, 3, 4)


# -- ImageNet by WordNet number ---------------------------------------------------------------


def test_folders_by_wordnet_number_are_imagenets_classes(tmp_path):
    names = ("n01443537", "tench_n01440764", "n07753592_banana")
    for name in names:
        (tmp_path / name).mkdir()
        cv2.imwrite(str(tmp_path / name / "a.png"), np.zeros((8, 8, 3), np.uint8))
    for scores, first in ((1000, 0), (1001, 1)):
        plain = open_labeled(tmp_path, (), Progress(), scores)
        human = ("background",) * first + ("tench, Tinca tinca", "goldfish") + ("x",) * 998
        for images in (plain, open_labeled(tmp_path, human, Progress(), scores)):
            assert len(images.labels) == scores
            assert [label - first for _, label in images.photos] == [1, 954, 0]
        assert "are taken for ImageNet's" in plain.assumption
    other = open_labeled(tmp_path, (), Progress(), 3)
    assert [label for _, label in other.photos] == [0, 1, 2]


def test_the_numbers_are_imagenets():
    numbers = imagenet.wnids()
    assert len(numbers) == 1000
    assert [*numbers] == sorted(numbers)
    places = [numbers.index(each) for each in ("n01440764", "n02123045", "n03141823", "n15075141")]
    assert places == [0, 281, 523, 999]  # tench, tabby, crutch, toilet tissue
