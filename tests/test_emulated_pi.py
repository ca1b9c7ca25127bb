"""The emulated Pi: a real ssh server in real aarch64 programs; what runs there is what a Pi runs.

Needs qemu-user-static, qemu-user, gcc, user namespaces and Debian's packages, and skips without.
"""

import functools
import json
import os
import re
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from edgecv.cli.emulate import emulate as command
from edgecv.device import emulate, emulated_board, emulated_root, instructions
from edgecv.errors import DeviceError
from edgecv.recipe import RUNTIMES
from edgecv.tflite import flatbuffer, operators
from tests import emulated_boards
from tests.bench.bench_emulated import show_logits

ROOT = Path(__file__).parent.parent
OUTPUTS = Path(__file__).parent / "bench" / "outputs.py"
PARTS = {"cortex-a53": "0xd03", "cortex-a72": "0xd08", "cortex-a76": "0xd0b"}  # Arm's numbers
NAMESPACES = ("unshare", "--user", "--map-root-user", "--mount", "true")


@functools.cache
def missing():
    """Why no board can be emulated here, or nothing."""
    try:
        emulated_root.check_programs({**emulated_root.NEEDED, **instructions.NEEDED})
    except DeviceError as error:
        return str(error)
    if subprocess.run(NAMESPACES, capture_output=True).returncode:
        return "user namespaces are not allowed"
    return ""


@pytest.fixture(scope="module")
def pi4():
    """A running Pi 4, the same for all tests."""
    if missing():
        pytest.skip(missing())
    return emulated_boards.start("pi4")


@pytest.fixture
def zero2w():
    """A board that no other test uses, not running."""
    if missing():
        pytest.skip(missing())
    emulate.stop("zero2w")
    yield "zero2w"
    emulate.stop("zero2w")


@pytest.fixture(scope="module")
def live_int8(tmp_path_factory):
    """An int8 MobileNetV1 of which every layer is alive, and images: a file each."""
    from edgecv.quantize.calibrate import calibrate
    from edgecv.quantize.int8 import quantize
    from tests.live_models import SIZE, live_tflite, smooth_images

    folder = tmp_path_factory.mktemp("emulated")
    ranges = calibrate(live_tflite("mobilenet_v1"), smooth_images(16, SIZE))
    show_logits(quantize(live_tflite("mobilenet_v1"), ranges, folder / "model.tflite").path)
    np.save(folder / "images.npy", smooth_images(8, SIZE, seed=3))
    return folder


def ssh(board, *words, config=None):
    """What a command on the board printed, as one finished process."""
    ssh_command = ["ssh", "-F", str(config or board.config), board.host, *words]
    return subprocess.run(ssh_command, capture_output=True, text=True, timeout=120)


def said(board, *words):
    done = ssh(board, *words)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip("\0\n")


@pytest.mark.parametrize("board", emulated_board.BOARDS.values(), ids=lambda board: board.name)
def test_a_board_is_served_the_cpuinfo_of_its_core(board):
    assert board.cpuinfo.count(f"CPU part\t: {PARTS[board.cpu]}\n") == emulated_board.CORES
    assert board.model.startswith("Raspberry Pi ")


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_the_boards_wheels_are_the_tested_ones(runtime):
    lines = (ROOT / "constraints.txt").read_text().lower().replace("_", "-").splitlines()
    tested = [line.partition(";")[0] for line in lines]
    lines = (emulated_board.data_folder() / f"{runtime}.txt").read_text().splitlines()
    pins = [line.split() for line in lines if not line.startswith("#")]
    assert {name.replace(".", "-") for name, _ in pins} <= {
        each.replace(".", "-") for each in tested
    }
    assert all(digest.startswith("--hash=sha256:") for _, digest in pins)


def test_an_unknown_board_is_named_with_the_nearest():
    with pytest.raises(DeviceError, match=r"'pi44': not emulated; .*did you mean 'pi4'"):
        emulate.start("pi44")


