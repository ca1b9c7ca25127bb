"""Accuracy on a device: the real agent, a board that dies and comes back, the emulated Pi."""

import json
import sys

import cv2
import numpy as np
import pytest
from click.testing import CliRunner

from edgecv.cli import main
from edgecv.device import emulate
from edgecv.evaluate.on_device import HostAgreement
from edgecv.tflite import runtime, scores
from edgecv.tflite.pixels import Grid
from tests import tiny_models
from tests.test_emulated_pi import missing

# Answers class 3 with 200, and class 0 with the number of the image; then may die.
FAKE = """
import os, signal, time
from pathlib import Path
import numpy as np

class Interpreter:
    def __init__(self, model_path, num_threads): pass
    def allocate_tensors(self): pass
    def get_input_details(self):
        return [{{"index": 0, "dtype": np.uint8, "shape": [1, 32, 32, 3]}}]
    def get_output_details(self): return [{{"index": 1}}]
    def _get_ops_details(self): return []
    def set_tensor(self, index, value): pass
    def get_tensor(self, index):
        return np.array([[self.tries % 100, 0, 0, 200, 0, 0, 0, 0, 0, 0]], np.uint8)
    def invoke(self):
        note = Path({note!r})
        self.tries = len(note.read_text()) if note.exists() else 0
        with note.open("a") as file:
            file.write("x")
        {body}
"""
DIE = "os.kill(os.getppid(), signal.SIGKILL); time.sleep(9)"


@pytest.fixture(scope="module")
def tiny():
    return tiny_models.tiny()


@pytest.fixture
def model(tiny, tmp_path):
    return tiny_models.with_labels(tmp_path / "int8.tflite")


