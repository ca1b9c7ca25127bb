"""Compiled files read back, compilers' logs, and the process of a compiler that is a fake.

No compiler is here: packages are made by tests (made_packages), and the program that is run is a
shell script. They test reading and process handling; nothing of theirs counts as `compiled`.
"""

import json
import os
import shlex
import stat
import struct
from pathlib import Path

import pytest
from click.testing import CliRunner

from edgecv.cli import main
from edgecv.coral import log, package
from edgecv.coral.rule_tables import table
from edgecv.errors import UnsupportedModelError
from edgecv.tflite import flatbuffer
from tests import made_packages
from tests.coral_models import classifier
from tests.sshd import runs
from tests.waiting import wait_until

EXECUTION, CACHING, ALONE = 2, 1, 0


def run(*arguments, **environment):
    return CliRunner().invoke(main, ["coral", *map(str, arguments)], env=environment)


def error(shown):
    """The one line of an error."""
    assert shown.exit_code == 1, shown.output
    last = shown.stderr.splitlines()[-1]
    assert last.startswith("Error: ")
    assert "Traceback" not in shown.stderr
    return last


# -- packages ---------------------------------------------------------------------------------


def test_a_package_is_read_field_by_field():
    found = package.read(made_packages.cached(4096, scratch=64, cycles=458_040))
    assert (found.min_runtime, found.compiler) == (13, made_packages.MADE_BY)
    assert [each.kind for each in found.executables] == ["parameter caching", "execution only"]
    assert {each.chip for each in found.executables} == {"beagle"}
    assert (found.cached_bytes, found.streamed_bytes) == (4096, 0)
    assert (found.instruction_bytes, found.running[0].chunks) == (8000, 2)
    assert (found.scratch_bytes, found.cycles) == (64, 458_040)
    names = ("input in", "output out", "scratch out", "scratch in")
    assert [found.dma_bytes(name) for name in names] == [768, 12, 64, 0]
    assert found.executables[0].inputs == ["image"]


@pytest.mark.parametrize(
    ("executables", "cached", "streamed", "cycles"),
    [
        pytest.param([(ALONE, 900)], 0, 900, None, id="stand-alone"),
        pytest.param([(CACHING, 500), (EXECUTION, 400)], 500, 400, None, id="partly cached"),
        pytest.param([(CACHING, 500), (EXECUTION, 0, 7)], 500, 0, 7, id="cycles of 2019"),
    ],
)
def test_parameters_are_cached_or_streamed_by_the_executable_they_are_in(
    executables, cached, streamed, cycles
):
    made = [
        made_packages.executable(kind, size, old_cycles=sum(old))
        for kind, size, *old in executables
    ]
    found = package.read(made_packages.package(*made))
    assert (found.cached_bytes, found.streamed_bytes, found.cycles) == (cached, streamed, cycles)


def test_what_is_no_package_is_refused():
    made = made_packages.cached()
    kind_of_nothing = made_packages.package(made_packages.executable(7))
    for data in (
        b"",
        made[:40],
        made.replace(b"DWN1", b"DWN2"),
        made_packages.package(),
        kind_of_nothing,
    ):
        with pytest.raises((struct.error, IndexError, ValueError)):
            package.read(data)
        with pytest.raises(UnsupportedModelError, match="damaged or of another kind"):
            package.packages(made_packages.compiled(data))


def test_figures_are_summed_over_packages():
    model = made_packages.compiled(
        made_packages.cached(100), made_packages.cached(200), left=["RELU"]
    )
    found = package.summary(model)
    assert found["packages"] == 2
    assert found["cached_bytes"] == 300
    assert found["dma_bytes"] == {"input in": 1536, "output out": 24, "scratch out": 128}
    assert found["cpu_operators"] == {"RELU": 1}
    assert found["estimated_cycles"] is None


def test_inspect_shows_the_file_and_how_the_plan_differs(tmp_path):
    flatbuffer.write(classifier(), tmp_path / "model.tflite")
    path = made_packages.written(
        tmp_path / "model_edgetpu.tflite", made_packages.cached(3000), left=["SOFTMAX"]
    )
    shown = run("inspect", path)
    assert shown.exit_code == 0
    assert "3,000 bytes stay on the chip, 0 are sent with every inference" in shown.stdout
    assert "processor    1 SOFTMAX" in shown.stdout
    assert "the compiler wrote none" in shown.stdout
    found = json.loads(run("inspect", path, "--json").stdout)
    differences = {each["figure"]: each for each in found["differences"]}
    assert differences["operators"]["estimated"] == 8
    assert differences["operators"]["compiled"] == 7
    assert differences["parameter bytes"]["compiled"] == 3000
    assert differences["parameter bytes"]["share"] == pytest.approx(
        differences["parameter bytes"]["estimated"] / 3000 - 1
    )
    alone = made_packages.written(tmp_path / "other.tflite", made_packages.cached())
    assert "differences" not in json.loads(run("inspect", alone, "--json").stdout)


