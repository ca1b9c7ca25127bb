"""Boards behind a real sshd on loopback: reached, refused, lost in the middle, and left clean."""

import hashlib
import json
import os
import re
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from click.testing import CliRunner

from edgecv.cli import main
from edgecv.device import board, description
from edgecv.errors import DeviceError, DeviceUnreachable
from edgecv.progress import Progress
from tests import sshd, tiny_models
from tests.waiting import SECONDS, wait_until

ROOT = Path(__file__).parent.parent
FAKE_RUNTIME = """
import ctypes, os, signal, sys, time
from pathlib import Path

AGENT = os.getppid()

class Interpreter:
    def __init__(self, model_path, num_threads): pass
    def allocate_tensors(self): pass
    def get_input_details(self): return []
    def _get_ops_details(self): return []
    def invoke(self):
        note = Path(os.environ["NOTE"])
        tries = len(note.read_text()) if note.exists() else 0
        note.write_text("x" * (tries + 1))
        {body}
"""


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return tiny_models.undecided(tmp_path_factory.mktemp("link"), classes=10)


@pytest.fixture
def start(tmp_path, monkeypatch):
    with sshd.boards(tmp_path, monkeypatch) as start:
        yield start


@pytest.fixture
def runtime_that(tmp_path):
    """What a board needs in its environment for a LiteRT that does this in `invoke`."""

    def make(body: str) -> dict[str, str]:
        package = tmp_path / "site" / "ai_edge_litert"
        package.mkdir(parents=True)
        (package / "__init__.py").write_text("__version__ = '0.0'")
        (package / "interpreter.py").write_text(FAKE_RUNTIME.format(body=body))
        return {"PYTHONPATH": str(package.parent), "NOTE": str(tmp_path / "tries")}

    return make


def run(*arguments):
    return CliRunner().invoke(main, [str(each) for each in arguments])


def connect(path):
    return board.connect(description.load(path))


def refused(path, words, error=DeviceError):
    """The one line that connecting ends with."""
    with pytest.raises(error, match=words) as found:
        connect(path)
    assert "\n" not in str(found.value)
    return str(found.value)


def script(path, *lines):
    """An executable that a board takes for its Python."""
    path.write_text("\n".join(["#!/bin/sh", *lines, ""]))
    path.chmod(0o755)
    return str(path)


def at_work(there):
    """The worker that measures on a board."""
    agents = [pid for pid in there.sessions() if "agent.py" in sshd.command_line(pid)]
    return [pid for agent in agents for pid in sshd.descendants(agent)]


def test_profile_on_a_board_is_an_entry_with_its_name(start, model):
    there = start()
    path = there.device(threads=2)
    shown = run("profile", model.path, "--device", path, "--inferences", 5, "--json", "--force")
    assert shown.exit_code == 0, shown.stderr
    found = json.loads(shown.stdout)
    assert (found["device"], found["origin"], found["threads"]) == ("bench", "measured", 2)
    assert found["runs"] == len(found["context"]["samples_ms"]) == 5
    sha256 = hashlib.sha256(model.path.read_bytes()).hexdigest()
    assert [each.name for each in there.home.rglob("*") if each.name == sha256]


def test_agent_and_model_are_copied_once_and_the_connection_is_kept(start, model):
    there = start()
    device = description.load(there.device())

    def copied():
        with board.connect(device) as agent:
            path = Path(board.place(agent, device, model.path))
        agents = list(path.parent.glob("agent-*/*.py"))
        assert len(agents) == 4
        return [each.stat().st_mtime_ns for each in (path, *agents)]

    first = copied()
    assert copied() == first
    assert (there.folder / "log").read_text().count("Accepted publickey") == 1


def test_parts_of_a_model_do_not_stay_on_the_board(start, model):
    """What a profile by operator measures there is of no use to the next one."""
    there = start()
    flags = ("--per-op", "--inferences", 2, "--force")
    shown = run("profile", model.path, "--device", there.device(), *flags)
    assert shown.exit_code == 0, shown.stderr
    folder = there.home / ".cache" / "edgecv" / "board"
    sha256 = hashlib.sha256(model.path.read_bytes()).hexdigest()
    (agent,) = folder.glob("agent-*")
    wait_until(lambda: {*folder.iterdir()} == {agent, folder / sha256})


