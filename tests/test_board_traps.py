"""Boards and ssh configurations as people have them, behind a real sshd."""

import json
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from edgecv.cli import main
from edgecv.demo import remote, service
from edgecv.demo.options import DemoModel, DemoOptions
from edgecv.device import board, checkup, conditions, description, ssh
from edgecv.device.checkup import TRIAL
from edgecv.device.link import local
from edgecv.errors import DeviceError
from edgecv.tflite import flatbuffer
from tests import coral_models, sshd

HELLO = {
    **dict.fromkeys(("executable", "system", "machine", "cpu"), "x"),
    **{"python": "3.9.2", "cores": 4, "emulated": False},
}


@pytest.fixture
def start(tmp_path, monkeypatch):
    with sshd.boards(tmp_path, monkeypatch) as start:
        yield start


@pytest.fixture
def firmware_that(tmp_path, monkeypatch):
    """A `vcgencmd` of these lines of shell, alone on the PATH with what it needs."""

    def install(*lines):
        path = tmp_path / "bin" / "vcgencmd"
        path.parent.mkdir()
        path.write_text("\n".join(["#!/bin/sh", *lines, ""]))
        path.chmod(0o755)
        monkeypatch.setenv("PATH", f"{path.parent}:/usr/bin:/bin")

    return install


def test_a_login_shell_that_is_csh_starts_the_agent(start):
    if not shutil.which("tcsh"):
        pytest.skip("needs tcsh")
    there = start(greeting='exec tcsh -f -c "$SSH_ORIGINAL_COMMAND"')
    with board.connect(description.load(there.device())) as agent:
        assert agent.machine["cores"]


def test_forwards_and_commands_of_the_users_configuration_are_left_out(start):
    there = start()
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        own = f"  LocalForward 127.0.0.1:{port} localhost:1\n  RemoteCommand sleep 99\n"
        there.config.write_text(there.config.read_text() + own + "  ExitOnForwardFailure yes\n")
        with board.connect(description.load(there.device())) as agent:
            assert agent.machine["cores"]


def test_arguments_reach_the_board_as_they_are(start):
    device = description.load(start().device())
    words = ("two words", "it's", "a\nb", "$HOME!", "", "ü")
    script = 'printf "%s|" "$@"'
    assert ssh.shell(device, script, *words, seconds=30) == "".join(f"{word}|" for word in words)


def test_the_demo_is_refused_on_an_old_python_before_anything_is_copied(start, tmp_path):
    (tmp_path / "python").write_text(f"#!/bin/sh\nread -r _\ncat {tmp_path}/hello\nexec cat\n")
    (tmp_path / "python").chmod(0o755)
    (tmp_path / "hello").write_text(json.dumps({"result": HELLO}) + "\n")
    device = description.load(start().device(python=str(tmp_path / "python")))
    options = DemoOptions(models=(DemoModel(str(tmp_path / "none.tflite"), "none", ()),))
    words = r"bench: the demo needs Python 3\.11, there is 3\.9\.2; name a newer one"
    with pytest.raises(DeviceError, match=words):
        remote.place_demo(device, options)
    with pytest.raises(DeviceError, match=words):
        remote.install(device)


def test_a_board_that_forwards_nothing_says_so_instead_of_an_empty_page(start, tmp_path):
    python = tmp_path / "python"
    python.write_text("#!/bin/sh\necho '{\"ready\": 0}'\nexec cat > /dev/null\n")
    python.chmod(0o755)
    device = description.load(start().device(python=str(python)))
    options = DemoOptions(models=(DemoModel("m.tflite", "m", ()),))
    session = remote.Session(device, "demo.zip", options, "page")
    with (
        session,
        pytest.raises(DeviceError, match=r"bench: .* forwards nothing, .*AllowStreamLocal"),
    ):
        list(session.lines())


def test_a_port_of_this_machine_that_is_taken_is_named(start):
    device = description.load(start().device())
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        options = DemoOptions(models=(), port=port)
        with pytest.raises(DeviceError, match=f"--port: {port} of this machine cannot be listened"):
            remote.Session(device, "demo.zip", options, "page")


@pytest.fixture
def systemd(tmp_path, monkeypatch):
    """A user's systemd that takes every order."""
    for name in ("systemctl", "loginctl"):
        (tmp_path / name).write_text("#!/bin/sh\n")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("XDG_CONFIG_HOME", "XDG_DATA_HOME"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "demo.zip").write_bytes(b"")
    return tmp_path


