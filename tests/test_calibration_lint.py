"""Each finding about a calibration set: a set that makes it, and a clean one that makes none."""

import json
import shutil

import cv2
import numpy as np
import pytest
from click.testing import CliRunner

from edgecv.artifacts import Normalization, Range
from edgecv.cli import main
from edgecv.data.calibration_lint import calibration_warnings, overlap_warnings
from edgecv.quantize.lint import distance, model_warnings
from edgecv.quantize.pixels import saying
from edgecv.quantize.ranges import image_range
from edgecv.tflite import contract, flatbuffer, metadata, runtime
from edgecv.tflite.graph import Graph
from edgecv.tflite.pixels import BYTES, UNIT
from tests import tiny_models
from tests.foreign_models import declared, expecting

COLORS = Normalization((123.675, 116.28, 103.53), (58.395, 57.12, 57.375))


def run(*arguments):
    return CliRunner().invoke(main, list(map(str, arguments)))


@pytest.fixture(scope="module")
def tiny():
    return tiny_models.tiny()


@pytest.fixture(scope="module")
def samples():
    made = tiny_models.Signs(seed=5).calibration(tiny_models.RESOLUTION, 40)
    return [each._replace(name=f"{index}.png") for index, each in enumerate(made)]


@pytest.fixture
def images(samples):
    return [each.image for each in samples]


def photos(folder, samples, names=None):
    """The samples as files."""
    for index, sample in enumerate(samples):
        path = folder / (names[index] if names else f"{index}.png")
        path.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(path), sample.image[..., ::-1])
    return folder


def rows(samples):
    return [{"file": each.name, "sha256": each.name} for each in samples]


# -- the files --------------------------------------------------------------------------------


def test_a_clean_set_of_files_gives_no_warning(tmp_path, samples):
    named = [each._replace(name=f"{i % 3}/{i}") for i, each in enumerate(samples)]
    assert calibration_warnings(tmp_path, named, rows(named)) == []
    assert calibration_warnings(tmp_path, samples, rows(samples)) == []


def test_few_images_are_named(tmp_path, samples):
    (found,) = calibration_warnings(tmp_path, samples[:19], rows(samples[:19]))
    assert "19 calibration images are few" in found


def test_copies_are_counted_by_file_and_by_pixels(tmp_path, samples):
    same_file = rows(samples)
    same_file[1] = same_file[2] = same_file[0]
    (found,) = calibration_warnings(tmp_path, samples, same_file)
    assert "2 of 40 calibration images are copies" in found
    again = [*samples[:-1], samples[0]._replace(name="other encoding")]
    (found,) = calibration_warnings(tmp_path, again, rows(again))
    assert "1 of 40 calibration images are copies" in found


def test_one_class_folder_is_named(tmp_path, samples):
    named = [each._replace(name=f"train/stop/{i}") for i, each in enumerate(samples)]
    (found,) = calibration_warnings(tmp_path, named, rows(named))
    assert "one class folder 'stop'" in found


def test_images_of_both_sets_are_counted():
    (found,) = overlap_warnings(["a", "b", "c"], ["b", "c", "d"], "photos")
    assert "photos: 2 of its 3 images were calibrated with" in found
    assert overlap_warnings(["a"], ["b"], "photos") == []


# -- the model --------------------------------------------------------------------------------


def test_a_clean_set_gives_the_model_nothing_to_say(tiny, images):
    assert model_warnings(tiny.float32, images) == []


def test_one_answer_to_all_images_is_named(tiny, images):
    scores = runtime.run(runtime.load(tiny.float32.path), np.stack(images)).argmax(1)
    most = np.bincount(scores).argmax()
    alike = [each for each, answer in zip(images, scores, strict=True) if answer == most] * 4
    assert any(f"same answer, class {most}" in each for each in model_warnings(tiny.float32, alike))


def test_halves_that_disagree_are_named_with_the_worst_tensor(tiny, images):
    dim = [each if i % 2 else (each // 16 + 120).astype(np.uint8) for i, each in enumerate(images)]
    (found,) = [each for each in model_warnings(tiny.float32, dim) if "disagree" in each]
    graph = Graph(flatbuffer.read(tiny.float32.path))
    assert any(f"on {graph.name(tensor)};" in found for tensor in graph.activations())


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        (Range(0.0, 4.0), Range(0.0, 1.0), 0.75),
        (Range(-1.0, 1.0), Range(-1.0, 1.0), 0.0),
        (Range(2.0, 4.0), Range(3.0, 4.0), 0.0),  # both start at zero, which is in every range
        (Range(0.0, 1e-4), Range(0.0, 0.0), 0.0),  # dead
    ],
)
def test_distance_of_ranges(one, other, expected):
    assert distance(one, other) == pytest.approx(expected)


# -- the commands -----------------------------------------------------------------------------


def test_quantize_warns_at_once_and_again_in_the_summary(tiny, samples, tmp_path):
    folder = photos(tmp_path / "photos", samples[:12], [f"stop/{i}.png" for i in range(12)])
    (folder / "stop" / "copy.png").write_bytes((folder / "stop" / "0.png").read_bytes())
    options = ["--calibration", folder, "--calibration-images", 13, "--method", "minmax"]
    out = tmp_path / "int8.tflite"
    shown = run("quantize", tiny.float32.path, *options, "-o", out)
    assert shown.exit_code == 0, shown.stderr
    for part in ("13 calibration images are few", "1 of 13", "one class folder 'stop'"):
        assert part in shown.stderr
        assert part in shown.stdout
    found = json.loads(run("quantize", tiny.float32.path, *options, "-o", out, "--json").stdout)
    assert len(found["warnings"]) >= 3


