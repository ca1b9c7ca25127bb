"""What `edgecv build` refuses: in one line, leaving nothing that looks like a run."""

import subprocess

import pytest

from edgecv.pipeline.run_folder import open_run
from edgecv.recipe import Recipe
from tests.builds import SHORT, built_mobilenet, edgecv, invoke, quick


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


def test_a_full_disk_is_one_line_and_leaves_nothing_that_looks_finished(small_disk, tmp_path):
    out = small_disk / "run"
    shown = invoke(*quick(tmp_path, "mobilenet", "-o", out))
    assert shown.exit_code == 1
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


def test_weights_of_another_architecture_are_refused(tmp_path):
    weights = built_mobilenet() / "model.keras"
    flags = ("--weights", weights, "--quantize", "none", "-o", tmp_path / "run")
    shown = invoke("build", "mobilenet_v2", *SHORT, *flags)
    assert shown.exit_code == 1
    assert str(weights) in shown.stderr.splitlines()[-1]


@pytest.mark.parametrize("mistake", [("--weights", "none.keras"), ("--classes", "3")])
def test_a_mistake_that_made_nothing_leaves_nothing(mistake, tmp_path):
    out = tmp_path / "run"
    shown = invoke("build", "mobilenet", *SHORT, "--quantize", "none", *mistake, "-o", out)
    assert shown.exit_code in (1, 2)
    *before, error = shown.stderr.strip().splitlines()
    assert error.startswith("Error: ")
    assert len(before) < 2  # what is built, where that could be begun
    assert not out.exists()


def test_force_does_not_take_a_folder_that_is_being_built_in(tmp_path):
    out = tmp_path / "run"
    with open_run(out, Recipe(), force=False) as run:
        (run.state / "training.npz").write_bytes(b"half a training")
        before = sorted(path.relative_to(out) for path in out.rglob("*"))
        shown = invoke("build", "mobilenet", *SHORT, "-o", out, "--force")
        assert shown.exit_code == 1
        assert "another edgecv is building here" in shown.stderr
        assert sorted(path.relative_to(out) for path in out.rglob("*")) == before


def test_other_weights_under_the_same_name_are_noticed(tmp_path):
    weights = tmp_path / "mine.keras"
    weights.write_bytes((built_mobilenet() / "model.keras").read_bytes())
    flags = ("--weights", weights, "--quantize", "none", "-o", tmp_path / "run")
    assert invoke(*quick(tmp_path, "mobilenet", *flags)).exit_code == 0
    weights.write_bytes(weights.read_bytes() + b"\0")
    again = invoke(*quick(tmp_path, "mobilenet", *flags))
    assert again.exit_code == 1
    assert "another recipe" in again.stderr