@pytest.fixture
def photos(tiny, tmp_path):
    return tiny_models.photos(tmp_path / "photos", tiny.samples[:40])


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    """A cache of the test's own: the answers that are kept there."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "edgecv" / "answers"


@pytest.fixture
def board_that(tmp_path):
    """A device whose LiteRT does this after each inference, and the note with an x for each."""

    def make(body="pass"):
        package = tmp_path / "site" / "ai_edge_litert"
        package.mkdir(parents=True, exist_ok=True)
        (package / "__init__.py").write_text("__version__ = '0.0'")
        note = tmp_path / "note"
        (package / "interpreter.py").write_text(FAKE.format(body=body, note=str(note)))
        python = tmp_path / "python"
        python.write_text(f"#!/bin/sh\nPYTHONPATH={package.parent} exec {sys.executable} $*\n")
        python.chmod(0o755)
        device = tmp_path / "bench.toml"
        device.write_text(f'host = "local"\npython = "{python}"\n')
        return device, note

    return make


def run(model, photos, *arguments):
    shown = [str(each) for each in (model, "--data", photos, *arguments)]
    return CliRunner().invoke(main, ["evaluate", *shown])


def found(*arguments):
    shown = run(*arguments, "--json")
    assert shown.exit_code == 0, shown.stderr
    return json.loads(shown.stdout)


def test_this_machine_as_a_device_gives_what_it_gives_without(tiny, model, photos, cache):
    against = ("--against", tiny.float32.path)
    plain, there = (found(model, photos, *against, *each) for each in ((), ("--device", "host")))
    on = there.pop("on")
    assert there == plain
    for each in (on["model"], on["against"]):
        parity = each["parity"]
        assert each["device"] == "host"
        assert each["runtime"] == parity["host"] == f"{runtime.runtime_name()} xnnpack"
        assert (parity["bit_equal"], parity["images"], parity["same_top1"]) == (True, 40, 1.0)
        assert parity["max_difference"] == 0
    assert not list(cache.glob("*"))
    shown = run(model, photos, "--device", "host")
    assert "same here  bit-equal to litert " in shown.stdout
    assert "on all 40 images" in shown.stdout


def test_another_board_is_judged_and_compared(tiny, model, photos, board_that):
    device, _ = board_that()
    there = found(model, photos, "--device", device)
    files = [path.parent.name for path in photos.glob("*/*.png")]
    threes = files.count(tiny.labels[3]) / 40
    assert there["model"]["top1"] == pytest.approx(threes, abs=1e-6)
    on = there["on"]["model"]
    assert (on["device"], on["runtime"]) == ("bench", "litert 0.0 builtin")
    assert not on["parity"]["bit_equal"]
    plain = found(model, photos)["confusion"]
    assert on["parity"]["same_top1"] == pytest.approx(sum(row[3] for row in plain) / 40)
    assert " images; " in run(model, photos, "--device", device).stdout


def test_a_connection_lost_once_is_made_again(model, photos, board_that):
    device, note = board_that(f"if self.tries == 19: {DIE}")
    shown = run(model, photos, "--device", device, "--json")
    assert shown.exit_code == 0, shown.stderr
    assert "; once more" in shown.stderr
    assert json.loads(shown.stdout)["images"] == 40
    assert len(note.read_text()) == 40 + 4  # the batch of 16 that was cut off, from its start


def test_what_broke_off_goes_on_where_it_was(model, photos, board_that, cache):
    device, note = board_that(f"if self.tries >= 19: {DIE}")
    broken = run(model, photos, "--device", device, "--json")
    assert broken.exit_code == 1
    assert f"Error: {model}: bench: the agent ended during 'run'" in broken.stderr
    assert broken.stdout == ""
    kept = next(path for path in cache.iterdir() if "litert 0.0" in path.read_text())
    kept.write_text(kept.read_text() + '{"inputs": "cut o')
    board_that()
    note.unlink()
    there = found(model, photos, "--device", device)
    assert there["images"] == there["on"]["model"]["parity"]["images"] == 40
    assert len(note.read_text()) == 40 - 16
    assert not list(cache.iterdir())
    found(model, photos, "--device", device)
    assert len(note.read_text()) == 24 + 40  # what was finished is measured anew


def test_other_images_are_not_answered_from_before(model, photos, board_that):
    device, note = board_that(f"if self.tries >= 19: {DIE}")
    run(model, photos, "--device", device)
    board_that()
    note.unlink()
    first = min(photos.glob("*/*.png"))
    cv2.imwrite(str(first), 255 - cv2.imread(str(first)))
    found(model, photos, "--device", device)
    assert len(note.read_text()) == 40


def test_a_host_that_lacks_the_runtime_does_not_stop_the_device(
    model, photos, board_that, monkeypatch
):
    device, _ = board_that()
    site = device.parent / "without"
    site.mkdir()
    (site / "sitecustomize.py").write_text(
        "import sys; sys.modules.update(ai_edge_litert=None, tflite_runtime=None)"
    )
    monkeypatch.setenv("PYTHONPATH", str(site))
    parity = found(model, photos, "--device", device)["on"]["model"]["parity"]
    assert "is not installed" in parity["reason"]
    assert "bit_equal" not in parity
    assert "same here  not known: " in run(model, photos, "--device", device).stdout


def test_unknown_device_and_unusable_model_are_one_line(model, photos, tmp_path):
    shown = run(model, photos, "--device", "rpi44")
    assert shown.exit_code == 2
    assert "'rpi44': not known" in shown.stderr
    (tmp_path / "bad.tflite").write_text("eggs, milk")
    shown = run(tmp_path / "bad.tflite", photos, "--device", "host")
    assert "bad.tflite: not a TFLite file" in shown.stderr


def test_parity_counts_images_values_and_answers():
    parity = HostAgreement(scores.Output((3,), Grid("uint8", 1 / 256, 0), scores.SOFTMAX))
    equal = np.array([[[5, 9, 0]]], np.uint8)
    parity.add([equal], [equal])
    parity.add([np.array([[[5, 9, 0]]], np.uint8)], [np.array([[[200, 9, 0]]], np.uint8)])
    assert parity.figures() == {
        "images": 2,
        "bit_equal": False,
        "identical_images": 1,
        "differing_share": pytest.approx(1 / 6),
        "max_difference": 195,
        "same_top1": 0.5,
    }


@pytest.mark.slow
def test_the_emulated_pi_over_ssh_gives_what_this_machine_gives(model, photos, monkeypatch):
    """XNNPACK's int8 is bit-equal on aarch64; softmax, which is not XNNPACK's, may round."""
    if missing():
        pytest.skip(missing())
    monkeypatch.delenv("XDG_CACHE_HOME")
    ran_before = "pi4" in emulate.running_boards()
    emulate.start("pi4")
    try:
        on = found(model, photos, "--device", "emulated_pi")["on"]["model"]
    finally:
        if not ran_before:
            emulate.stop("pi4")
    assert on["runtime"] == on["parity"]["host"] == "litert 2.3.0 xnnpack"
    assert on["parity"]["max_difference"] <= 1
    assert on["parity"]["same_top1"] == 1.0