def test_a_clean_folder_gives_no_warning(tiny, samples, tmp_path):
    folder = photos(tmp_path / "photos", samples)
    options = ["--calibration", folder, "--calibration-images", 40, "--method", "minmax", "--json"]
    options += ["--mean", "127.5", "--std", "127.5"]
    shown = run("quantize", tiny.float32.path, *options, "-o", tmp_path / "int8.tflite")
    assert json.loads(shown.stdout)["warnings"] == []
    assert "warning" not in shown.stderr


def test_evaluating_on_what_was_calibrated_with_is_named(tiny, tmp_path):
    model = shutil.copy(tiny.float32.path, tmp_path / "float.tflite")
    metadata.attach(model, metadata.Metadata(tiny.labels))
    some = [each for each in tiny.samples if each.label in (1, 2)]
    names = [f"{tiny.labels[each.label]}/{i}.png" for i, each in enumerate(some)]
    folder = photos(tmp_path / "photos", some, names)
    options = ["--calibration-images", 5, "--method", "minmax"]
    out = tmp_path / "int8.tflite"
    run("quantize", model, "--calibration", folder / tiny.labels[1], *options, "-o", out)
    shown = run("evaluate", out, "--data", folder)
    assert f"5 of its {len(some)} images were calibrated with" in shown.stdout
    assert "were calibrated with" in shown.stderr
    clean = run("evaluate", model, "--data", folder, "--json")
    assert json.loads(clean.stdout)["warnings"] == []


# -- pixels of another scale ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("normalization", "flags"),
    [
        pytest.param(UNIT, ["--std", "255"], id="0..1"),
        pytest.param(BYTES, ["--mean", "0"], id="0..255"),
        pytest.param(
            COLORS, ["--mean", "123.675,116.28,103.53", "--std", "58.395,57.12,57.375"], id="torch"
        ),
    ],
)
def test_a_foreign_model_is_quantized_and_both_files_are_scored(
    normalization, flags, tiny, samples, tmp_path
):
    model = expecting(tiny.float32, normalization, tmp_path / "float.tflite")
    names = [f"{tiny.labels[each.label]}/{i}.png" for i, each in enumerate(tiny.samples)]
    folder = photos(tmp_path / "labeled", tiny.samples, names)
    (tmp_path / "labels.txt").write_text("\n".join(tiny.labels))
    calibration = photos(tmp_path / "photos", samples)
    out = tmp_path / "int8.tflite"
    shown = run("quantize", model.path, "--calibration", calibration, "-o", out, *flags, "--json")
    assert shown.exit_code == 0, shown.stderr
    entry = runtime.load(out).get_input_details()[0]
    pixels = np.stack([each.image for each in tiny.samples])
    taken = contract.read(out).image
    assert entry["dtype"] == np.uint8
    assert taken.encode(pixels) is pixels  # camera bytes, as they are
    if normalization != COLORS:
        mean, std = normalization.mean[0], normalization.std[0]
        assert entry["quantization"] == pytest.approx((1 / std, round(mean)))
    options = ["--data", folder, "--labels", tmp_path / "labels.txt", "--json"]
    scored = json.loads(run("evaluate", out, "--against", model.path, *options, *flags).stdout)
    plain = runtime.run(runtime.load(tiny.float32.path), pixels).argmax(1)
    right = (plain == [each.label for each in tiny.samples]).mean()
    assert scored["against"]["top1"] == pytest.approx(right, abs=0.03)
    assert scored["agreement"] >= 0.9


def test_what_is_said_of_pixels_is_in_the_model_that_is_quantized(tiny, tmp_path):
    model = expecting(tiny.float32, UNIT, tmp_path / "plain.tflite")
    path = declared(model, [0.0], [255.0], tmp_path / "declared.tflite")
    for asked, expected in ((None, UNIT), (BYTES, BYTES)):
        said = contract.read(path, contract.Asked(asked))
        with saying(path, said) as source:
            assert contract.read(source.path).image.normalization == expected
            assert metadata.read(source.path).normalization == expected


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--std", "0"], "--std: must be more than 0"),
        (["--mean", "a"], "--mean: must be one number or three"),
        (["--mean", "1,2"], "--mean: must be one number or three"),
    ],
)
def test_flags_for_pixels_are_checked(flags, said, tiny, tmp_path):
    out = tmp_path / "out.tflite"
    shown = run("quantize", tiny.float32.path, "--calibration", tmp_path, "-o", out, *flags)
    assert (shown.exit_code, said in shown.stderr) == (2, True)


def test_the_image_range_puts_bytes_on_themselves(tiny):
    flat = flatbuffer.read(tiny.float32.path)
    assert image_range(flat) == (-1, 127 / 128)
    for mean, std in ((0.0, 255.0), (0.0, 1.0), (128.0, 128.0), (127.0, 64.0)):
        metadata.write_model(
            flat, metadata.Metadata(normalization=Normalization((mean,) * 3, (std,) * 3))
        )
        assert image_range(flat) == pytest.approx((-mean / std, (255 - mean) / std))
