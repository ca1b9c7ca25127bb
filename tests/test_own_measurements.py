"""Measurements that the user keeps: what is stored, who goes by them, how to forget them."""

import datetime
import json
import shlex
import subprocess
import sys

import pytest
from click.testing import CliRunner

from edgecv import models
from edgecv.cli import main
from edgecv.errors import CheckFailed, RunFolderError
from edgecv.estimate import store
from edgecv.models.float_file import float_model
from edgecv.recipe import ModelOptions
from edgecv.tflite import flatbuffer, operator_kinds
from tests import tiny_models

FACTOR = 3.0  # how much slower the made-up board is than what is published of it


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("EDGECV_MEASUREMENTS", str(tmp_path / "measurements"))
    return tmp_path / "measurements"


def run(*arguments):
    shown = CliRunner().invoke(main, [str(argument) for argument in arguments])
    assert shown.exit_code == 0, shown.output
    return shown


def planned(*flags):
    """MobileNetV2's estimates by scheme, and what is said on stderr."""
    shown = run("plan", "mobilenet_v2", "--device", "rpi4", "--json", *flags)
    return {row["scheme"]: row["ms"] for row in json.loads(shown.stdout)["latency"]}, shown.stderr


def profile(scheme="int8", factor=FACTOR, **changes):
    """What `profile --per-op` writes of MobileNetV2 on a board some times slower than published."""
    flat = float_model(models.network(ModelOptions("mobilenet_v2"), 1000))
    rows = [{**cost._asdict(), "ms": 1.0} for cost in operator_kinds.costs(flat)]
    facts = {"device": "rpi4", "origin": "measured", "threads": 2, "runtime": "litert 2.3.0"}
    facts |= {"scheme": scheme, "model_sha256": "0" * 64, "valid": True, "operators": rows}
    return facts | {"whole_ms": factor * planned()[0][scheme]} | changes


def test_plan_goes_by_what_is_kept_until_the_file_is_gone(folder):
    plain, said = planned()
    assert not said
    path = store.keep(profile())
    assert path.parent == folder
    own, said = planned()
    assert own["int8"] == pytest.approx(FACTOR * plain["int8"], rel=0.002)
    assert own["float32"] == plain["float32"]
    [line] = said.splitlines()
    today = datetime.date.today().isoformat()
    assert f"your int8 measurements of {today} (litert 2.3.0, 2 threads)" in line
    subprocess.run(shlex.split(line.partition("to forget: ")[2]), check=True)
    assert planned() == (plain, "")