def test_damaged_agent_is_placed_anew(start):
    there = start()
    with connect(there.device()):
        pass
    (agent,) = there.home.rglob("agent.py")
    agent.write_text("raise SystemExit('half of me')")
    with connect(there.device()) as link:
        assert link.machine["cores"]
    assert "def main" in agent.read_text()


def test_own_venv_is_taken_before_python3(start):
    there = start()
    venv = there.home / ".cache" / "edgecv" / "board" / "venv" / "bin"
    venv.mkdir(parents=True)
    script(venv / "python", f'echo own >> "$HOME/used"; exec {sys.executable} "$@"')
    with connect(there.device(python="")):
        pass
    assert (there.home / "used").exists()


def test_python_may_lie_in_the_boards_home(start):
    there = start()
    script(there.home / "python", f'echo own >> "$HOME/used"; exec {sys.executable} "$@"')
    with connect(there.device(python="~/python")):
        pass
    assert (there.home / "used").exists()


def test_greeting_of_a_login_shell_is_passed_over(start):
    there = start(greeting="echo Welcome to the board; printf 'and no newline'")
    with connect(there.device()) as link:
        assert link.machine["cores"]


def test_unknown_host_says_how_to_know_it(start):
    there = start()
    (there.folder / "known_hosts").write_text("")
    refused(
        there.device(),
        "^bench: board: its host key is not known yet; .*: ssh -F .*/ssh_config board$",
    )
    assert (there.folder / "known_hosts").read_text() == ""


def test_changed_host_key_is_refused_with_the_way_out(start):
    there = start()
    there.stop()
    sshd.make_key(there.folder / "host_key")
    there.start()
    words = refused(there.device(), "host key is not the one it had before")
    command = re.search(r"ssh-keygen -f .*", words)[0].strip()
    subprocess.run(command, shell=True, check=True, capture_output=True)
    assert "127.0.0.1" not in (there.folder / "known_hosts").read_text()


def test_refused_key_says_how_to_install_it(start):
    there = start()
    sshd.make_key(there.folder / "user_key")
    refused(
        there.device(), r"refused your key \(publickey.*\); put it there: ssh-copy-id -F .* board"
    )


def test_a_key_with_a_passphrase_is_refused_without_asking_for_it(start, monkeypatch):
    there = start()
    key, asked = there.folder / "user_key", there.folder / "asked"
    command = ["ssh-keygen", "-q", "-p", "-P", "", "-N", "secret", "-f", str(key)]
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL)
    window = there.folder / "window"
    window.write_text(f"#!/bin/sh\ntouch {asked}\necho secret\n")
    window.chmod(0o700)
    monkeypatch.setenv("SSH_ASKPASS", str(window))
    monkeypatch.setenv("SSH_ASKPASS_REQUIRE", "force")  # as where there is a desktop
    refused(there.device(), r"refused your key")
    assert not asked.exists()


def test_nobody_at_the_address_is_unreachable(start):
    there = start()
    path = there.device()
    there.stop()
    refused(path, "nothing answers ssh there; .* enable --now ssh", DeviceUnreachable)


def test_emulated_board_that_is_not_running_says_how_to_start_it(start):
    there = start()
    path = there.device()
    path.write_text(path.read_text() + "[board]\nemulated = true\n")
    there.stop()
    refused(path, "board: is not running; start it: edgecv devices emulate", DeviceUnreachable)


def test_ssh_config_that_is_not_there_is_named(start, tmp_path):
    path = start().device(ssh_config=str(tmp_path / "none"))
    refused(path, "none, the `ssh_config` of the device file: No such file or directory")


@pytest.mark.parametrize(
    ("lines", "environment"),
    [
        pytest.param("[board]\nemulated = true\n", {}, id="described"),
        pytest.param("", {"QEMU_CPU": "cortex-a72"}, id="found out"),
    ],
)
def test_what_an_emulated_board_measures_is_no_latency(start, model, lines, environment):
    path = start(**environment).device()
    path.write_text(path.read_text() + lines)
    shown = run("profile", model.path, "--device", path, "--inferences", 5, "--json", "--force")
    found = json.loads(shown.stdout)
    assert (found["origin"], found["valid"]) == ("emulated", False)
    assert found["reason"].startswith("emulated: ")


