"""`edgecv build`, from the command line to the files: what it leaves, resumes and refuses."""

import json
import signal
import subprocess
import sys
import time

import cv2
import numpy as np
import pytest

from edgecv.data import signs
from edgecv.tflite import runtime

SHORT = ("--epochs", "1", "--images-per-epoch", "64", "--width", "0.25", "--res", "48")
FAMILIES = (
    "mobilenet",
    "mobilenet_v2",
    "mobilenet_v3_small",
    "mobilenet_v3_large",
    "squeezenet",
    "efficientnet",
    "efficientnet_lite0",
)
FILES = {
    "calibration.json",
    "labels.txt",
    "model.keras",
    "model_float32.batchnorm.json",
    "model_float32.tflite",
    "model_int8.tflite",
    "recipe.toml",
    "report.html",
    "report.json",
    "report.md",
}


def edgecv(*arguments, **options):
    command = [sys.executable, "-m", "edgecv", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, **options)


def start(*arguments):
    command = [sys.executable, "-m", "edgecv", *map(str, arguments)]
    return subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)


def wait_for(what, process, seconds=120):
    """Until `what()` is true; a process that ends before is the test's failure."""
    deadline = time.monotonic() + seconds
    while not what():
        assert process.poll() is None, process.stderr.read()
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """A finished run of the smallest MobileNet, and what the command printed."""
    out = tmp_path_factory.mktemp("runs") / "mobilenet"
    shown = edgecv("build", "mobilenet", *SHORT, "-o", out, "--json")
    assert shown.returncode == 0, shown.stderr
    return out, shown


def test_a_run_folder_holds_exactly_what_the_contract_says(built):
    out, _ = built
    assert {each.name for each in out.iterdir()} == FILES


def test_the_report_says_what_the_files_are(built):
    out, shown = built
    report = json.loads((out / "report.json").read_text())
    assert report == json.loads(shown.stdout)
    assert report["arch"] == "mobilenet_v1"
    assert (report["width"], report["resolution"], report["classes"]) == (0.25, 48, 10)
    assert report["weights"] == "trained"
    assert report["files"]["int8"]["bytes"] == (out / "model_int8.tflite").stat().st_size
    assert report["files"]["int8"]["bytes"] < report["files"]["float32"]["bytes"] / 2
    assert report["accuracy"]["data"] == "signs"
    assert report["accuracy"]["images"] == 500
    assert report["quantization"]["full_int8"] is True
    measured = {each["model"]: each for each in report["latency"]}
    assert measured.keys() == {"float32", "int8"}
    assert measured["int8"]["min_ms"] <= measured["int8"]["p50_ms"] <= measured["int8"]["p99_ms"]
    assert set(report["seconds"]) == {"train", "convert", "quantize", "evaluate"}


def test_the_first_line_says_what_is_built_from_what(built):
    first = built[1].stderr.splitlines()[0]
    assert "mobilenet_v1 0.25/48" in first
    assert "--data DIR" in first


def test_what_the_quantiser_did_is_shown_and_kept(built):
    out, shown = built
    quantization = json.loads((out / "report.json").read_text())["quantization"]
    assert "ranges by auto" in quantization["method"]
    assert any("corrected weights and biases" in note for note in quantization["notes"])
    for note in quantization["notes"]:
        assert note in shown.stderr
        assert note in (out / "report.md").read_text()


def test_the_method_of_the_ranges_can_be_chosen(built, tmp_path):
    out = tmp_path / "run"
    stored = (
        "--weights",
        built[0] / "model.keras",
        "--calibration",
        photographs(tmp_path / "p", 8),
    )
    shown = edgecv("build", "mobilenet", *SHORT, *stored, "--method", "minmax", "-o", out, "--json")
    assert shown.returncode == 0, shown.stderr
    report = json.loads(shown.stdout)
    assert "ranges by minmax" in report["quantization"]["method"]
    assert "corrected" in " ".join(report["quantization"]["notes"])


