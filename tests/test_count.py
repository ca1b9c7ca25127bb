"""`edgecv profile --count`: instructions by the emulated Pi; skips where it cannot be built."""

import json
import re

import pytest
from click.testing import CliRunner

from edgecv.cli import main
from tests import tiny_models
from tests.test_emulated_pi import missing

KINDS = ("dot", "multiply", "load", "store", "other")


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return tiny_models.undecided(tmp_path_factory.mktemp("count"), classes=10).path


def run(*arguments):
    return CliRunner().invoke(main, ["profile", *map(str, arguments)])


@pytest.mark.slow
def test_two_counts_are_the_same_and_add_up(model):
    if missing():
        pytest.skip(missing())
    flags = ("--device", "emulated_pi", "--count", "--board", "pi5", "--json")
    first, second = (json.loads(run(model, *flags).stdout) for _ in range(2))
    assert second["total"] == pytest.approx(first["total"], rel=1e-3)
    assert first["total"] == sum(first[kind] for kind in KINDS)
    assert first["total"] > 1000
    assert (first["origin"], first["core"]) == ("counted", "cortex-a76")
    assert first["runtime"].startswith("ai-edge-litert==")
    old = run(model, "--device", "emulated_pi", "--count", "--runtime", "tflite")
    assert old.exit_code == 0, old.stderr
    assert "tflite-runtime==" in old.stdout
    assert "cortex-a72 (pi4): not a time" in old.stdout


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["--device", "host"], 2, "'host' is a real board, .*: --device emulated_pi"),
        (["--device", "emulated_pi", "--threads", "2"], 2, "leave --threads 2 out"),
        (["--device", "emulated_pi", "--board", "pi55"], 1, "'pi55': not emulated; .*'pi5'"),
    ],
)
def test_what_cannot_be_counted_is_one_line(model, arguments, code, words):
    shown = run(model, "--count", *arguments)
    assert shown.exit_code == code
    assert re.search(words, shown.stderr)
    assert len(shown.stderr.splitlines()) == 1


def test_what_is_no_model_is_named(tmp_path):
    (tmp_path / "no.tflite").write_text("eggs, milk")
    shown = run(tmp_path / "no.tflite", "--count", "--device", "emulated_pi")
    assert "no.tflite: not a TFLite file" in shown.stderr


@pytest.mark.parametrize("flags", [[], ["--sweep"], ["--per-op"]])
def test_time_on_an_emulated_board_is_refused_with_what_to_do(model, flags):
    shown = run(model, "--device", "emulated_pi", *flags)
    assert shown.exit_code == 2
    assert "is emulated" in shown.stderr
    assert "--count" in shown.stderr