def test_a_service_looks_at_a_file_by_its_whole_path(systemd, monkeypatch):
    monkeypatch.chdir(systemd)
    Path("clip.mp4").write_bytes(b"")
    service.install(DemoOptions(models=(), source="clip.mp4", port=0), Path("demo.zip"))
    order = json.loads((systemd / ".local/share/edgecv/demo/order.json").read_text())
    assert order["options"]["source"] == str(systemd / "clip.mp4")


def test_a_service_whose_port_is_taken_is_not_started(systemd):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        options = DemoOptions(models=(), source="synthetic", port=taken.getsockname()[1])
        words = f"is written, but not started: 127.0.0.1, port {options.port}: cannot be listened"
        with pytest.raises(DeviceError, match=words):
            service.install(options, systemd / "demo.zip")


def test_a_port_behind_a_host_is_answered_with_how_ssh_takes_it(tmp_path):
    device = description.Device(name="x", host="pi@nowhere.invalid:2222")
    with pytest.raises(DeviceError, match=r"no machine of that name.*ssh://USER@HOST:PORT"):
        board.connect(device)


def test_firmware_that_refuses_is_no_answer_but_a_reason(firmware_that):
    firmware_that("echo VCHI initialization failed", "exit 255")
    with local() as agent:
        probed = agent.call("probe")
    assert probed["throttled"] is None
    assert probed["firmware_error"] == "VCHI initialization failed"


def test_firmware_that_hangs_is_asked_once(firmware_that, tmp_path, monkeypatch):
    firmware_that(f"echo >> {tmp_path}/asked", "exec sleep 99")
    monkeypatch.setattr(conditions, "FIRMWARE_SECONDS", 0.1)
    monkeypatch.setattr(conditions, "FIRMWARE_ERRORS", [])
    assert [conditions.ask_firmware("get_throttled") for _ in range(3)] == [
        (None, "no answer in 0.1 s")
    ] * 3
    assert (tmp_path / "asked").read_text() == "\n"


def test_installing_into_a_home_that_runs_no_programs_says_so(start, tmp_path):
    """As on a disk that is mounted noexec: here, by a chmod that does nothing."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for name in ("chmod",):
        (folder / name).write_text("#!/bin/sh\n")
        (folder / name).chmod(0o755)
    there = start(PATH=f"{folder}:/usr/bin:/bin")
    device = description.load(there.device(python=""))
    with pytest.raises(DeviceError, match=r"bench: the home there runs no programs \(noexec\)"):
        checkup.install_there(device, "true")


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ("ERROR: No matching distribution found for numpy<2", "must name piwheels"),
        ("ERROR: [Errno 28] No space left on device", "the disk of its home is full"),
    ],
)
def test_a_failed_installation_says_what_to_do(start, said, words):
    device = description.load(start().device(python=""))
    with pytest.raises(DeviceError, match=words) as caught:
        checkup.install_there(device, f"{{ echo '{said}'; false; }}")
    assert "\n" not in str(caught.value)


def test_a_systems_own_python_is_found_out():
    python = Path("/usr/bin/python3")
    code = f"import sys; sys.path.insert(0, {str(Path(conditions.__file__).parent)!r})\n"
    code += "import conditions; print(conditions.externally_managed())"
    shown = subprocess.run([python, "-c", code], capture_output=True, text=True)
    marker = [*Path("/usr/lib").glob("python3*/EXTERNALLY-MANAGED")]
    if not (python.exists() and marker):
        pytest.skip("needs a system Python that pip may not change")
    assert shown.stdout.strip() == "True"
    assert sys.prefix == sys.base_prefix or not conditions.externally_managed()


def test_check_does_not_end_over_a_runtime_that_no_wheel_fits(start):
    path = start().device(python="/nowhere/python")
    shown = CliRunner().invoke(main, ["devices", "check", str(path)])
    assert shown.exit_code == 3
    assert "cannot start /nowhere/python; name another as `python`" in shown.stdout


def test_the_model_that_a_board_is_tried_with_is_made_by_our_own_lines():
    assert TRIAL.read_bytes() == flatbuffer.serialized(coral_models.classifier(10))
