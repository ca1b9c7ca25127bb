"""`edgecv build`, from the command line to the files: what a run folder holds, and what it says."""

import json

import numpy as np
import pytest

from edgecv.tflite import runtime
from tests.builds import FILES, SHORT, built_mobilenet, edgecv, invoke, photographs, quick, report


@pytest.fixture(scope="module")
def out():
    """A finished run of the smallest MobileNet, with all defaults."""
    return built_mobilenet()


@pytest.fixture(scope="module")
def said(out):
    """What the command printed beside its result."""
    return (out.parent / "stderr").read_text()


def test_a_run_folder_holds_exactly_what_the_contract_says(out):
    assert {path.name for path in out.iterdir()} == FILES


def test_the_report_says_what_the_files_are(out):
    table = report(out)
    assert table == json.loads((out.parent / "stdout").read_text())
    assert table["arch"] == "mobilenet_v1"
    assert (table["width"], table["resolution"], table["classes"]) == (0.25, 48, 10)
    assert table["weights"] == "trained"
    assert table["files"]["int8"]["bytes"] == (out / "model_int8.tflite").stat().st_size
    assert table["files"]["int8"]["bytes"] < table["files"]["float32"]["bytes"] / 2
    assert table["accuracy"]["data"] == "signs"
    assert table["accuracy"]["images"] == 500
    assert table["quantization"]["full_int8"] is True
    measured = {entry["model"]: entry for entry in table["latency"]}
    assert measured.keys() == {"float32", "int8"}
    assert [entry["runs"] for entry in table["latency"]] == [50, 50]
    assert measured["int8"]["min_ms"] <= measured["int8"]["p50_ms"] <= measured["int8"]["p99_ms"]
    assert set(table["seconds"]) == {"train", "convert", "quantize", "evaluate"}


def test_the_first_line_says_what_is_built_from_what(said):
    first = said.splitlines()[0]
    assert "mobilenet_v1 0.25/48" in first
    assert "--data DIR" in first


def test_what_the_quantizer_did_is_shown_and_stands_in_the_report(out, said):
    quantization = report(out)["quantization"]
    assert "ranges by auto" in quantization["method"]
    assert any("weights and biases" in note for note in quantization["notes"])
    for note in quantization["notes"]:
        assert note in said
        assert note in (out / "report.md").read_text()


def test_the_int8_model_takes_camera_bytes(out):
    interpreter = runtime.load(out / "model_int8.tflite")
    details = interpreter.get_input_details()[0]
    assert details["dtype"] == np.uint8
    assert details["quantization"][0] == pytest.approx(1 / 127.5, rel=1e-2)


def test_calibration_images_are_recorded_and_none_is_evaluated_on(out):
    manifest = json.loads((out / "calibration.json").read_text())
    assert len(manifest["files"]) == 100
    assert len({row["sha256"] for row in manifest["files"]}) == 100
    assert not any("validation" in row["file"] for row in manifest["files"])
    assert manifest["ranges"]["image"] == [-1, 127 / 128]


def test_the_same_command_again_builds_nothing_and_another_is_refused(out):
    before = {path.name: path.stat().st_mtime_ns for path in out.iterdir()}
    again = invoke("build", "mobilenet", *SHORT, "-o", out)
    assert again.exit_code == 0
    assert "finished before" in again.stderr
    other = edgecv("build", "mobilenet_v2", *SHORT, "-o", out)
    assert other.returncode == 1
    assert "another recipe" in other.stderr.splitlines()[-1]
    assert before == {path.name: path.stat().st_mtime_ns for path in out.iterdir()}


def test_the_resolved_recipe_builds_the_same_model_again(out, tmp_path):
    again = invoke("build", "--recipe", out / "recipe.toml", "-o", tmp_path / "again")
    assert again.exit_code == 0, again.stderr
    tables = [report(out), report(tmp_path / "again")]
    first, second = (table["accuracy"]["float32"]["top1"] for table in tables)
    assert abs(first - second) <= 0.02
    assert tables[0]["files"]["int8"]["bytes"] == tables[1]["files"]["int8"]["bytes"]