def test_estimates_by_them_need_neither_tensorflow_nor_scipy():
    store.keep(profile())
    code = (
        "import sys; sys.modules.update(tensorflow=None, tf_keras=None, scipy=None, cv2=None)\n"
        "from edgecv.cli import main\n"
        "main(['plan', 'mobilenet_v2', '--device', 'rpi4'])"
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert shown.returncode == 0, shown.stderr
    assert "1 model measured there" in shown.stdout


def test_every_command_that_estimates_goes_by_them_and_says_so_once(tmp_path):
    flat = float_model(models.network(ModelOptions("mobilenet_v2"), 1000))
    path = flatbuffer.write(flat, tmp_path / "model.tflite")
    before = json.loads(run("inspect", path, "--device", "rpi4", "--json").stdout)["latency"]["ms"]
    for scheme in ("int8", "float32"):
        store.keep(profile(scheme))
    shown = run("inspect", path, "--device", "rpi4", "--json")
    assert json.loads(shown.stdout)["latency"]["ms"] == pytest.approx(FACTOR * before, rel=0.002)
    assert shown.stderr.count("to forget: rm") == 1
    assert "float32" in shown.stderr and "int8" not in shown.stderr
    suggested = run("suggest", "--device", "rpi4", "--max-latency", "60ms")
    assert "1 model measured there on" in suggested.stdout
    assert suggested.stderr.count("to forget: rm") == 1
    (tmp_path / "grid.toml").write_text("[grid]\nmodel.width = [0.25, 0.5]\n")
    flags = ("--device", "rpi4", "--max-latency", "10us", "-o", tmp_path / "out")
    searched = run("search", tmp_path / "grid.toml", *flags)
    assert searched.stderr.count("to forget: rm") == 1
    assert searched.stdout.count("1 model measured there on") == 2, "a reason for each cell"


def test_suggest_answers_for_the_threads_that_were_measured():
    refused = CliRunner().invoke(main, ["suggest", "--device", "rpi4", "--threads", "2"])
    assert refused.exit_code == 2
    store.keep(profile())
    store.keep(profile(threads=1))
    shown = run("suggest", "--device", "rpi4", "--threads", "2", "--max-latency", "60ms")
    assert "2 threads; 1 model measured there" in shown.stdout


def test_a_file_that_is_named_goes_before_what_is_kept(tmp_path):
    plain, _ = planned()
    store.keep(profile())
    path = tmp_path / "other.json"
    path.write_text(json.dumps(profile(factor=0.5 / FACTOR)))
    own, said = planned("--per-op", path)
    assert own["int8"] == pytest.approx(0.5 * plain["int8"], rel=0.002)
    assert not said


def test_a_later_measurement_of_the_same_replaces_it_and_another_stands_beside_it():
    store.keep(profile())
    store.keep(profile(factor=2.0))
    store.keep(profile(model_sha256="1" * 64))
    first, second = store.read("rpi4")
    assert (first["model_sha256"][0], second["model_sha256"][0]) == ("0", "1")
    assert first["whole_ms"] < second["whole_ms"]
    assert not store.read("rpi5")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"valid": False, "reason": "throttled: 84 C"}, "throttled: 84 C"),
        ({"origin": "emulated"}, "is emulated, not measured"),
    ],
)
def test_what_is_not_valid_is_not_kept(folder, changes, words):
    with pytest.raises(CheckFailed, match=words):
        store.keep(profile(**changes))
    assert not folder.exists()


@pytest.mark.parametrize("text", ["", "[]", '{"schema": 9}', '{"schema": 1, "measurements": [{}]}'])
def test_a_damaged_file_is_one_line_that_names_it(folder, text):
    folder.mkdir()
    (folder / "rpi4.json").write_text(text)
    with pytest.raises(RunFolderError, match=r"rpi4\.json"):
        store.read("rpi4")
    shown = CliRunner().invoke(main, ["plan", "mobilenet_v2", "--device", "rpi4"])
    assert shown.exit_code == 1
    assert len(shown.stderr.splitlines()) == 1


def test_a_device_of_any_name_has_a_file_in_the_folder(folder):
    path = store.keep(profile(device="../my board/1"))
    assert path.parent == folder
    assert len(store.read("../my board/1")) == 1


@pytest.mark.slow
def test_profile_keeps_a_valid_measurement_only(tmp_path, folder):
    model = tiny_models.undecided(tmp_path, classes=10).path
    flags = ("--per-op", "--inferences", "20", "--keep")
    shown = CliRunner().invoke(main, ["profile", str(model), *flags])
    kept = (folder / "host.json").is_file()  # a matter of what else the machine does
    assert shown.exit_code == (0 if kept else 3), shown.output
    words = "go by it from now on; to forget: rm" if kept else "kept         no: it is not valid"
    assert words in shown.stdout


@pytest.mark.parametrize("flags", [["--keep"], ["--keep", "--count", "--device", "emulated_pi"]])
def test_keep_needs_the_times_of_operators(tmp_path, flags):
    model = tiny_models.undecided(tmp_path, classes=10).path
    shown = CliRunner().invoke(main, ["profile", str(model), *flags])
    assert shown.exit_code == 2
    assert "--keep: needs --per-op" in shown.stderr
