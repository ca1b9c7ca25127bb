"""The demo on the emulated Pi: placed there, run there, watched through the tunnel."""

import json
import re
import signal
import subprocess
import sys
import urllib.request

import cv2
import numpy as np
import pytest

from edgecv.data.sign_shapes import LABELS
from tests.browser import chromium
from tests.demo_models import demo_models
from tests.test_emulated_pi import pi4, said  # noqa: F401  # a fixture
from tests.waiting import SECONDS, wait_until

RUNNING = "pgrep -f '[b]oard/[0-9a-f]{64}' || true"


@pytest.fixture
def watched(pi4, tmp_path):  # noqa: F811
    """A demo on the board: its process here, and its page's address."""
    device = tmp_path / "pi.toml"
    keys = {"host": pi4.host, "ssh_config": str(pi4.config), "python": pi4.pythons["litert"]}
    device.write_text("".join(f"{key} = {json.dumps(value)}\n" for key, value in keys.items()))
    command = [sys.executable, "-m", "edgecv", "demo", *demo_models(), "--device", device,
               "--source", "synthetic", "--size", "160x120", "--fps", "8",
               "--snapshots", tmp_path / "kept"]  # fmt: skip
    desk = subprocess.Popen(list(map(str, command)), stdout=subprocess.PIPE,
                            stderr=subprocess.PIPE, text=True)  # fmt: skip
    url = desk.stdout.readline().strip()
    assert re.fullmatch(r"http://127\.0\.0\.1:\d+/", url), desk.communicate()[1]
    yield desk, url
    desk.kill()
    desk.communicate()


@pytest.mark.slow
def test_a_pi_is_watched_through_the_tunnel(pi4, watched, tmp_path):  # noqa: F811
    desk, url = watched

    def state():
        with urllib.request.urlopen(f"{url}state", timeout=SECONDS) as answer:
            return json.load(answer)

    assert said(pi4, RUNNING) != ""
    first = state()
    assert first["top"][0][0] in LABELS
    assert first["temperature_celsius"] == 45.0  # the emulated board's files: always the same
    assert first["clock_mhz"] == 1800.0
    with chromium() as browser:
        browser.look(url)
        count = "return Number(document.getElementById('picture').dataset.count || 0)"
        wait_until(lambda: browser.js(count) > 3)
        wait_until(lambda: browser.text("temperature") == "45.0 °C")
        assert browser.complaints() == []
        browser.find("label").send_keys("stop")
        browser.driver.find_element("css selector", "#snapshot button").click()
        wait_until(lambda: list((tmp_path / "kept").glob("stop/2*.jpg")))
    assert state()["frames"] > first["frames"]
    [file] = (tmp_path / "kept").glob("stop/2*.jpg")
    assert np.ptp(cv2.imread(str(file))) > 50
    assert cv2.imread(str(file)).shape == (120, 160, 3)
    desk.send_signal(signal.SIGINT)
    _, words = desk.communicate(timeout=SECONDS)
    assert desk.returncode == 0, words
    wait_until(lambda: said(pi4, RUNNING) == "")
