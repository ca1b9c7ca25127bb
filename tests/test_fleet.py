"""Several devices measured at once: one report, whatever becomes of some of them."""

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from edgecv.cli import main
from edgecv.device.description import Device
from edgecv.errors import DeviceUnreachable
from edgecv.profile.fleet import measure_all
from edgecv.progress import QUIET, Progress
from tests import sshd, tiny_models
from tests.waiting import SECONDS, wait_until

ROOT = Path(__file__).parent.parent
HANGING = """
import time
class Interpreter:
    def __init__(self, model_path, num_threads):
        with open({note!r}, "a") as note:
            note.write("at work\\n")
        time.sleep(99)
"""


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return tiny_models.undecided(tmp_path_factory.mktemp("fleet"), classes=10)


def run(*arguments):
    return CliRunner().invoke(main, [str(each) for each in arguments])


@pytest.fixture
def start(tmp_path, monkeypatch):
    with sshd.boards(tmp_path, monkeypatch) as start:
        yield start


@pytest.fixture
def dead_board(tmp_path):
    """A device file of a board that nobody switched on."""
    config = tmp_path / "dead_config"
    with sshd.reserve_port() as reserved:
        port = reserved.getsockname()[1]
        config.write_text(f"Host attic\n  HostName 127.0.0.1\n  Port {port}\n")
        path = tmp_path / "attic.toml"
        path.write_text(f'host = "attic"\nssh_config = "{config}"\n')
        yield path


def test_dead_board_does_not_stop_the_others(start, model, dead_board):
    devices = f"host,{start().device()}"
    shown = run(
        "profile", model.path, "--device", devices, "--device", dead_board,
        "--inferences", 5, "--json", "--force",
    )  # fmt: skip
    found = json.loads(shown.stdout)
    assert [each["device"] for each in found["latency"]] == ["host", "bench"]
    assert list(found["failed"]) == ["attic"]
    assert found["failed"]["attic"].startswith("nothing answers ssh there")
    assert shown.exit_code == 1
    assert shown.stderr.splitlines()[-1] == "Error: 1 of 3 devices failed: attic"


def test_devices_of_a_fleet_work_at_the_same_time():
    """Each waits for all the others to be at work."""
    devices = [Device(name=name, host="local") for name in "abc"]
    at_work = []

    def job(device, progress):
        at_work.append(device.name)
        wait_until(lambda: len(at_work) == 3)
        return [{"device": device.name}]

    found = measure_all(devices, job, QUIET)
    assert [each["device"] for each in found.latency] == ["a", "b", "c"]
    assert not found.failed


def test_what_a_device_does_and_warns_of_is_said_with_its_name():
    class Heard(Progress):
        said: tuple = ()
        warnings: tuple = ()

        def line(self, text):
            self.said = (*self.said, text)

        def warn(self, text):
            self.warnings = (*self.warnings, text)

    def job(device, progress):
        progress.warn("slow card")
        return list(progress.track([{"device": device.name}], "profile v1"))

    heard = Heard()
    found = measure_all([Device("desk"), Device("attic")], job, heard)
    assert [each["device"] for each in found.latency] == ["desk", "attic"]
    assert sorted(heard.warnings) == ["attic: slow card", "desk: slow card"]
    assert {"desk: profile v1", "desk: done", "attic: profile v1"} <= {*heard.said}


def test_mistake_of_edgecv_itself_is_not_taken_for_a_dead_board():
    def job(device, progress):
        raise (DeviceUnreachable("gone") if device.name == "a" else ZeroDivisionError)

    devices = [Device(name=name, host="local") for name in "ab"]
    with pytest.raises(ZeroDivisionError):
        measure_all(devices, job, QUIET)


def test_two_devices_of_one_name_are_a_mistake(model, tmp_path):
    other = tmp_path / "host.toml"
    other.write_text('host = "local"\n')
    shown = run("profile", model.path, "--device", "host", "--device", other)
    assert shown.exit_code == 2
    assert "two of them have the same name" in shown.stderr


def test_ctrl_c_ends_a_fleet_and_leaves_nothing_running(model, tmp_path, monkeypatch):
    note, site = tmp_path / "note", tmp_path / "site"
    (site / "ai_edge_litert").mkdir(parents=True)
    (site / "ai_edge_litert" / "__init__.py").write_text("")
    (site / "ai_edge_litert" / "interpreter.py").write_text(HANGING.format(note=str(note)))
    python = tmp_path / "python"  # the runtime of the devices alone; the host reads models with its
    python.write_text(f'#!/bin/sh\nPYTHONPATH={site} exec {sys.executable} "$@"\n')
    python.chmod(0o755)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    command = [sys.executable, "-m", "edgecv", "profile", model.path]
    for name in ("one", "two"):
        (tmp_path / f"{name}.toml").write_text(f'host = "local"\npython = "{python}"\n')
        command += ["--device", tmp_path / f"{name}.toml"]
    host = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    wait_until(lambda: note.exists() and len(note.read_text().splitlines()) == 2)
    tasks = Path(f"/proc/{host.pid}/task").glob("*/children")  # a thread for each device
    agents = [int(pid) for task in tasks for pid in task.read_text().split()]
    below = [*agents, *(pid for agent in agents for pid in sshd.descendants(agent))]
    assert len(below) == 4
    host.send_signal(signal.SIGINT)
    assert host.wait(SECONDS) == 1
    assert "Traceback" not in host.communicate()[1]
    wait_until(lambda: not any("edgecv" in sshd.command_line(pid) for pid in below))