def test_inspect_says_what_is_not_compiled(tmp_path):
    path = flatbuffer.write(classifier(), tmp_path / "model.tflite")
    assert "is not compiled for the Edge TPU" in error(run("inspect", path))


# -- logs -------------------------------------------------------------------------------------

LOG = """\
Edge TPU Compiler version 16.0.384591198
Started a compilation timeout timer of 180 seconds.

Model compiled successfully in 1024 ms.

Input model: model.tflite
Input size: 3.41MiB
Output model: model_edgetpu.tflite
Output size: 3.88MiB
On-chip memory used for caching model parameters: 3.75MiB
On-chip memory remaining for caching model parameters: 3.16MiB
Off-chip memory used for streaming uncached model parameters: 0.00B
Number of Edge TPU subgraphs: 1
Total number of operations: 66
Operation log: model_edgetpu.log

Number of operations that will run on Edge TPU: 64
Number of operations that will run on CPU: 2

Operator                       Count      Status

CONV_2D                        35         Mapped to Edge TPU
QUANTIZE                       1          Mapped to Edge TPU
QUANTIZE                       1          {status}
"""


@pytest.mark.parametrize("status", table("compiler")["statuses"])
def test_every_status_of_an_operator_is_known_and_not_mapped(status):
    found = log.parse(LOG.format(status=status))
    assert found.version == "16.0.384591198"
    assert found.sizes["On-chip memory used for caching model parameters"] == round(3.75 * 2**20)
    assert found.sizes["Off-chip memory used for streaming uncached model parameters"] == 0
    assert (found.number(log.ON_TPU), found.number(log.ON_CPU)) == (64, 2)
    assert [(row.operator, row.times, row.mapped) for row in found.rows] == [
        ("CONV_2D", 35, True),
        ("QUANTIZE", 1, True),
        ("QUANTIZE", 1, False),
    ]
    assert found.rows[-1].status == status
    assert found.rows[-1].meaning == table("compiler")["statuses"][status]


@pytest.mark.parametrize(
    "status", ["Mapped", "Mapped to Edge TPU?", "mapped to edge tpu", "Not Mapped to Edge TPU", "x"]
)
def test_an_unknown_status_is_kept_and_never_mapped(status):
    row = log.parse(LOG.format(status=status)).rows[-1]
    assert (row.status, row.mapped, row.meaning) == (status, False, "")


@pytest.mark.parametrize("failure", table("compiler")["failures"], ids=lambda each: each["text"])
def test_every_failure_is_known(failure):
    found = log.parse(f"Edge TPU Compiler version 16.0\nERROR: {failure['text']} 'X' version 6\n")
    assert found.failures[0] == failure


def test_lines_that_nobody_knows_are_kept():
    found = log.parse(
        "One two three\n\nEdge TPU Compiler version 17\nCONV_2D 3 Mapped to Edge TPU\n"
    )
    assert found.unknown == ["One two three", "CONV_2D 3 Mapped to Edge TPU"]
    assert found.rows == []


# -- a fake compiler: how a process is handled, nothing else -----------------------------------


@pytest.fixture
def fake_compiler(tmp_path):
    """Writes a shell script in the place of a compiler, which compiles nothing."""

    def written(body):
        path = tmp_path / "edgetpu_compiler_fake"
        path.write_text(f"#!/bin/sh\n{body}\n")
        path.chmod(path.stat().st_mode | stat.S_IXUSR)
        return path

    return written


@pytest.fixture
def model(tmp_path):
    return flatbuffer.write(classifier(), tmp_path / "model.tflite")


def test_without_a_compiler_the_error_comes_with_how_to_install_one(model, tmp_path):
    shown = run("compile", model, PATH=str(tmp_path), EDGECV_EDGETPU_COMPILER="")
    assert "edgetpu_compiler: not found" in error(shown)
    assert "sudo apt-get update && sudo apt-get install edgetpu-compiler" in shown.stderr
    assert shown.stdout == ""
    absent = run("compile", model, "--compiler", tmp_path / "absent")
    assert "--compiler: " in error(absent)
    named = run("compile", model, EDGECV_EDGETPU_COMPILER="/absent")
    assert "EDGECV_EDGETPU_COMPILER: /absent is no program" in error(named)
    assert not list(tmp_path.glob("*_edgetpu*"))


