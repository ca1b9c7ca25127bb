"""Device files, and `edgecv devices` on boards behind a real sshd."""

import base64
import hashlib
import json
import os
import signal
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from click.testing import CliRunner

from edgecv.cli import main
from edgecv.device import description, doctor
from edgecv.errors import RecipeError
from tests import sshd
from tests.waiting import SECONDS, wait_until

ROOT = Path(__file__).parent.parent
SHIPPED = sorted((ROOT / "devices").glob("*.toml"))
NAMES = {
    "rpi3b_plus",
    "rpi4",
    "rpi5",
    "rpi_zero2w",
    "coral_usb_rpi4",
    "coral_dev_board",
    "coral_dev_board_mini",
    "host",
    "emulated_pi",
}


@pytest.fixture(autouse=True)
def own_devices(tmp_path, monkeypatch):
    """A user's folder without devices."""
    monkeypatch.setenv("EDGECV_DEVICES", str(tmp_path / "devices"))
    return tmp_path / "devices"


@pytest.fixture
def start(tmp_path, monkeypatch):
    with sshd.boards(tmp_path, monkeypatch) as start:
        yield start


def run(*arguments):
    return CliRunner().invoke(main, [str(each) for each in arguments])


def site(tmp_path, code):
    """An environment in which every Python runs this first."""
    folder = tmp_path / "site"
    folder.mkdir(exist_ok=True)
    (folder / "sitecustomize.py").write_text(code)
    return {"PYTHONPATH": str(folder)}


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_every_shipped_device_loads_and_names_its_sources(path):
    device = description.load(path)
    assert device.name == path.stem
    assert device.board.sources
    assert description.find(path.stem) == device


def test_the_devices_that_were_asked_for_are_there():
    assert {path.stem for path in SHIPPED} == NAMES
    assert description.find("rpi5").board.dot_product
    assert description.find("rpi4").board.dot_product is False
    assert description.find("coral_usb_rpi4").delegate == "edgetpu"
    assert description.find("emulated_pi").board.emulated


@pytest.mark.parametrize(
    ("model", "name"),
    [
        ("Raspberry Pi 4 Model B Rev 1.4", "rpi4"),
        ("Raspberry Pi 3 Model B Plus Rev 1.3", "rpi3b_plus"),
        ("Raspberry Pi 5 Model B Rev 1.0", "rpi5"),
        ("Raspberry Pi Zero 2 W Rev 1.0", "rpi_zero2w"),
        ("Freescale i.MX8MQ Phanbell", "coral_dev_board"),
    ],
)
def test_board_is_known_by_its_device_tree(model, name):
    assert description.find_by_model(model).name == name


def test_unknown_board_is_not_taken_for_another():
    assert description.find_by_model("Raspberry Pi 3 Model B Rev 1.2") is None
    assert description.find_by_model("AMD EPYC") is None


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ('host = "x"\nthreds = 4', "threds: unknown key; did you mean 'threads'?"),
        ('host = "x"\nruntime = "litter"', "runtime: must be auto | litert | tflite, got 'litter'"),
        ('host = "x"\nthreads = 0', "threads: must be 1 to 64, got 0"),
        ('host = "x"\naffinity = 3', "affinity: must be a list, got 3"),
        ('host = "x"\naffinity = ["3"]', "affinity: must be a whole number, 0 to 255, got '3'"),
        ('host = "x"\n[board]\nclock = 4', "board.clock: unknown key; did you mean 'clock_mhz'?"),
        ('host = "x"\n[board]\ndot_product = 1', "dot_product: must be true or false, got 1"),
        ('host = "x"\nboard = 4', "board: must be a table, got 4"),
        ('host = "x"\n[board]\nruntimes = ["tf"]', "runtimes: must be litert | tflite, got 'tf'"),
        ("threads = 4", "host: missing; what ssh accepts, or 'local' for this machine"),
        ('host = "x', "not a readable TOML file"),
    ],
)
def test_a_mistake_in_a_device_file_is_one_line_that_names_it(tmp_path, lines, said):
    (tmp_path / "pi.toml").write_text(lines)
    shown = run("devices", "check", tmp_path / "pi.toml")
    assert shown.exit_code == 2
    assert f"{tmp_path}/pi.toml: " in shown.stderr
    assert said in shown.stderr
    assert len(shown.stderr.strip().splitlines()) == 1


def test_unknown_device_names_the_nearest():
    shown = run("devices", "check", "rpi6")
    assert shown.exit_code == 2
    assert "device 'rpi6': not known" in shown.stderr
    assert "did you mean 'rpi" in shown.stderr


def test_a_users_device_is_found_by_its_name_and_goes_before_the_shipped(own_devices):
    own_devices.mkdir()
    (own_devices / "rpi4.toml").write_text('host = "pi@desk"\naffinity = [2, 3]\ncooldown = 5')
    found = description.find("rpi4")
    assert (found.host, found.affinity, found.cooldown) == ("pi@desk", (2, 3), 5.0)
    listed = {each["name"]: each for each in json.loads(run("devices", "list", "--json").stdout)}
    assert set(listed) == NAMES
    assert listed["rpi4"]["host"] == "pi@desk"