def test_the_int8_model_takes_camera_bytes(built):
    out, _ = built
    interpreter = runtime.load(out / "model_int8.tflite")
    entry = interpreter.get_input_details()[0]
    assert entry["dtype"] == np.uint8
    assert entry["quantization"][0] == pytest.approx(1 / 127.5, rel=1e-2)


def test_calibration_images_are_recorded_and_none_is_evaluated_on(built):
    manifest = json.loads((built[0] / "calibration.json").read_text())
    assert len(manifest["files"]) == 100
    assert len({row["sha256"] for row in manifest["files"]}) == 100
    assert not any("validation" in row["file"] for row in manifest["files"])
    assert manifest["ranges"]["image"] == [-1, 127 / 128]


def test_the_same_command_again_builds_nothing_and_another_is_refused(built):
    out, _ = built
    before = {path.name: path.stat().st_mtime_ns for path in out.iterdir()}
    again = edgecv("build", "mobilenet", *SHORT, "-o", out)
    assert again.returncode == 0
    assert "finished before" in again.stderr
    other = edgecv("build", "mobilenet_v2", *SHORT, "-o", out)
    assert other.returncode == 1
    assert "another recipe" in other.stderr.splitlines()[-1]
    assert before == {path.name: path.stat().st_mtime_ns for path in out.iterdir()}


def test_the_resolved_recipe_builds_the_same_model_again(built, tmp_path):
    out, _ = built
    again = edgecv("build", "--recipe", out / "recipe.toml", "-o", tmp_path / "again")
    assert again.returncode == 0, again.stderr
    reports = [json.loads((each / "report.json").read_text()) for each in (out, tmp_path / "again")]
    assert (
        abs(reports[0]["accuracy"]["float32"]["top1"] - reports[1]["accuracy"]["float32"]["top1"])
        <= 0.02
    )
    assert reports[0]["files"]["int8"]["bytes"] == reports[1]["files"]["int8"]["bytes"]


@pytest.mark.slow
@pytest.mark.parametrize("arch", FAMILIES)
def test_every_family_builds_at_half_width(arch, tmp_path):
    short = ("--epochs", "1", "--images-per-epoch", "640", "--width", "0.5", "--res", "96")
    shown = edgecv("build", arch, *short, "-o", tmp_path / "run", "--json")
    assert shown.returncode == 0, shown.stderr
    report = json.loads(shown.stdout)
    assert report["quantization"]["full_int8"] is True
    assert report["accuracy"]["agreement"] > 0.2
    image = np.random.default_rng(0).integers(0, 256, (1, 96, 96, 3)).astype(np.uint8)
    interpreter = runtime.load(tmp_path / "run" / "model_int8.tflite")
    assert runtime.run(interpreter, image).sum() == pytest.approx(1, abs=0.05)


@pytest.mark.parametrize("scheme", ["float16", "dynamic", "none"])
def test_other_schemes(scheme, tmp_path):
    shown = edgecv(
        "build", "mobilenet", *SHORT, "--weights", "random", "--quantize", scheme,
        "-o", tmp_path / "run", "--json",
    )  # fmt: skip
    assert shown.returncode == 0, shown.stderr
    report = json.loads(shown.stdout)
    assert list(report["files"]) == ["float32"] + [scheme] * (scheme != "none")
    assert report["quantization"]["full_int8"] is False


def test_random_weights_have_sizes_and_latency_but_no_accuracy(tmp_path):
    shown = edgecv(
        "build", "squeezenet", *SHORT, "--weights", "random", "-o", tmp_path / "run", "--json"
    )
    assert shown.returncode == 0, shown.stderr
    report = json.loads(shown.stdout)
    assert "accuracy" not in report
    assert report["weights"] == "random"
    assert report["files"]["int8"]["bytes"] > 0
    assert report["latency"]


