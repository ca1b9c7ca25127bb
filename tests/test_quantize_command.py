"""`edgecv quantize`: any float .tflite and a folder of images; refusals are one line."""

import json

import cv2
import numpy as np
import pytest
import tensorflow as tf
import tf_keras
from click.testing import CliRunner
from tf_keras import layers

from edgecv.artifacts import TFLiteModel
from edgecv.cli import main
from edgecv.convert.keras import convert
from edgecv.quantize.calibrate import calibrate
from edgecv.quantize.int8 import quantize
from edgecv.tflite import runtime
from tests import tiny_models


def run(*arguments):
    return CliRunner().invoke(main, ["quantize", *map(str, arguments)])


@pytest.fixture(scope="module")
def tiny():
    return tiny_models.tiny()


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """Sixty images that the model was not trained on, at twice its size."""
    folder = tmp_path_factory.mktemp("photos")
    for index, sample in enumerate(tiny_models.Signs(seed=5).calibration(64, 60)):
        cv2.imwrite(str(folder / f"{index}.png"), sample.image[..., ::-1])
    return folder


@pytest.fixture(scope="module")
def int8(tiny, photos, tmp_path_factory):
    out = tmp_path_factory.mktemp("out") / "int8.tflite"
    shown = run(tiny.float32.path, "--calibration", photos, "-o", out, "--json")
    assert shown.exit_code == 0, shown.stderr
    return out, json.loads(shown.stdout)


def scores(path, tiny, name="litert"):
    images = np.stack([each.image for each in tiny.samples])
    return runtime.run(runtime.load(path, runtime=name), images)


def test_the_file_is_all_int8_and_says_where_its_ranges_came_from(int8, tiny):
    out, result = int8
    assert result["full_int8"] is True
    assert result["bytes"] == out.stat().st_size < tiny.float32.path.stat().st_size / 2
    manifest = json.loads((out.parent / "int8.calibration.json").read_text())
    assert len(manifest["files"]) == 60
    assert runtime.load(out).get_input_details()[0]["dtype"] == np.uint8


def test_answers_are_the_float_models_and_nearer_than_min_max_gets(int8, tiny, photos, tmp_path):
    wanted = scores(tiny.float32.path, tiny)
    ours = scores(int8[0], tiny)
    images = [cv2.imread(str(each))[::2, ::2, ::-1] for each in sorted(photos.glob("*.png"))]
    plain = quantize(tiny.float32, calibrate(tiny.float32, images), tmp_path / "plain.tflite")
    assert (ours.argmax(1) == wanted.argmax(1)).mean() >= 0.95
    assert np.abs(ours - wanted).mean() < np.abs(scores(plain.path, tiny) - wanted).mean()


@pytest.mark.parametrize(
    ("make", "said"),
    [
        pytest.param(
            lambda tiny: tiny.int8.path.read_bytes(),
            "already; give the float model",
            id="already int8",
        ),
        pytest.param(
            lambda tiny: tiny.float32.path.read_bytes()[:900], "bad.tflite", id="truncated"
        ),
        pytest.param(lambda _: bytes(range(256)) * 9, "not a TFLite file", id="random"),
    ],
)
def test_a_model_that_cannot_be_quantized_is_one_line(make, said, tiny, photos, tmp_path):
    (tmp_path / "bad.tflite").write_bytes(make(tiny))
    shown = run(tmp_path / "bad.tflite", "--calibration", photos, "-o", tmp_path / "out.tflite")
    assert shown.exit_code == 1
    assert said in shown.stderr.splitlines()[-1]
    assert not list(tmp_path.glob("*out*"))


def test_an_empty_calibration_folder_is_refused(tiny, tmp_path):
    (tmp_path / "none").mkdir()
    out = tmp_path / "out.tflite"
    shown = run(tiny.float32.path, "--calibration", tmp_path / "none", "-o", out)
    assert shown.exit_code == 1
    assert "no images" in shown.stderr.splitlines()[-1]
    assert not out.exists()


def test_one_image_is_enough_to_go_on_with_a_warning(tiny, photos, tmp_path):
    (tmp_path / "one").mkdir()
    (tmp_path / "one" / "0.png").write_bytes((photos / "0.png").read_bytes())
    out = tmp_path / "out.tflite"
    shown = run(tiny.float32.path, "--calibration", tmp_path / "one", "-o", out)
    assert shown.exit_code == 0, shown.stderr
    assert "1 image to calibrate with, 100 were asked for" in shown.stderr
    assert np.isfinite(scores(out, tiny)).all()


def test_the_old_runtime_runs_it(int8, tiny, tmp_path):
    from edgecv.profile import profile
    from edgecv.recipe import ProfileOptions

    options = ProfileOptions(runs=2, warmup_runs=0, runtime="tflite")
    assert profile(TFLiteModel(int8[0], "int8"), options)["runs"] == 2


@pytest.fixture(scope="module")
def floored(tmp_path_factory):
    """A model with an operator that has no int8 kernel."""
    image = layers.Input((tiny_models.RESOLUTION, tiny_models.RESOLUTION, 3), name="image")
    x = layers.Lambda(tf.floor)(layers.Conv2D(4, 3, 2, activation="relu")(image))
    scores = layers.Dense(3)(layers.GlobalAveragePooling2D()(x))
    return convert(tf_keras.Model(image, scores), tmp_path_factory.mktemp("f") / "floored.tflite")


def test_an_operator_that_stays_float_is_named_and_exits_3_where_none_may(
    floored, photos, tmp_path
):
    out = tmp_path / "int8.tflite"
    given = (floored.path, "--calibration", photos, "-o", out)
    allowed = run(*given, "--json")
    assert allowed.exit_code == 0, allowed.stderr
    found = json.loads(allowed.stdout)
    assert found["full_int8"] is False
    assert [each.split(" ")[0] for each in found["float_operators"]] == ["FLOOR"]
    refused = run(*given, "--require-full-int8")
    assert refused.exit_code == 3
    assert "operators stay float: FLOOR" in refused.stderr.splitlines()[-1]
    assert out.exists()


def test_a_model_that_is_all_int8_passes_where_nothing_may_stay_float(tiny, photos, tmp_path):
    out = tmp_path / "int8.tflite"
    given = (tiny.float32.path, "--calibration", photos, "-o", out, "--method", "minmax")
    assert run(*given, "--require-full-int8").exit_code == 0
