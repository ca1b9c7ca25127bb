"""A build that is interrupted, at any moment, goes on with the same command to the same result."""

import signal

import pytest

from tests.builds import FILES, edgecv, invoke, quick, report, start
from tests.waiting import wait_until

CHECKPOINT = ".state/training.npz"  # written after every epoch
STAGES = ("model.keras", "model_float32.tflite", "model_int8.tflite")  # each begins the next


def interrupt(command, out, file, sign):
    """What a build said until a signal met it: when it has written `file` in the folder `out`."""
    path = out / file
    before = path.stat().st_mtime_ns if path.exists() else 0
    process = start(*command)

    def is_written():
        assert process.poll() is None, process.stderr.read()
        return path.exists() and path.stat().st_mtime_ns > before

    wait_until(is_written)
    process.send_signal(sign)
    _, said = process.communicate()
    assert not (out / "report.json").exists()
    return process.returncode, said


@pytest.mark.slow
def test_whatever_interrupts_it_the_same_command_gives_an_undisturbed_result(tmp_path):
    command = quick(tmp_path, "mobilenet", "--epochs", "4", "-o")
    out = tmp_path / "interrupted"
    code, said = interrupt((*command, out), out, CHECKPOINT, signal.SIGINT)
    assert code == 1
    assert "goes on where it stopped" in said.splitlines()[-1]
    assert "Traceback" not in said
    _, said = interrupt((*command, out), out, CHECKPOINT, signal.SIGKILL)
    assert "epoch 1/4" not in said
    for file in STAGES:
        interrupt((*command, out), out, file, signal.SIGKILL)
    resumed = edgecv(*command, out)
    assert resumed.returncode == 0, resumed.stderr
    assert "/4, 48 px" not in resumed.stderr  # no line of an epoch
    assert {path.name for path in out.iterdir()} == FILES
    undisturbed = invoke(*command, tmp_path / "whole")
    assert undisturbed.exit_code == 0, undisturbed.stderr
    ours, theirs = (report(run)["accuracy"] for run in (out, tmp_path / "whole"))
    for scheme in ("float32", "int8"):
        assert ours[scheme]["top1"] == pytest.approx(theirs[scheme]["top1"], abs=0.03)