def test_saved_device_is_the_same_when_it_is_read_again(own_devices):
    device = description.find("rpi5")
    path = description.save(device)
    assert path == own_devices / "rpi5.toml"
    assert description.load(path) == device
    with pytest.raises(RecipeError, match=r"rpi5\.toml: is there already; choose another --name"):
        description.save(device)


def test_list_says_what_each_board_is():
    lines = run("devices", "list").stdout.splitlines()
    line = next(each for each in lines if each.startswith("rpi5 "))
    assert line.split(maxsplit=2)[1:] == [
        "pi@raspberrypi.local",
        "4 Cortex-A76 at 2400 MHz, dot product",
    ]


def test_check_of_this_machine_is_json(tmp_path):
    shown = run("devices", "check", "host", "--json")
    found = {each["check"]: each for each in json.loads(shown.stdout)}
    assert len(found) == len(doctor.CHECKS) + 1
    assert found["python"]["found"] == ".".join(map(str, sys.version_info[:3]))
    assert "litert" in found["runtime"]["found"]
    assert shown.exit_code == (3 if "problem" in {each["status"] for each in found.values()} else 0)


def test_check_of_a_board_out_of_reach_is_a_problem(start):
    there = start()
    path = there.device()
    there.stop()
    shown = run("devices", "check", path)
    assert shown.exit_code == 3
    assert "problem  reachable    board: nothing answers ssh there" in shown.stdout
    assert shown.stderr.strip().endswith("not fit: reachable")


def test_what_comes_next_on_an_emulated_board_is_not_refused_there(start):
    path = start().device()
    path.write_text(path.read_text() + "[board]\nemulated = true\n")
    shown = run("devices", "check", path)
    assert shown.exit_code == 0, shown.stderr
    assert shown.stdout.splitlines()[-1] == f"Next: edgecv profile MODEL --device {path} --count"


def test_the_c_library_is_asked_for_its_version(start, tmp_path):
    """Not the Python for that which it was linked with, as `platform` does before 3.8."""
    code = "import platform; platform.libc_ver = lambda: ('glibc', '2.9')"
    shown = run("devices", "check", start(**site(tmp_path, code)).device(), "--json")
    found = {each["check"]: each for each in json.loads(shown.stdout)}
    assert f"glibc {found['glibc']['found']}" == os.confstr("CS_GNU_LIBC_VERSION")
    assert "check bench" in shown.stderr  # what it is doing, as it takes a board a while


def test_numpy_2_beside_tflite_runtime_is_a_problem(start, tmp_path):
    code = "import sys, numpy\nnumpy.__version__ = '2.1.3'\nsys.modules['ai_edge_litert'] = None\n"
    shown = run("devices", "check", start(**site(tmp_path, code)).device(), "--json")
    pytest.importorskip("tflite_runtime")
    found = {each["check"]: each for each in json.loads(shown.stdout)}
    assert shown.exit_code == 3
    assert (found["numpy"]["status"], found["numpy"]["found"]) == ("problem", "2.1.3")
    assert found["numpy"]["command"].startswith(f"{sys.executable} -m pip install ")


def test_a_runtime_that_is_imported_but_cannot_run_a_model_is_a_problem(start, tmp_path):
    """As a wheel for a newer processor, whose instructions end it at the first inference."""
    package = tmp_path / "site" / "ai_edge_litert"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("__version__ = '2.3.0'")
    (package / "interpreter.py").write_text(
        "import os, signal\ndef Interpreter(**_): os.kill(os.getpid(), signal.SIGILL)\n"
    )
    shown = run("devices", "check", start(PYTHONPATH=str(package.parent)).device(), "--json")
    found = {each["check"]: each for each in json.loads(shown.stdout)}["runtime"]
    assert shown.exit_code == 3
    words = "the runtime ended with signal 4 (SIGILL): its wheel is built for a newer core"
    assert found["found"].startswith(words)


def test_no_runtime_is_a_problem_with_the_command_that_mends_it(start, tmp_path):
    code = "import sys; sys.modules.update(ai_edge_litert=None, tflite_runtime=None)"
    shown = run("devices", "check", start(**site(tmp_path, code)).device())
    assert shown.exit_code == 3
    assert "problem  runtime      none installed" in shown.stdout
    assert (
        "-m pip install --disable-pip-version-check --only-binary :all: 'ai-edge-litert=="
        in shown.stdout
    )


