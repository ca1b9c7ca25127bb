"""The demo on a board behind a real ssh server, and as a service of systemd."""

import configparser
import dataclasses
import json
import os
import re
import shlex
import shutil
import signal
import stat
import subprocess
import sys
import time
import urllib.request
import zipfile
from pathlib import Path

import cv2
import pytest

from edgecv.demo import bundle, model_facts, remote, service
from edgecv.demo.options import DemoOptions
from edgecv.device import description
from edgecv.errors import DataError, DeviceError
from tests import sshd
from tests.demo_models import demo_models
from tests.test_devices import fake_wheel, own_path
from tests.waiting import SECONDS, wait_until


@pytest.fixture
def start(tmp_path, monkeypatch):
    with sshd.boards(tmp_path, monkeypatch) as start:
        yield start


@pytest.fixture(scope="module")
def options():
    return DemoOptions(model_facts.describe(demo_models()), "synthetic", (160, 120))


def edgecv(*arguments, **environment):
    command = [sys.executable, "-m", "edgecv", "demo", *map(str, arguments)]
    env = {**os.environ, **environment}
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                            env=env)  # fmt: skip


def state(url):
    with urllib.request.urlopen(f"{url}state", timeout=SECONDS) as answer:
        return json.load(answer)


def ask(url, path, body):
    data, kind = json.dumps(body).encode(), {"Content-Type": "application/json"}
    with urllib.request.urlopen(urllib.request.Request(url + path, data, kind)) as answer:
        return json.load(answer)


def test_the_archive_is_the_same_each_time_and_needs_no_edgecv(tmp_path):
    first, second = (bundle.build(tmp_path / each) for each in "ab")
    assert (first.name, first.read_bytes()) == (second.name, second.read_bytes())
    with zipfile.ZipFile(first) as archive:
        names = set(archive.namelist())
    assert {"__main__.py", "edgecv/demo/page.html", "edgecv/device/conditions.py"} <= names
    assert not [each for each in names if re.match(r"edgecv/(train|models|convert|cli)", each)]
    code = (
        "import sys; sys.path[:] = [p for p in sys.path if 'editable' not in p]\n"
        f"sys.path.insert(0, {str(first)!r})\n"
        "import edgecv.demo.board; print(edgecv.__file__, sorted({m.split('.')[0] for m in"
        " sys.modules} & {'click', 'rich', 'tomli_w', 'jinja2', 'tensorflow'}))"
    )
    shown = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, text=True,
                           cwd=tmp_path)  # fmt: skip
    assert shown.stdout == f"{first}/edgecv/__init__.py []\n", shown.stderr


def test_a_demo_is_watched_through_the_tunnel_and_ends_with_it(start, tmp_path):
    there = start()
    snapshots = tmp_path / "kept"
    desk = edgecv(*demo_models(), "--device", there.device(), "--source", "synthetic",
                  "--snapshots", snapshots)  # fmt: skip
    url = desk.stdout.readline().strip()
    assert re.fullmatch(r"http://127\.0\.0\.1:\d+/", url), desk.communicate()[1]
    frames = state(url)["frames"]
    wait_until(lambda: state(url)["frames"] > frames)
    assert urllib.request.urlopen(url).read().startswith(b"<!doctype html>")
    said = ask(url, "snapshot", {"label": "stop"})
    wait_until(lambda: list(snapshots.glob("stop/2*.jpg")))
    [file] = snapshots.glob("stop/2*.jpg")
    assert said["file"].startswith(f"stop/{file.name}")
    assert cv2.imread(str(file)).shape == (480, 640, 3)
    assert demos(there)
    sockets = sockets_of(desk.pid)
    assert sockets and all(path.exists() for path in sockets)
    desk.send_signal(signal.SIGINT)
    _, words = desk.communicate(timeout=SECONDS)
    assert desk.returncode == 0, words
    assert f"snapshot: {file}" in words
    wait_until(lambda: not demos(there))
    wait_until(lambda: not any(path.exists() for path in sockets))
    assert not list(there.home.glob("snapshots"))


def sockets_of(pid):
    """The sockets that a demo's tunnel joins, as its ssh client was told."""
    lines = " ".join(sshd.command_line(child) for child in sshd.descendants(pid))
    return {Path(path) for path in re.findall(r"/tmp/edgecv-demo-[0-9a-f]{32}", lines)}


def demos(there):
    """The demo's processes on a board."""
    return [pid for pid in there.sessions() if "/board/" in sshd.command_line(pid)]


def test_a_desk_that_dies_leaves_nothing_running(start):
    there = start()
    desk = edgecv(demo_models().int8, "--device", there.device(), "--source", "synthetic",
                  "--headless")  # fmt: skip
    assert json.loads(desk.stdout.readline())["top"]
    running = demos(there)
    assert running
    os.kill(desk.pid, signal.SIGKILL)
    desk.communicate()
    wait_until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in running))