def test_ctrl_c_stops_it_and_the_same_command_goes_on(tmp_path):
    out = tmp_path / "run"
    command = ("build", "mobilenet", *SHORT, "--epochs", "3", "-o", out)
    process = start(*command)
    wait_for((out / ".state" / "training.npz").exists, process)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=30)
    assert process.returncode == 1
    assert "goes on where it stopped" in said.splitlines()[-1]
    assert "Traceback" not in said
    again = edgecv(*command)
    assert again.returncode == 0, again.stderr
    assert "epoch 1/3" not in again.stderr


@pytest.mark.slow
@pytest.mark.parametrize("moment", ["training", "conversion", "quantisation", "evaluation"])
def test_kill_9_and_the_same_command_give_an_undisturbed_result(moment, tmp_path):
    command = ("build", "mobilenet", *SHORT, "--epochs", "3", "--json", "-o")
    undisturbed = json.loads(edgecv(*command, tmp_path / "whole").stdout)
    out = tmp_path / "killed"
    process = start(*command, out)
    signs_of = {
        "training": ".state/training.npz",
        "conversion": "model.keras",
        "quantisation": "model_float32.tflite",
        "evaluation": "model_int8.tflite",
    }
    sign = signs_of[moment]
    wait_for((out / sign).exists, process)
    process.kill()
    process.communicate()
    assert not (out / "report.json").exists()
    resumed = edgecv(*command, out)
    assert resumed.returncode == 0, resumed.stderr
    result = json.loads(resumed.stdout)
    for scheme in ("float32", "int8"):
        ours, theirs = (each["accuracy"][scheme]["top1"] for each in (result, undisturbed))
        assert ours == pytest.approx(theirs, abs=0.03)
    assert {each.name for each in out.iterdir()} == FILES


@pytest.fixture(params=["1m", "4m"], ids=["at the checkpoint", "at the model"])
def small_disk(tmp_path, request):
    """A file system that fills up while something is being written."""
    folder = tmp_path / "disk"
    folder.mkdir()
    size = f"size={request.param}"
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", size, "tmpfs", folder])
    if mounted.returncode:
        pytest.skip("needs the right to mount a tmpfs")
    yield folder
    subprocess.run(["umount", folder], check=True)


def test_a_full_disk_is_one_line_and_leaves_nothing_that_looks_finished(small_disk):
    out = small_disk / "run"
    shown = edgecv("build", "mobilenet", *SHORT, "-o", out)
    assert shown.returncode == 1
    assert "No space left" in shown.stderr.splitlines()[-1]
    assert "Traceback" not in shown.stderr
    for name in ("model.keras", "model_int8.tflite", "report.json"):
        assert not (out / name).exists()
    assert not list(out.rglob("*.partial*"))


def test_no_images_for_int8_is_said_before_anything_is_loaded(tmp_path):
    shown = edgecv("build", "mobilenet", "--weights", "imagenet", "-o", tmp_path / "run")
    assert shown.returncode == 2
    assert "--calibration DIR" in shown.stderr
    assert not (tmp_path / "run").exists()


def test_weights_of_another_architecture_are_refused(built, tmp_path):
    keras = built[0] / "model.keras"
    shown = edgecv(
        "build",
        "mobilenet_v2",
        *SHORT,
        "--weights",
        keras,
        "--quantize",
        "none",
        "-o",
        tmp_path / "run",
    )
    assert shown.returncode == 1
    assert str(keras) in shown.stderr.splitlines()[-1]


def test_weights_of_our_own_load_without_training(built, tmp_path):
    out, _ = built
    shown = edgecv(
        "build", "mobilenet", *SHORT, "--weights", out / "model.keras", "--quantize", "none",
        "-o", tmp_path / "run", "--json",
    )  # fmt: skip
    assert shown.returncode == 0, shown.stderr
    report = json.loads(shown.stdout)
    assert report["weights"] == "file"
    mine, theirs = (runtime.load(each / "model_float32.tflite") for each in (out, tmp_path / "run"))
    image = np.random.default_rng(0).integers(0, 256, (1, 48, 48, 3)).astype(np.uint8)
    np.testing.assert_allclose(runtime.run(mine, image), runtime.run(theirs, image), atol=1e-5)