def test_unknown_name_is_named(start):
    refused(start().device(host="pi@nowhere.invalid"), "no machine of that name")


def test_wrong_python_is_named_with_its_version(start, tmp_path):
    old = script(
        tmp_path / "python2",
        'if [ "$1" = --version ]; then echo "Python 2.7.18" >&2; exit; fi',
        'echo "SyntaxError: invalid syntax" >&2; exit 1',
    )
    refused(
        start().device(python=old), r"python2 is Python 2\.7\.18, the agent needs 3\.7 or newer"
    )


def test_missing_python_is_named(start):
    refused(start().device(python="/nowhere/python"), "cannot start /nowhere/python; name another")


def test_agent_that_prints_garbage_is_no_agent(start, tmp_path):
    path = start().device(python=script(tmp_path / "python", "yes eggs | head -2000", "sleep 60"))
    refused(path, "bench: no reply to 'hello' but 'eggs'")


def test_board_that_cannot_keep_the_agent_says_why(start):
    refused(start(HOME="/proc").device(), "cannot create directory")


def test_another_board_than_described_is_refused(start):
    there = start()
    path = there.device()
    path.write_text(path.read_text() + '[board]\nmodel = "Raspberry Pi 4 Model B"\n')
    refused(path, "board is a .*, not a Raspberry Pi 4 Model B; describe it: edgecv devices add")


def test_socket_folder_that_others_can_enter_is_refused(start, tmp_path):
    path = start().device()
    folder = Path(os.environ["XDG_RUNTIME_DIR"]) / f"edgecv-{os.getuid()}"
    folder.mkdir()
    folder.chmod(0o777)
    refused(path, "must be a folder that only you can enter")


def test_full_disk_is_named(start, model):
    there = start()
    device = description.load(there.device())
    with board.connect(device) as agent:
        sha256 = hashlib.sha256(model.path.read_bytes()).hexdigest()
        partial = Path(agent.call("stored", {"sha256": sha256})["path"] + ".partial")
        partial.symlink_to("/dev/full")
        with pytest.raises(DeviceError, match=r"bench: store: .*No space left on device"):
            board.place(agent, device, model.path)


def test_copy_goes_on_where_the_connection_was_lost(start, tmp_path, monkeypatch):
    monkeypatch.setattr(board, "PART_BYTES", 1000)
    there = start()
    device = description.load(there.device())
    file = tmp_path / "big.tflite"
    file.write_bytes(os.urandom(9500))

    class Counting(Progress):
        parts: tuple = ()

        def track(self, items, label, total=None):  # noqa: ARG002
            self.parts = (*self.parts, total)
            for done, item in enumerate(items):
                if done == 4 and len(self.parts) == 1:
                    os.kill(there.sessions()[0], signal.SIGKILL)
                yield item

    progress = Counting()
    path = board.retry_once(device, lambda agent: board.place(agent, device, file, progress))
    assert progress.parts == (10, 6)
    assert Path(path).read_bytes() == file.read_bytes()


def test_agent_killed_once_is_started_once_more(start, model, runtime_that):
    """What the runtime said before is not taken for the reason."""
    said = "os.write(2, b'INFO: Created a delegate\\n')"
    kill = f"tries or ({said}, os.kill(AGENT, signal.SIGKILL), time.sleep(9))"
    there = start(**runtime_that(kill))
    shown = run(
        "profile", model.path, "--device", there.device(), "--inferences", 3, "--json", "--force"
    )
    assert shown.exit_code == 0, shown.stderr
    assert "the way to it, ended during 'benchmark'; once more" in " ".join(shown.stderr.split())
    assert json.loads(shown.stdout)["runs"] == 3


@pytest.mark.parametrize("flags", [(), ("--per-op", "--force")])
def test_what_the_board_lacks_is_said_with_who_knows_what_to_do(start, model, tmp_path, flags):
    code = "import sys; sys.modules.update(ai_edge_litert=None, tflite_runtime=None)"
    (tmp_path / "sitecustomize.py").write_text(code)
    path = start(PYTHONPATH=str(tmp_path)).device()
    shown = run("profile", model.path, "--device", path, *flags)
    assert shown.exit_code == 1
    last = shown.stderr.splitlines()[-1]
    assert last.endswith("is not installed; what to do: edgecv devices check bench")