def test_a_board_that_hears_nothing_ends_by_itself(options, tmp_path):
    """A cable that is pulled closes nothing: the beats cease."""
    archive = bundle.build(tmp_path)
    code = "import sys; sys.path.insert(0, sys.argv[1]); from edgecv.demo import board;\n"
    code += "board.SILENCE_SECONDS = 2.0; sys.exit(board.main(sys.argv[:1]))"
    running = subprocess.Popen([sys.executable, "-c", code, archive], stdin=subprocess.PIPE,
                               stdout=subprocess.PIPE)  # fmt: skip
    changed = dataclasses.replace(options, port=0, snapshots="")
    order = {"do": "page", "options": dataclasses.asdict(changed)}
    running.stdin.write(json.dumps(order).encode() + b"\n")
    running.stdin.flush()
    assert "ready" in json.loads(running.stdout.readline())
    for _ in range(8):  # longer than the silence that it bears
        time.sleep(0.5)
        running.stdin.write(b"\n")
        running.stdin.flush()
    assert running.poll() is None
    assert running.wait(SECONDS) == 0
    running.stdin.close()
    running.stdout.close()


def test_a_board_that_goes_is_said(start):
    there = start()
    desk = edgecv(demo_models().int8, "--device", there.device(), "--source", "synthetic",
                  "--headless")  # fmt: skip
    assert desk.stdout.readline()
    there.stop()
    _, said = desk.communicate(timeout=SECONDS)
    assert desk.returncode == 1
    assert len(said.strip().splitlines()) <= 3
    assert said.strip().splitlines()[-1].startswith("Error: bench: ")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--source", "77"], "bench: /dev/video77: no such camera"),
        (["--source", "film.mp4"], "bench: --source: 'film.mp4': no such file"),
    ],
)
def test_what_is_wrong_on_the_board_is_one_line_with_its_name(start, arguments, said):
    desk = edgecv(demo_models().int8, "--device", start().device(), *arguments)
    _, words = desk.communicate(timeout=SECONDS)
    assert desk.returncode == 1
    last = words.strip().splitlines()[-1]
    assert last.startswith(f"Error: {said}")
    assert "Traceback" not in words


def test_what_a_board_lacks_comes_with_the_line_to_type(start, tmp_path):
    site = tmp_path / "site"
    site.mkdir()
    (site / "sitecustomize.py").write_text(
        "import importlib.util as u; found = u.find_spec\n"
        "u.find_spec = lambda n, *a: None if n in ('cv2', 'tornado') else found(n, *a)\n"
    )
    there = start(PYTHONPATH=str(site))
    desk = edgecv(demo_models().int8, "--device", there.device(), "--source", "synthetic")
    _, words = desk.communicate(timeout=SECONDS)
    assert desk.returncode == 1
    assert "bench: lacks opencv-python-headless, tornado: ssh " in words
    assert f"{sys.executable} -m pip install" in words
    assert "tornado>=6.4" in words


def test_install_leaves_a_python_of_the_user_alone(start):
    there = start()
    desk = edgecv(demo_models().int8, "--device", there.device(), "--install")
    _, words = desk.communicate(timeout=SECONDS)
    assert desk.returncode == 1
    assert "bench: its Python is yours to change: " in words


@pytest.mark.slow
def test_install_puts_what_is_missing_into_edgecvs_own_venv(start, tmp_path):
    """With real venv and pip; the wheels hold no more than what an import needs."""
    shelf = tmp_path / "wheels"
    runtime = "import sys; __path__ = []; sys.modules[__name__ + '.interpreter'] = sys"
    for name, version, module in (
        ("ai_edge_litert", "2.3.0", "ai_edge_litert"),
        ("opencv_python_headless", "4.11.0", "cv2"),
        ("tornado", "6.6.1", "tornado"),
    ):
        fake_wheel(shelf, name, version, module, runtime)
    there = start(PIP_NO_INDEX="1", PIP_FIND_LINKS=str(shelf), PATH=own_path(tmp_path))
    remote.install(description.load(there.device(python="")))
    python = there.home / ".cache/edgecv/board/venv/bin/python"
    code = "import ai_edge_litert, cv2, tornado; print(cv2.__file__)"
    shown = subprocess.run([python, "-c", code], capture_output=True, text=True)
    assert shown.stdout.startswith(str(python.parents[1])), shown.stderr


def test_an_old_python_is_named():
    source = Path(bundle.START).read_text()
    old = source.replace("OLDEST = (3, 11)", "OLDEST = (9, 9)")
    assert old != source
    shown = subprocess.run([sys.executable, "-c", old], capture_output=True, text=True)
    assert shown.returncode == 1
    assert re.match(r"the demo needs Python 3.11, \S+ is 3\.\d+", json.loads(shown.stdout)["error"])


