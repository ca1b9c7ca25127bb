"""What the demo looks at: cameras and their loss, videos, folders, addresses, moving signs."""

import itertools
import os
import socketserver
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import cv2
import numpy as np
import pytest

from edgecv.demo import cameras, model_facts, sources, synthetic
from edgecv.demo.frames import Frame, now
from edgecv.demo.options import DemoOptions
from edgecv.demo.pipeline import Pipeline
from edgecv.errors import DeviceError, DeviceUnreachable
from tests.demo_models import demo_models, film_in
from tests.waiting import wait_until


@pytest.fixture(scope="module")
def both():
    return model_facts.describe(demo_models())


@pytest.fixture
def film(tmp_path):
    return film_in(tmp_path)


def test_a_video_is_seen_once_whole_or_over_and_over(film):
    once = list(sources.video(film, once=True))
    assert [each.name for each in once] == [f"film.avi#{each}" for each in range(1, 13)]
    assert np.allclose([each.pixels.mean() for each in once], np.arange(12) * 20, atol=3)
    looped = sources.video(film, once=False)
    assert [each.name for each in itertools.islice(looped, 25)][-1] == "film.avi#1"
    looped.close()


def test_signs_move_and_all_of_them_come():
    first, second = itertools.islice(synthetic.pictures((320, 240), 10), 2)
    assert first.shape == (240, 320, 3)
    assert np.abs(first.astype(int) - second).mean() > 1
    assert (synthetic._street((320, 240), 1) == synthetic._street((320, 240), 1)).all()


class Stream(BaseHTTPRequestHandler):
    """A network camera: JPEGs, one after the other, until its server is taken away."""

    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=next")
        self.end_headers()
        _, jpeg = cv2.imencode(".jpg", np.full((48, 64, 3), self.server.gray, np.uint8))
        data = jpeg.tobytes()
        try:
            while self.server.on:
                head = f"--next\r\nContent-Type: image/jpeg\r\nContent-Length: {len(data)}\r\n\r\n"
                self.wfile.write(head.encode() + data + b"\r\n")
                time.sleep(0.02)
        except OSError:
            pass

    def log_message(self, *_):
        pass


class Camera(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True
    on = True

    def __init__(self, port, gray):
        super().__init__(("127.0.0.1", port), Stream)
        self.gray = gray
        threading.Thread(target=self.serve_forever, args=(0.05,), daemon=True).start()

    def unplug(self):
        self.on = False
        self.shutdown()
        self.server_close()


def test_a_camera_that_returns_is_picked_up_again(both):
    camera = Camera(0, 40)
    port = camera.server_address[1]
    pipeline = Pipeline(DemoOptions(both, f"http://me:secret@127.0.0.1:{port}/"))
    pipeline.start()
    wait_until(lambda: pipeline.latest)
    assert pipeline.latest.frame.pixels.mean() == pytest.approx(40, abs=3)
    camera.unplug()
    wait_until(lambda: "waiting for it" in pipeline.note)
    assert "secret" not in pipeline.note + pipeline.source.name
    camera = Camera(port, 200)
    wait_until(lambda: pipeline.latest.frame.pixels.mean() > 150)
    assert pipeline.note == ""
    pipeline.close()
    camera.unplug()


RPICAM = """#!{python}
import sys
import numpy as np
options = dict(zip(sys.argv[1::2], sys.argv[2::2]))
width, height = int(options["--width"]), int(options["--height"])
planes = [np.full(height * width, 81), np.full(height * width // 4, 90),
          np.full(height * width // 4, 240)]  # red, in YUV
frame = np.concatenate(planes).astype(np.uint8).tobytes()
for _ in range(5):
    sys.stdout.buffer.write(frame)
sys.stdout.flush()
sys.exit("ERROR: *** Camera frontend has timed out! ***")
"""


def test_the_camera_on_the_ribbon_is_read_by_its_own_program(tmp_path, monkeypatch):
    program = tmp_path / "rpicam-vid"
    program.write_text(RPICAM.format(python=sys.executable))
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    frames = sources.find(DemoOptions((), "picamera", (100, 80))).frames()
    first = next(frames)
    assert first.pixels.shape == (80, 128, 3)  # rows are padded to 64 pixels
    np.testing.assert_allclose(first.pixels.reshape(-1, 3).mean(0), (0, 0, 255), atol=4)
    with pytest.raises(DeviceUnreachable, match=r"picamera: rpicam-vid: .*timed out"):
        list(frames)


def test_without_any_way_to_the_ribbon_the_line_to_type_is_said(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    if "GStreamer:                   YES" in cv2.getBuildInformation():
        pytest.skip("this OpenCV has GStreamer")
    with pytest.raises(DeviceError, match="sudo apt-get install rpicam-apps"):
        sources.find(DemoOptions((), "picamera")).frames()


def test_a_camera_that_is_not_there_names_those_that_are(tmp_path):
    for name in ("video0", "video1", "video10"):
        (tmp_path / name).touch()
    with pytest.raises(DeviceUnreachable, match=r"there are: \S+/video0, \S+/video1;"):
        cameras.check(tmp_path / "video7")
    with pytest.raises(DeviceError, match="is no camera"):
        cameras.check(tmp_path / "video0")


def test_a_camera_that_may_not_be_opened_says_who_may(tmp_path):
    path = tmp_path / "video0"
    path.touch(mode=0o000)
    tmp_path.chmod(0o755)
    code = (
        "import os, sys; from pathlib import Path; from edgecv.demo import cameras\n"
        "if os.getuid() == 0: os.setuid(65534)\n"
        "cameras.check(Path(sys.argv[1]))"
    )
    reachable = Path("/tmp") / f"edgecv-video-{os.getpid()}"
    path.rename(reachable)
    try:
        shown = subprocess.run([sys.executable, "-c", code, reachable], capture_output=True,
                               text=True)  # fmt: skip
    finally:
        reachable.unlink()
    assert "you may not open it: sudo usermod -aG video $USER" in shown.stderr


def test_frames_are_paced():
    frame, begun = Frame(np.zeros((8, 8, 3), np.uint8), 0.0), now()
    taken = [each.taken for each in sources.limit_rate([frame] * 6, 50)]
    assert all(at >= begun + index / 50 for index, at in enumerate(taken))