def test_cores_that_are_not_there_are_named_after_the_board_has_rested(start, model):
    path = start().device(affinity=[98, 99], cooldown=0.5)
    shown = run("profile", model.path, "--device", path)
    assert shown.exit_code == 1
    said = shown.stderr.splitlines()
    assert said[0] == "bench: rests for 0.5 s"
    assert said[-1].endswith(
        f"affinity: must be of {sorted(os.sched_getaffinity(0))}, got [98, 99]"
    )


def test_the_cause_of_an_error_is_said(start, model, runtime_that):
    """As of numpy 2 beside tflite-runtime, whose own error names neither."""
    raised = "raise SystemError('returned with an exception set') from ImportError('numpy.core')"
    shown = run("profile", model.path, "--device", start(**runtime_that(raised)).device())
    words = r"exception set \(ImportError: numpy.core\); what to do: edgecv devices check bench"
    assert re.search(words, shown.stderr)


def test_agent_killed_twice_is_an_error_and_no_result(start, model, runtime_that):
    there = start(**runtime_that("os.kill(AGENT, signal.SIGKILL), time.sleep(9)"))
    shown = run("profile", model.path, "--device", there.device(), "--json")
    assert shown.exit_code == 1
    assert shown.stdout == ""
    assert (
        "bench: the agent, or the way to it, ended during 'benchmark'"
        in shown.stderr.splitlines()[-1]
    )
    assert (there.folder / "tries").read_text() == "xx"


def test_hung_agent_is_silent_for_so_long(start):
    there = start()
    with connect(there.device()) as agent:
        os.kill(there.sessions()[0], signal.SIGSTOP)
        with pytest.raises(DeviceUnreachable, match="bench: silent for 1 s during 'hello'"):
            agent.call("hello", timeout=1)
        big = {"sha256": "0" * 64, "offset": 0, "data": "A" * (1 << 24), "last": False}
        with pytest.raises(DeviceUnreachable, match="bench: silent for 1 s during 'store'"):
            agent.call("store", big, timeout=1)
        os.kill(there.sessions()[0], signal.SIGCONT)
    wait_until(lambda: not there.sessions())


def test_sshd_stopped_in_the_middle_is_an_error_and_no_result(start, model, runtime_that):
    there = start(**runtime_that("time.sleep(0.2)"))
    killer = threading.Thread(target=lambda: (wait_until(lambda: at_work(there)), there.stop()))
    killer.start()
    shown = run("profile", model.path, "--device", there.device(), "--inferences", 500, "--json")
    killer.join()
    assert shown.exit_code == 1
    assert shown.stdout == ""
    assert "nothing answers ssh there" in shown.stderr.splitlines()[-1]


def test_model_that_crashes_the_runtime_is_reported_with_the_signal(start, model, runtime_that):
    there = start(**runtime_that("ctypes.string_at(0)"))
    shown = run("profile", model.path, "--device", there.device())
    assert shown.exit_code == 1
    assert "bench: benchmark: the runtime ended with signal 11 (SIGSEGV)" in shown.stderr
    assert (there.folder / "tries").read_text() == "x"


@pytest.mark.parametrize(
    ("ending", "code"),
    [
        pytest.param(signal.SIGINT, 1, id="ctrl-c"),
        pytest.param(signal.SIGKILL, -signal.SIGKILL, id="killed"),
    ],
)
def test_nothing_is_left_running_on_the_board(start, model, runtime_that, ending, code):
    there = start(**runtime_that("ctypes.PyDLL(None).sleep(99)"))
    command = [sys.executable, "-m", "edgecv", "profile", model.path, "--device", there.device()]
    host = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True)
    wait_until(lambda: at_work(there))
    host.send_signal(ending)
    assert host.wait(SECONDS) == code
    wait_until(lambda: not there.sessions())
    said = host.communicate()[1]
    assert "Traceback" not in said
    assert "goes on" not in said  # a measurement does not