@pytest.mark.parametrize(
    "sent",
    [
        {"label": "../../evil", "name": "20260101-000000-000000.jpg", "jpeg": ""},
        {"label": "stop", "name": "../evil.jpg", "jpeg": ""},
        {"label": "stop", "name": "20260101-000000-000000.jpg", "jpeg": "no base64"},
        {"label": "stop"},
        "text",
    ],
)
def test_a_snapshot_from_a_board_stays_in_its_folder(tmp_path, sent):
    with pytest.raises(DataError):
        remote.write_snapshot(tmp_path / "snapshots", {"snapshot": sent})
    assert not list(tmp_path.rglob("*.jpg"))


@pytest.fixture
def own_home(tmp_path, monkeypatch):
    """A user without a running systemd, as in containers; the folders are the test's."""
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_RUNTIME_DIR", "DBUS_SESSION_BUS_ADDRESS"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


@pytest.fixture
def installed(own_home, options, monkeypatch):
    """The unit's path, in a folder whose name systemd has to be told with care."""
    monkeypatch.setenv("XDG_DATA_HOME", str(own_home / 'da ta 100% "$x"'))
    changed = dataclasses.replace(options, port=0, token="t" * 16)
    with pytest.raises(DeviceError, match=r"edgecv-demo.service: is written, but not started: "):
        service.install(changed, bundle.build(own_home / "built"))
    return service.unit_path()


def test_the_unit_is_one_that_systemd_understands(installed):
    assert installed.parent.parts[-2:] == ("systemd", "user")
    unit = configparser.ConfigParser(interpolation=None, strict=True)
    unit.optionxform = str
    unit.read(installed)
    assert unit["Install"]["WantedBy"] == "default.target"
    assert unit["Service"]["Restart"] == "on-failure"
    if not shutil.which("systemd-analyze"):
        pytest.skip("no systemd-analyze")
    command = ["systemd-analyze", "--user", "verify", "--man=no", installed]
    checked = subprocess.run(command, capture_output=True, text=True)
    ours = [line for line in checked.stderr.splitlines() if "edgecv-demo" in line]
    assert ours == []


def test_the_unit_s_command_serves_the_page(installed):
    [line] = [x for x in installed.read_text().splitlines() if x.startswith("ExecStart=")]
    assert not re.search(r"(?<!\$)\$(?!\$)|(?<!%)%(?!%)", line)  # systemd would replace those
    words = shlex.split(line.removeprefix("ExecStart=").replace("$$", "$").replace("%%", "%"))
    assert stat.S_IMODE(Path(words[-1]).stat().st_mode) == 0o600
    running = subprocess.Popen(words, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL)
    try:
        port = json.loads(running.stdout.readline())["ready"]
        asked = urllib.request.Request(f"http://127.0.0.1:{port}/state",
                                       headers={"Authorization": f"Bearer {'t' * 16}"})  # fmt: skip
        with urllib.request.urlopen(asked) as answer:
            assert json.load(answer)["running"]
    finally:
        running.send_signal(signal.SIGTERM)
        running.communicate(timeout=SECONDS)
    assert running.returncode == 0


def test_remove_leaves_nothing(installed):
    folder = Path(os.environ["XDG_DATA_HOME"]) / "edgecv" / "demo"
    assert (folder / "signs_int8.tflite").exists()
    assert "removed" in service.remove()
    assert not installed.exists()
    assert not folder.exists()
    assert "is not there" in service.remove()


def test_a_service_is_written_on_the_board_and_removed(start):
    there = start()
    device = there.device()
    desk = edgecv(demo_models().int8, "--device", device, "--source", "synthetic", "--service")
    _, words = desk.communicate(timeout=SECONDS)
    unit = there.home / ".config/systemd/user/edgecv-demo.service"
    assert unit.exists(), words
    assert "bench: " in words
    assert "is written, but not started: systemctl --user" in words
    assert str(there.home / ".local/share/edgecv/demo/demo.zip") in unit.read_text()
    desk = edgecv("--device", device, "--service", "remove")
    said, words = desk.communicate(timeout=SECONDS)
    assert desk.returncode == 0, words
    assert "edgecv-demo.service: removed" in said
    assert not unit.exists()
    assert not (there.home / ".local/share/edgecv").exists() or not list(
        (there.home / ".local/share/edgecv").iterdir()
    )


def test_two_demos_on_one_board_do_not_meet(start, options):
    device = description.load(start().device())
    archive, there = remote.place_demo(device, options)
    there = dataclasses.replace(there, snapshots="")
    with (
        remote.Session(device, archive, there, "page") as first,
        remote.Session(device, archive, there, "page") as second,
    ):
        for each in (first, second):
            assert "ready" in next(each.lines())
        assert first.port != second.port
        ask(f"http://127.0.0.1:{first.port}/", "control", {"running": False})
        assert state(f"http://127.0.0.1:{second.port}/")["running"]
