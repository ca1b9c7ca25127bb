"""Where pictures come from: what `--source` names, as frames one after the other."""

import functools
import itertools
import os
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import cv2

from edgecv.data import images, opencv_log
from edgecv.demo import cameras, synthetic
from edgecv.demo.frames import Frame, Frames, Pixels, now
from edgecv.demo.options import DemoOptions
from edgecv.errors import DataError, DeviceUnreachable, RecipeError

SCHEMES = ("http", "https", "rtsp", "rtsps", "rtmp", "udp", "tcp")
TIMEOUT_MS = 5000  # until an address must have answered, or sent the next picture
PICTURE_SECONDS = 1.0  # for which a picture of a folder is shown
ALLOWED = (
    "a camera's number, picamera, synthetic, a video file, a folder of images,"
    " or an address rtsp://, http://"
)


@dataclass(frozen=True)
class Source:
    """A source of frames; each call of `frames` opens it again."""

    name: str
    frames: Callable[[], Frames]
    live: bool = False  # pictures come by themselves, many a second


def find(options: DemoOptions) -> Source:
    """The frames of the source that the options name. Raises RecipeError where it is none."""
    quiet()
    text, path = options.source, Path(options.source).expanduser()
    if text == "synthetic":
        return Source(text, lambda: _synthetic(options))
    if text == "picamera":
        return Source(text, lambda: cameras.ribbon(options.size, options.fps), live=True)
    if text.isdigit() or path.is_char_device() or text.startswith("/dev/"):
        frames = functools.partial(cameras.v4l2, text, options.size, options.fps)
        return Source(f"camera {text}", frames, live=True)
    if urlsplit(text).scheme in SCHEMES:
        return Source(hide_password(text), lambda: address(text), live=True)
    if path.is_dir():
        return Source(str(path), lambda: folder(path, options.fps, options.once))
    if path.is_file():
        return Source(str(path), lambda: video(path, options.once))
    raise RecipeError(f"--source: {text!r}: no such file; allowed are {ALLOWED}")


def quiet() -> None:
    """Keep OpenCV's and FFmpeg's own words off the screen; what is wrong is said by an error."""
    os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")
    opencv_log.set_log_level(opencv_log.SILENT)


def limit_rate(frames: Iterable[Frame], fps: float) -> Frames:
    """Frames no faster than `fps` a second; time that was lost is not made up for."""
    due = now()
    for frame in frames:
        time.sleep(max(0.0, due - now()))
        due = max(due + 1 / fps, now())
        yield Frame(frame.pixels, now(), frame.name)


def video(path: Path, once: bool) -> Frames:
    """Frames of a video file at its own rate, over and over; with `once`, as they can be read.

    Raises DataError when OpenCV cannot read it.
    """
    capture = cv2.VideoCapture(str(path), cv2.CAP_FFMPEG)
    try:
        if not capture.isOpened() or not capture.grab():
            raise DataError(f"{path}: no video that OpenCV can read")
        fps = capture.get(cv2.CAP_PROP_FPS) or cameras.FPS
        frames = _read_over(capture, path, once)
        yield from frames if once else limit_rate(frames, fps)
    finally:
        capture.release()


def _read_over(capture: cv2.VideoCapture, path: Path, once: bool) -> Frames:
    while True:
        capture.set(cv2.CAP_PROP_POS_FRAMES, 0)
        count = 0
        while True:
            there, pixels = capture.read()
            if not there:
                break
            count += 1
            yield Frame(pixels, now(), f"{path.name}#{count}")
        if once or not count:
            return


def folder(path: Path, fps: float | None, once: bool) -> Frames:
    """The images in a folder and below it, by name, `fps` a second; what is damaged is left out.

    Raises DataError when no image can be read.
    """
    files = sorted(file for file in path.rglob("*") if file.suffix.lower() in images.SUFFIXES)
    frames = _images(path, files, once)
    yield from frames if once else limit_rate(frames, fps or 1 / PICTURE_SECONDS)


def _images(path: Path, files: list[Path], once: bool) -> Frames:
    for round_ in itertools.count():
        readable = False
        for file in files:
            try:
                pixels: Pixels = cv2.cvtColor(images.read(file), cv2.COLOR_RGB2BGR)
            except DataError:
                continue
            readable = True
            yield Frame(pixels, now(), str(file.relative_to(path)))
        if not readable and not round_:
            raise DataError(f"{path}: holds no image that can be read ({images.FORMATS})")
        if once or not readable:
            return


def address(url: str) -> Frames:
    """Frames from the network as they come; of a recording, at its own rate, over and over.

    Raises DeviceUnreachable when nothing comes within five seconds.
    """
    shown = hide_password(url)
    limits = [
        *(cv2.CAP_PROP_OPEN_TIMEOUT_MSEC, TIMEOUT_MS),
        *(cv2.CAP_PROP_READ_TIMEOUT_MSEC, TIMEOUT_MS),
    ]
    capture = cv2.VideoCapture(url, cv2.CAP_FFMPEG, limits)
    try:
        if not capture.isOpened():
            raise DeviceUnreachable(f"{shown}: no video there, or nobody answers")
        frames = cameras.read_frames(capture, f"{shown}: the pictures have ceased")
        recorded = capture.get(cv2.CAP_PROP_FRAME_COUNT) > 0
        fps = capture.get(cv2.CAP_PROP_FPS) or cameras.FPS
        yield from limit_rate(frames, fps) if recorded else frames
    finally:
        capture.release()


def hide_password(url: str) -> str:
    """An address that can be shown."""
    parts = urlsplit(url)
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))


def _synthetic(options: DemoOptions) -> Frames:
    fps = options.fps or synthetic.FPS
    return limit_rate(
        (Frame(picture, now()) for picture in synthetic.pictures(options.size, fps)), fps
    )