def test_without_qemu_the_line_to_type_is_said(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(DeviceError, match=r"qemu-aarch64-static.*apt-get install qemu-user-static"):
        emulate.start("pi4")


@pytest.mark.slow
def test_a_session_is_on_the_board(pi4):
    questions = "uname -m; echo $QEMU_CPU; grep -m1 'CPU part' /proc/cpuinfo; whoami"
    expected = ["aarch64", "cortex-a72", "CPU part\t: 0xd08", "pi"]
    assert said(pi4, questions).splitlines() == expected
    model = said(pi4, "cat /sys/firmware/devicetree/base/model")
    assert model == emulated_board.find("pi4").model


@pytest.mark.slow
@pytest.mark.parametrize("environment", ["", "env -i ", "env QEMU_CPU=max "])
def test_int8_of_xnnpack_is_what_the_host_computes(pi4, live_int8, tmp_path, environment):
    """The guard: QEMU's default processor, or the host's /proc/cpuinfo, would fail here."""
    arguments = ["litert", "images.npy", "outputs.npz", "model.tflite"]
    subprocess.run([sys.executable, OUTPUTS, *arguments], check=True, cwd=live_int8)
    files = [OUTPUTS, live_int8 / "images.npy", live_int8 / "model.tflite"]
    subprocess.run(["scp", "-q", "-F", pi4.config, *files, "pi4:"], check=True)
    said(pi4, f"{environment}{pi4.pythons['litert']} outputs.py {' '.join(arguments)}")
    subprocess.run(["scp", "-q", "-F", pi4.config, "pi4:outputs.npz", tmp_path], check=True)
    expected, found = (np.load(each / "outputs.npz") for each in (live_int8, tmp_path))
    assert len(np.unique(expected["model logits"])) > 20
    np.testing.assert_array_equal(found["model logits"], expected["model logits"])
    scores = (each["model scores"].astype(int) for each in (found, expected))
    np.testing.assert_allclose(
        *scores, atol=1
    )  # softmax is not XNNPACK's, and rounds in its own way


@pytest.mark.slow
@pytest.mark.parametrize("runtime", RUNTIMES)
def test_each_runtime_has_its_own_python_and_numpy_1(pi4, runtime):
    package = RUNTIMES[runtime].package
    program = f"import numpy, {package}.interpreter as i; print(numpy.__version__[0], i.__file__)"
    version, file = said(pi4, pi4.pythons[runtime], "-c", f"'{program}'").split()
    assert version == "1"
    assert file.startswith(f"/opt/{runtime}/")


@pytest.mark.slow
def test_another_host_key_is_refused(pi4, tmp_path):
    subprocess.run(
        ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", tmp_path / "k"], check=True
    )
    known = tmp_path / "known_hosts"
    known.write_text(f"edgecv-pi4 {(tmp_path / 'k.pub').read_text()}")
    config = tmp_path / "config"
    config.write_text(f'Host *\n UserKnownHostsFile "{known}"\n{pi4.config.read_text()}')
    done = ssh(pi4, "true", config=config)
    assert done.returncode == 255
    assert "Host key verification failed" in done.stderr


@pytest.mark.slow
def test_a_board_starts_from_the_cache_empty_and_ends_whole(zero2w):
    board = emulate.start(zero2w)
    assert emulate.start(zero2w) == board
    assert said(board, "touch here; ls; touch /etc/here || df -m --output=size /mnt/small") == (
        "here\n1M-blocks\n        1"
    )
    assert ssh(board, "nohup sleep 1000 > /dev/null 2>&1 &").returncode == 0
    assert emulate.stop(zero2w)
    assert not emulate.stop(zero2w)
    assert zero2w not in emulate.running_boards()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", board.port))
    assert said(emulate.start(zero2w), "ls; pgrep sleep || true") == ""


@pytest.mark.slow
def test_the_board_that_is_left_is_the_one_that_is_meant(pi4, zero2w):
    emulate.start(zero2w)
    emulate.stop(zero2w)
    meant = emulate.Running(emulate.LAST, 0, pi4.config, pi4.pythons)
    assert said(meant, "cat", "/proc/cpuinfo").count("0xd08") == 4  # Cortex-A72
    assert emulate.start("pi4") == pi4


@pytest.mark.slow
def test_the_command_starts_and_stops(zero2w):
    started = CliRunner().invoke(command, ["--board", zero2w])
    assert started.exit_code == 0, started.output
    login = re.search(r"^log in +(.+)$", started.stdout, re.MULTILINE)[1].split()
    assert subprocess.run([*login, "nproc"], capture_output=True).returncode == 0
    again = json.loads(CliRunner().invoke(command, ["--board", zero2w, "--json"]).stdout)
    assert (again["host"], str(again["config"])) == (login[-1], login[2])
    stopped = CliRunner().invoke(command, ["--board", zero2w, "--stop"])
    assert stopped.stdout == "zero2w stopped\n"


@pytest.mark.slow
def test_namespaces_that_are_refused_are_one_line(pi4, zero2w, tmp_path, monkeypatch):
    refusing = tmp_path / "unshare"
    refusing.write_text(
        "#!/bin/sh\necho 'unshare: unshare failed: Operation not permitted' >&2; exit 1\n"
    )
    refusing.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    with pytest.raises(DeviceError, match="Operation not permitted; it needs user namespaces"):
        emulate.start(zero2w)
    assert zero2w not in emulate.running_boards()


@pytest.mark.slow
def test_counts_repeat_and_add_up(pi4, live_int8):
    model = live_int8 / "model.tflite"
    first, second = (instructions.count(model, "pi5") for _ in range(2))
    assert second.total == pytest.approx(first.total, rel=1e-3)
    macs = operators.macs(flatbuffer.read(model))
    assert macs < 16 * first.dot < 1.5 * macs  # a dot product is of 4 x 4; channels are padded
    assert instructions.count(model, "pi3").dot == 0  # Cortex-A53 has none


@pytest.mark.slow
def test_tflite_runtime_has_no_dot_product(pi4, live_int8):
    old = instructions.count(live_int8 / "model.tflite", "pi5", "tflite")
    assert old.dot == 0
    assert old.multiply > 0


@pytest.mark.slow
def test_what_the_runtime_cannot_load_is_one_line(pi4, tmp_path):
    (tmp_path / "no.tflite").write_bytes(b"\x18\0\0\0TFL3" + bytes(40))
    with pytest.raises(DeviceError, match=r"no.tflite: litert on the emulated pi4: .*") as raised:
        instructions.count(tmp_path / "no.tflite", "pi4")
    assert "\n" not in str(raised.value)
    with pytest.raises(DeviceError, match=r"missing.tflite: no such file"):
        instructions.count(tmp_path / "missing.tflite")