@pytest.mark.slow
def test_transfer_from_our_own_weights_to_a_folder_of_images(built, tmp_path):
    photographs(tmp_path / "photos", 12, labels=(0, 3, 7))
    shown = edgecv(
        "build", "mobilenet", *SHORT, "--epochs", "3", "--data", tmp_path / "photos",
        "--weights", built[0] / "model.keras", "-o", tmp_path / "run", "--json",
    )  # fmt: skip
    assert shown.returncode == 0, shown.stderr
    report = json.loads(shown.stdout)
    assert report["classes"] == 3
    assert (tmp_path / "run" / "labels.txt").read_text().split("\n")[0] == "0"
    changed = tmp_path / "photos" / "0" / "0.png"
    changed.unlink()
    again = edgecv(
        "build", "mobilenet", *SHORT, "--epochs", "3", "--data", tmp_path / "photos",
        "--weights", built[0] / "model.keras", "-o", tmp_path / "run",
    )  # fmt: skip
    assert again.returncode == 1
    assert "other images" in again.stderr


def test_a_mistake_that_made_nothing_leaves_nothing(tmp_path):
    out = tmp_path / "run"
    for mistake in (("--weights", tmp_path / "none.keras"), ("--classes", "3")):
        shown = edgecv("build", "mobilenet", *SHORT, "--quantize", "none", *mistake, "-o", out)
        assert shown.returncode in (1, 2)
        assert len(shown.stderr.strip().splitlines()) == 2  # what is built, and the error
        assert not out.exists()


def test_force_does_not_take_a_folder_that_is_being_built_in(tmp_path):
    out = tmp_path / "run"
    process = start("build", "mobilenet", *SHORT, "--epochs", "3", "-o", out)
    wait_for((out / ".state" / "training.npz").exists, process)
    shown = edgecv("build", "mobilenet", *SHORT, "-o", out, "--force")
    assert shown.returncode == 1
    assert "another edgecv is building here" in shown.stderr
    process.communicate()
    assert process.returncode == 0
    assert {each.name for each in out.iterdir()} == FILES


def photographs(folder, count, labels=(0, 3)):
    """Class folders of renders, as files."""
    rng = np.random.default_rng(0)
    for label in labels:
        (folder / str(label)).mkdir(parents=True)
        for index in range(count):
            image = signs.render(label, 64, rng)
            cv2.imwrite(str(folder / str(label) / f"{index}.png"), image[..., ::-1])
    return folder


def test_images_that_are_evaluated_on_are_never_calibrated_with(tmp_path):
    photos = photographs(tmp_path / "photos", 10)
    out = tmp_path / "run"
    shown = edgecv(
        "build", "mobilenet", *SHORT, "--data", photos, "--calibration", photos, "-o", out, "--json"
    )
    assert shown.returncode == 0, shown.stderr
    report = json.loads(shown.stdout)
    manifest = json.loads((out / "calibration.json").read_text())
    assert report["accuracy"]["images"] == 4
    assert len(manifest["files"]) == 16
    assert any("4 images are evaluated on" in each for each in report["warnings"])


def test_other_weights_under_the_same_name_are_noticed(built, tmp_path):
    mine = tmp_path / "mine.keras"
    mine.write_bytes((built[0] / "model.keras").read_bytes())
    model = ("mobilenet", *SHORT, "--weights", mine, "--quantize", "none")
    command = ("build", *model, "-o", tmp_path / "run")
    assert edgecv(*command).returncode == 0
    mine.write_bytes(mine.read_bytes() + b"\0")
    again = edgecv(*command)
    assert again.returncode == 1
    assert "another recipe" in again.stderr