FAILURES = {
    "echo 'Internal compiler error. Aborting!'": "the compiler broke down",
    "echo 'Something new'; exit 1": "exit code 1, and it said: Something new",
    "exit 0": "exit code 0, and no word",
    "printf 'HARD_SWISH   1    Operation not supported\\n'": "HARD_SWISH: Operation not supported",
    "kill -SEGV $$": "exit code -11",
    "cp model.tflite model_edgetpu.tflite": "nothing of it was mapped",
    "echo rubbish > model_edgetpu.tflite": "nothing of it was mapped",
}


@pytest.mark.parametrize("body", FAILURES)
def test_a_fake_compiler_that_compiles_nothing_is_an_error_whatever_it_says(
    model, fake_compiler, body
):
    shown = run("compile", model, "--compiler", fake_compiler(body))
    assert FAILURES[body] in error(shown)
    assert "does not compile" in shown.stderr or "nothing of it was mapped" in shown.stderr
    assert not list(model.parent.glob("*_edgetpu.tflite"))


def test_a_fake_compiler_that_does_not_end_is_ended_with_its_children(
    model, fake_compiler, monkeypatch, tmp_path
):
    monkeypatch.setattr("edgecv.coral.compiler.GRACE_SECONDS", 0)
    body = f"sleep 61 & echo $! > {tmp_path}/child; sleep 62"
    shown = run("compile", model, "--compiler", fake_compiler(body), "--timeout", 1)
    assert "no end after 1 s" in error(shown)
    child = int((tmp_path / "child").read_text())
    wait_until(lambda: not runs(child))


def test_the_model_is_not_overwritten(model, fake_compiler):
    shown = run("compile", model, "--compiler", fake_compiler("exit 0"), "-o", model)
    assert shown.exit_code == 2
    assert "is a file that is read" in shown.stderr


def package_of_a_test(tmp_path):
    """A shell command that puts a package made by a test where a compiler writes its file."""
    made = made_packages.written(
        tmp_path / "made_by_a_test", made_packages.cached(3000), left=["SOFTMAX"]
    )
    return f"cp {shlex.quote(str(made))} model_edgetpu.tflite"


def test_a_file_from_a_fake_compiler_is_never_called_compiled(model, fake_compiler, tmp_path):
    body = f"{package_of_a_test(tmp_path)}; echo 'Edge TPU Compiler version fake'; echo $@"
    fake = fake_compiler(body)
    shown = run(
        "compile", model, "--compiler", fake, "--timeout", 77, "--min-runtime", 12, "--json"
    )
    assert shown.exit_code == 3  # SOFTMAX stays behind
    found = json.loads(shown.stdout)
    assert found["origin"] == found["compiled"]["origin"] == "unverified"
    assert found["log"]["unknown"] == ["-s -o . -t 77 -m 12 model.tflite"]
    assert package.summary(flatbuffer.read(Path(found["path"])))["cached_bytes"] == 3000
    assert Path(found["path"]).with_suffix(".log").read_text().startswith("Edge TPU Compiler")
    assert "unverified" in run("compile", model, "--compiler", fake).stdout


def test_after_a_failure_the_fake_compiler_is_asked_to_search(model, fake_compiler, tmp_path):
    body = f'case "$*" in *-d*) {package_of_a_test(tmp_path)};; *) exit 1;; esac'
    assert error(run("compile", model, "--compiler", fake_compiler(body)))
    assert run("compile", model, "--compiler", fake_compiler(body), "--search").exit_code == 3


def test_an_image_runs_in_a_container_without_a_network(model, fake_compiler, tmp_path):
    fake = fake_compiler(f"{package_of_a_test(tmp_path)}; echo $@")
    fake.rename(tmp_path / "docker")
    path = f"{tmp_path}:{os.environ['PATH']}"
    shown = run("compile", model, "--image", "my/compiler", "--json", PATH=path)
    said = json.loads(shown.stdout)["log"]["unknown"][0]
    assert said.startswith("run --rm --network none --platform linux/amd64 --user ")
    assert " --mount type=bind,source=" in said
    assert said.endswith("my/compiler edgetpu_compiler -s -o . -t 180 model.tflite")
    option = run("compile", model, "--image", "--privileged", PATH=path)
    assert option.exit_code == 2
    assert "--image: must be the name of an image" in option.stderr