def test_the_method_of_the_ranges_can_be_chosen(out, tmp_path):
    images = photographs(tmp_path / "photos", 8)
    flags = ("--weights", out / "model.keras", "--calibration", images, "--method", "mse")
    shown = invoke(*quick(tmp_path, "mobilenet", *flags, "-o", tmp_path / "run", "--json"))
    assert shown.exit_code == 0, shown.stderr
    quantization = json.loads(shown.stdout)["quantization"]
    assert "ranges by mse" in quantization["method"]
    assert "corrected" in " ".join(quantization["notes"])


@pytest.mark.parametrize("scheme", ["float16", "dynamic", "none"])
def test_other_schemes(scheme, tmp_path):
    flags = ("--weights", "random", "--quantize", scheme, "-o", tmp_path / "run", "--json")
    shown = invoke(*quick(tmp_path, "mobilenet", *flags))
    assert shown.exit_code == 0, shown.stderr
    table = json.loads(shown.stdout)
    assert list(table["files"]) == ["float32"] + [scheme] * (scheme != "none")
    assert table["quantization"]["full_int8"] is False


def test_random_weights_have_sizes_and_latency_but_no_accuracy(tmp_path):
    flags = ("--weights", "random", "-o", tmp_path / "run", "--json")
    shown = invoke(*quick(tmp_path, "squeezenet", *flags))
    assert shown.exit_code == 0, shown.stderr
    table = json.loads(shown.stdout)
    assert "accuracy" not in table
    assert table["weights"] == "random"
    assert table["files"]["int8"]["bytes"] > 0
    assert table["latency"]


def test_weights_of_our_own_load_without_training(out, tmp_path):
    flags = ("--weights", out / "model.keras", "--quantize", "none", "-o", tmp_path / "run")
    shown = invoke(*quick(tmp_path, "mobilenet", *flags, "--json"))
    assert shown.exit_code == 0, shown.stderr
    assert json.loads(shown.stdout)["weights"] == "file"
    mine, theirs = (runtime.load(run / "model_float32.tflite") for run in (out, tmp_path / "run"))
    image = np.random.default_rng(0).integers(0, 256, (1, 48, 48, 3)).astype(np.uint8)
    np.testing.assert_allclose(runtime.run(mine, image), runtime.run(theirs, image), atol=1e-5)


def test_transfer_from_our_own_weights_to_a_folder_of_images(out, tmp_path):
    photographs(tmp_path / "photos", 12, labels=(0, 3, 7))
    flags = ("--epochs", "3", "--data", tmp_path / "photos", "--weights", out / "model.keras")
    command = quick(tmp_path, "mobilenet", *flags, "-o", tmp_path / "run", "--json")
    shown = invoke(*command)
    assert shown.exit_code == 0, shown.stderr
    assert json.loads(shown.stdout)["classes"] == 3
    assert (tmp_path / "run" / "labels.txt").read_text().split("\n")[0] == "0"
    (tmp_path / "photos" / "0" / "0.png").unlink()
    again = invoke(*command)
    assert again.exit_code == 1
    assert "other images" in again.stderr


def test_images_that_are_evaluated_on_are_never_calibrated_with(tmp_path):
    photos, out = photographs(tmp_path / "photos", 10), tmp_path / "run"
    flags = ("--data", photos, "--calibration", photos, "--calibration-images", "100")
    shown = invoke(*quick(tmp_path, "mobilenet", *flags, "-o", out, "--json"))
    assert shown.exit_code == 0, shown.stderr
    table = json.loads(shown.stdout)
    manifest = json.loads((out / "calibration.json").read_text())
    assert table["accuracy"]["images"] == 4
    assert len(manifest["files"]) == 16
    assert any("4 images are evaluated on" in warning for warning in table["warnings"])
