"""Cameras of a Pi that are broken, missing or silent: programs and packages in their place."""

import sys

import pytest

from edgecv.demo import cameras, model_facts, pipeline, sources
from edgecv.demo.options import DemoOptions
from edgecv.errors import DeviceError, DeviceUnreachable
from tests.demo_models import demo_models
from tests.waiting import wait_until


@pytest.fixture
def program_that(tmp_path, monkeypatch):
    """A program of these lines of shell, in front of whatever there is."""

    def install(name, *lines):
        (tmp_path / name).write_text("\n".join(["#!/bin/sh", *lines, ""]))
        (tmp_path / name).chmod(0o755)
        monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")

    return install


@pytest.fixture
def picamera2_that(tmp_path, monkeypatch):
    """A package picamera2 with this code."""

    def install(code):
        (tmp_path / "picamera2.py").write_text(code)
        monkeypatch.syspath_prepend(tmp_path)
        monkeypatch.delitem(sys.modules, "picamera2", raising=False)

    yield install
    sys.modules.pop("picamera2", None)


def ribbon(size=(64, 64)):
    return sources.find(DemoOptions((), "picamera", size)).frames()


@pytest.mark.parametrize(
    "code",
    [
        "raise ImportError('No module named libcamera')",
        "raise ValueError('numpy.dtype size changed')",
    ],
)
def test_a_picamera2_that_cannot_be_imported_leaves_it_to_rpicam_vid(
    program_that, picamera2_that, caplog, code
):
    picamera2_that(code)
    program_that("rpicam-vid", f"head -c {64 * 64 * 3 // 2} /dev/zero")
    assert next(ribbon()).pixels.shape == (64, 64, 3)
    (line,) = caplog.messages
    assert line.startswith("picamera: picamera2 cannot be imported (")
    assert line.endswith("; rpicam-vid takes its place")


def test_without_another_way_the_reason_is_in_the_error(program_that, picamera2_that, monkeypatch):
    picamera2_that("raise ImportError('No module named libcamera')")
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.setattr(cameras.cv2, "getBuildInformation", str)
    with pytest.raises(DeviceError, match=r"rpicam-apps; .*; picamera2 cannot .*libcamera"):
        ribbon()


def test_no_camera_is_said_in_words(picamera2_that):
    picamera2_that("def Picamera2(): raise IndexError('list index out of range')")
    with pytest.raises(DeviceUnreachable, match=r"^picamera: no camera: is the cable in"):
        next(ribbon())


def test_a_program_that_gives_no_picture_is_silent(program_that, monkeypatch):
    program_that("rpicam-vid", "exec sleep 99")
    monkeypatch.setattr(cameras, "START_SECONDS", 0.1)
    with pytest.raises(DeviceUnreachable, match="rpicam-vid: ended, or gives no pictures"):
        next(ribbon())


def test_a_silent_camera_is_reported_while_it_is_waited_for(program_that, monkeypatch):
    program_that("rpicam-vid", "exec sleep 99")
    monkeypatch.setattr(pipeline, "SILENT_SECONDS", 0.1)
    models = model_facts.describe(demo_models()[1:])
    running = pipeline.Pipeline(DemoOptions(models, "picamera"))
    running.start()
    try:
        wait_until(lambda: running.note.startswith("picamera: no picture for "))
        running.stop()
        assert running.note == ""
    finally:
        running.close()


def test_signs_that_are_drawn_are_never_silent(monkeypatch):
    monkeypatch.setattr(pipeline, "SILENT_SECONDS", -1.0)
    running = pipeline.Pipeline(DemoOptions(model_facts.describe(demo_models()[1:]), "synthetic"))
    running.start()
    assert running.note == ""
    running.close()


def test_the_element_that_gstreamer_lacks_is_named(program_that):
    program_that("gst-inspect-1.0", '[ "$2" != libcamerasrc ]')
    assert cameras.missing_element() == (
        "libcamerasrc is missing: sudo apt-get install gstreamer1.0-libcamera"
    )
    program_that("gst-inspect-1.0")
    assert cameras.missing_element().startswith("no camera is connected")