def fake_wheel(folder, name, version, module, code):
    """A wheel with one module, for a pip that reaches no index."""
    info = f"{name}-{version}.dist-info"
    files = {
        f"{module}.py": code,
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    digests = {
        path: base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=").decode()
        for path, text in files.items()
    }
    record = "".join(f"{path},sha256={digests[path]},{len(files[path])}\n" for path in files)
    folder.mkdir(exist_ok=True)
    with zipfile.ZipFile(folder / f"{name}-{version}-py3-none-any.whl", "w") as wheel:
        for path, text in {**files, f"{info}/RECORD": f"{record}{info}/RECORD,,\n"}.items():
            wheel.writestr(path, text)


@pytest.mark.slow
def test_install_puts_the_runtime_into_a_venv_of_its_own(start, tmp_path):
    """With real venv and pip; the wheels hold no more than what an import needs."""
    shelf = tmp_path / "wheels"
    code = (
        "import sys\n__path__ = []\n__version__ = '2.3.0'\n"
        "sys.modules[__name__ + '.interpreter'] = sys"
    )
    fake_wheel(shelf, "ai_edge_litert", "2.3.0", "ai_edge_litert", code)
    there = start(PIP_NO_INDEX="1", PIP_FIND_LINKS=str(shelf), PATH=own_path(tmp_path))
    path = there.device(python="")
    shown = run("devices", "check", path, "--install", "--json")
    found = {each["check"]: each for each in json.loads(shown.stdout)}
    assert found["runtime"] == {"check": "runtime", "status": "ok", "found": "litert 2.3.0"}
    assert (there.home / ".cache/edgecv/board/venv/bin/python").exists()
    shown = run("devices", "clean", path)
    assert shown.exit_code == 0, shown.stderr
    assert not (there.home / ".cache/edgecv/board").exists()


def own_path(tmp_path):
    """A PATH whose python3 has no runtime installed."""
    folder = tmp_path / "bin"
    folder.mkdir()
    (folder / "python3").symlink_to(Path(sys.base_prefix) / "bin" / "python3")
    return f"{folder}:{os.environ['PATH']}"


def python_that(tmp_path, *lines):
    """A PATH whose python3 does this first; `$*` is what it is asked."""
    path = own_path(tmp_path)
    python = tmp_path / "bin" / "python3"
    real = python.readlink()
    python.unlink()
    python.write_text("\n".join(["#!/bin/sh", *lines, f'exec {real} "$@"', ""]))
    python.chmod(0o755)
    return path


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ('[ "$2" = venv ] && { echo "no space" >&2; exit 1; }', "no space"),
        (
            'case "$*" in *ensurepip*) exit 1 ;; esac',
            "python3 lacks venv; on the board: sudo apt-get install python3-venv",
        ),
    ],
)
def test_install_that_fails_says_why(start, tmp_path, line, words):
    path = start(PATH=python_that(tmp_path, line)).device(python="")
    shown = run("devices", "check", path, "--install")
    assert shown.exit_code == 1
    assert shown.stderr.splitlines()[-1] == f"Error: bench: {words}"


@pytest.mark.parametrize("ending", [signal.SIGINT, signal.SIGKILL], ids=["ctrl-c", "killed"])
def test_install_ends_with_the_command(start, tmp_path, ending):
    there = start(PATH=python_that(tmp_path, '[ "$2" = venv ] && sleep 600'))
    command = [sys.executable, "-m", "edgecv", "devices", "check", there.device(python="")]
    host = subprocess.Popen([*command, "--install"], cwd=ROOT)

    def sleeping():
        below = sshd.descendants(there.process.pid)
        return [pid for pid in below if sshd.command_line(pid).startswith("sleep")]

    wait_until(sleeping)
    (pid,) = sleeping()
    host.send_signal(ending)
    host.wait(SECONDS)
    wait_until(lambda: not sshd.runs(pid))


def test_install_leaves_a_python_of_the_user_alone(start, tmp_path):
    code = "import sys; sys.modules.update(ai_edge_litert=None, tflite_runtime=None)"
    shown = run("devices", "check", start(**site(tmp_path, code)).device(), "--install")
    assert shown.exit_code == 1
    assert "bench: its Python is yours to change: " in shown.stderr


def test_add_writes_a_file_that_profile_and_check_find(start, own_devices):
    there = start()
    arguments = ("board", "--ssh-config", there.config, "--python", sys.executable)
    shown = run("devices", "add", *arguments, "--name", "desk")
    assert shown.exit_code == 0, shown.stderr
    assert shown.stdout.splitlines()[-1] == "Next: edgecv devices check desk"
    device = description.find("desk")
    assert (device.host, device.ssh_config) == ("board", str(there.config))
    machine = json.loads(run("devices", "list", "--json").stdout)[-1]
    assert machine["name"] == "desk"
    assert machine["board"]["model"] == device.board.model != ""
    assert device.board.cores == len(os.sched_getaffinity(0))
    assert run("devices", "check", "desk").stdout.startswith("ok       reachable    board")
    again = run("devices", "add", *arguments, "--name", "desk")
    assert again.exit_code == 2
    assert "desk.toml: is there already" in again.stderr


def test_add_of_a_board_that_refuses_writes_nothing(start, own_devices):
    there = start()
    sshd.make_key(there.folder / "user_key")
    shown = run("devices", "add", "board", "--ssh-config", there.config)
    assert shown.exit_code == 1
    assert shown.stderr.startswith("Error: board: refused your key")
    assert not own_devices.exists()


@pytest.mark.parametrize("name", ["../evil", "", "a b"])
def test_name_of_a_device_is_the_name_of_a_file(name):
    shown = run("devices", "add", "pi@nowhere.invalid", "--name", name)
    assert shown.exit_code == 2
    assert "--name: must be letters" in shown.stderr
