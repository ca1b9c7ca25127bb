"""Frames of cameras: on USB through V4L2, on a Raspberry Pi's ribbon through libcamera.

A camera that cannot be used raises DeviceError with what to do; one that is lost while it runs, or
may yet come, raises DeviceUnreachable.
"""

import importlib.util
import logging
import os
import select
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from edgecv.demo.frames import Frame, Frames, now
from edgecv.errors import DeviceError, DeviceUnreachable

FPS = 30.0
RIBBON_PROGRAMS = ("rpicam-vid", "libcamera-vid")  # its name today, and until 2023
CODECS_FROM = 10  # /dev/video10 and up are a Raspberry Pi's codecs, not cameras
SILENT_SECONDS = 5.0  # after which a camera that gives no picture is said to be silent
START_SECONDS = 20.0  # for the first picture of rpicam-vid, on a Pi Zero
ELEMENTS = {  # of GStreamer, and Debian's packages
    "libcamerasrc": "gstreamer1.0-libcamera",
    "videoconvert": "gstreamer1.0-plugins-base",
    "appsink": "gstreamer1.0-plugins-base",
}
STRIDE = 64  # pixels; libcamera pads rows of YUV to it
NO_RIBBON = (
    "picamera: no way to the camera: sudo apt-get install rpicam-apps; or python3-picamera2, for"
    " the system's own Python"
)

log = logging.getLogger(__name__)


def v4l2(name: str, size: tuple[int, int], fps: float | None) -> Frames:
    """Frames of a camera by its number, or by its file such as /dev/v4l/by-id/..."""
    path = Path(f"/dev/video{name}" if name.isdigit() else name)
    if sys.platform == "linux":
        check(path)
        capture = cv2.VideoCapture(str(path), cv2.CAP_V4L2)
    else:
        capture = cv2.VideoCapture(int(name))
    try:
        capture.set(cv2.CAP_PROP_FOURCC, cv2.VideoWriter.fourcc(*"MJPG"))  # raw fills USB 2 at 10/s
        for key, value in zip(
            (cv2.CAP_PROP_FRAME_WIDTH, cv2.CAP_PROP_FRAME_HEIGHT, cv2.CAP_PROP_FPS),
            (*size, fps or FPS),
            strict=True,
        ):
            capture.set(key, value)
        capture.set(cv2.CAP_PROP_BUFFERSIZE, 1)
        if not capture.isOpened() or not capture.grab():
            raise DeviceError(
                f"{path}: gives no pictures: another program uses it, or it is no camera"
                f" that OpenCV understands; who has it: fuser -v {path}"
            )
        yield from read_frames(capture, f"{path}: the camera is gone, or silent")
    finally:
        capture.release()


def read_frames(capture: Any, lost: str) -> Frames:
    """Frames of an open cv2.VideoCapture; at its end raises DeviceUnreachable saying `lost`."""
    while True:
        there, pixels = capture.read()
        if not there:
            raise DeviceUnreachable(lost)
        yield Frame(pixels, now())


def check(path: Path) -> None:
    """Raise DeviceError, with what to do, unless a camera's file can be opened."""
    if not path.exists():
        cameras = sorted(
            str(node)
            for node in path.parent.glob("video*")
            if int(node.name.removeprefix("video") or 0) < CODECS_FROM
        )
        there = f"there are: {', '.join(cameras)}" if cameras else "none is connected"
        raise DeviceUnreachable(
            f"{path}: no such camera; {there}; on a Raspberry Pi's ribbon: --source picamera;"
            " without any: --source synthetic"
        )
    if not os.access(path, os.R_OK | os.W_OK):
        raise DeviceError(
            f"{path}: you may not open it: sudo usermod -aG video $USER, then log in again"
        )
    if not path.is_char_device():
        raise DeviceError(f"{path}: is no camera")


def ribbon(size: tuple[int, int], fps: float | None) -> Frames:
    """Frames of a Raspberry Pi's camera, by the first of three ways that is installed."""
    program = next(filter(None, map(shutil.which, RIBBON_PROGRAMS)), None)
    camera, broken = _import_picamera2()
    if camera:
        return _picamera2(camera, size, fps or FPS)
    if program:
        if broken:
            log.warning("picamera: %s; %s takes its place", broken, Path(program).name)
        return _program(program, size, fps or FPS)
    if "GStreamer:                   YES" in cv2.getBuildInformation():
        return _gstreamer(size, fps or FPS)
    raise DeviceError(f"{NO_RIBBON}; {broken}" if broken else NO_RIBBON)


def _import_picamera2() -> tuple[Any, str]:
    """The class Picamera2, or why it cannot be used; neither where it is not installed."""
    if not importlib.util.find_spec("picamera2"):
        return None, ""
    try:
        from picamera2 import Picamera2
    except Exception as error:  # of any kind: another numpy, no libcamera for this Python
        reason = " ".join(str(error).split())[:200]
        return None, f"picamera2 cannot be imported ({type(error).__name__}: {reason})"
    return Picamera2, ""


def _picamera2(kind: Any, size: tuple[int, int], fps: float) -> Frames:
    try:
        camera = kind()
    except IndexError as error:  # of libcamera's list
        raise DeviceUnreachable(
            "picamera: no camera: is the cable in, its contacts the right way? rpicam-hello"
            " --list-cameras shows those that are seen"
        ) from error
    except RuntimeError as error:
        raise DeviceUnreachable(f"picamera: {error}; who has it: fuser -v /dev/media*") from error
    try:
        main = {"size": size, "format": "RGB888"}  # libcamera's name for the order B, G, R
        wanted = camera.create_video_configuration(
            main, controls={"FrameRate": fps}, buffer_count=4, queue=False
        )
        camera.configure(wanted)
        camera.start()
        while True:
            yield Frame(camera.capture_array("main"), now())
    finally:
        camera.close()


def _program(program: str, size: tuple[int, int], fps: float) -> Frames:
    """Frames that rpicam-vid writes, raw, to its standard output."""
    width, height = -(-size[0] // STRIDE) * STRIDE, size[1] // 2 * 2
    options = {"timeout": 0, "codec": "yuv420", "width": width, "height": height, "framerate": fps}
    words = [word for key, value in options.items() for word in (f"--{key}", str(value))]
    with tempfile.TemporaryFile() as words_file:
        process = subprocess.Popen(
            [program, *words, "--nopreview", "--flush", "--output", "-"],
            stdout=subprocess.PIPE,
            stderr=words_file,
            bufsize=0,
        )
        stream: Any = process.stdout
        seconds = START_SECONDS
        try:
            while True:
                data = _read_within(stream, width * height * 3 // 2, seconds)
                seconds = SILENT_SECONDS
                if len(data) < width * height * 3 // 2:
                    raise DeviceUnreachable(
                        f"picamera: {Path(program).name}: {_last_words(words_file)}"
                    )
                planes = np.frombuffer(data, np.uint8).reshape(height * 3 // 2, width)
                yield Frame(cv2.cvtColor(planes, cv2.COLOR_YUV2BGR_I420), now())
        finally:
            process.kill()
            process.wait()
            stream.close()


def _read_within(stream: Any, size: int, seconds: float) -> bytes:
    """So many bytes of a pipe, or fewer at its end, or when nothing comes for so long."""
    data = bytearray()
    while len(data) < size and select.select([stream], [], [], seconds)[0]:
        chunk = stream.read(size - len(data))
        if not chunk:
            break
        data += chunk
    return bytes(data)


def _last_words(file: Any) -> str:
    file.seek(0)
    lines = file.read().decode(errors="replace").strip().splitlines()
    return lines[-1] if lines else "ended, or gives no pictures"


def missing_element() -> str:
    """The first element that GStreamer lacks for the camera, with the package that has it."""
    inspect = shutil.which("gst-inspect-1.0")
    if not inspect:
        return "gst-inspect-1.0 says why: sudo apt-get install gstreamer1.0-tools"
    for element, package in ELEMENTS.items():
        if subprocess.run([inspect, "--exists", element]).returncode:
            return f"{element} is missing: sudo apt-get install {package}"
    return "no camera is connected, or another program uses it"


def _gstreamer(size: tuple[int, int], fps: float) -> Frames:
    width, height = size
    capture = cv2.VideoCapture(
        f"libcamerasrc ! video/x-raw,width={width},height={height},framerate={round(fps)}/1"
        " ! videoconvert ! video/x-raw,format=BGR ! appsink drop=true max-buffers=1 sync=false",
        cv2.CAP_GSTREAMER,
    )
    try:
        if not capture.isOpened():
            raise DeviceUnreachable(f"picamera: GStreamer does not start: {missing_element()}")
        yield from read_frames(capture, "picamera: the camera is gone, or silent")
    finally:
        capture.release()
