"""The demo's page in a real browser, and the rules by which it answers."""

import asyncio
import os
import re
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import cv2
import pytest
from tornado import httpclient, websocket

from edgecv.data.labeled import open_labeled
from edgecv.data.sign_shapes import LABELS
from edgecv.demo import snapshots
from edgecv.errors import DataError, RunFolderError
from edgecv.progress import QUIET
from tests import axe
from tests.browser import chromium
from tests.demo_models import CROP, demo_models
from tests.served_demo import Served
from tests.waiting import SECONDS, wait_until

TOKEN = "a-token-that-nobody-guesses"
SCREENSHOTS = os.environ.get("EDGECV_SCREENSHOTS")  # a folder, for those who want to look


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    running = Served(tmp_path_factory.mktemp("page"))
    yield running
    running.end()


@pytest.fixture(scope="module")
def guarded(tmp_path_factory):
    """A demo for the network; the tests come from this machine all the same."""
    running = Served(tmp_path_factory.mktemp("guarded"), "--listen", "127.0.0.1", "--token", TOKEN)
    yield running
    running.end()


@pytest.fixture(scope="module")
def browser():
    with chromium() as running:
        yield running


@pytest.fixture
def page(browser, served):
    """The page, live."""
    served.ask("/control", {"running": True})
    served.ask("/control", {"model": 0, "threads": 1})
    browser.look(served.url)
    wait_until(lambda: browser.text("status") == "live" and shown(browser) > 2)
    return browser


def shown(browser):
    """How many pictures the page has drawn."""
    return int(browser.js("return document.getElementById('picture').dataset.count || 0"))


def pixels(browser):
    """The picture on the page, thumbnail-size, as numbers."""
    return browser.js(
        "const small = document.createElement('canvas'), pen = small.getContext('2d');"
        "small.width = small.height = 8;"
        "pen.drawImage(document.getElementById('picture'), 0, 0, 8, 8);"
        "return [...pen.getImageData(0, 0, 8, 8).data]"
    )


def test_pictures_move_and_figures_change(page):
    first, count, frames = pixels(page), shown(page), page.text("frames")
    wait_until(lambda: shown(page) > count + 20)
    assert max(abs(a - b) for a, b in zip(first, pixels(page), strict=True)) > 8
    assert page.text("frames") != frames
    for name in ("fps", "inference", "delay", "seen", "memory"):
        assert re.match(r"\d+(\.\d+)? \S+", page.text(name)), name
    assert page.text("source") == "synthetic, 640 × 480"
    assert page.complaints() == []


def test_classes_are_bars_that_follow_the_camera(page):
    seen = set()

    def three():
        seen.add(page.js("return document.querySelector('#classes span').title"))
        return len(seen) >= 2

    wait_until(three)
    assert seen <= set(LABELS)
    shares = page.js(
        "return [...document.querySelectorAll('#classes i')]"
        ".map(bar => Number(bar.style.getPropertyValue('--share')))"
    )
    assert len(shares) == 5
    assert shares == sorted(shares, reverse=True)
    assert 0 < shares[0] <= 1


def test_keys_stop_start_and_take_a_snapshot(page, served):
    page.js("document.activeElement.blur()")
    key = "new KeyboardEvent('keydown', {key: arguments[0], bubbles: true})"
    press = f"document.body.dispatchEvent({key})"
    page.js(press, " ")
    wait_until(lambda: page.text("status") == "stopped")
    page.js(press, " ")
    wait_until(lambda: page.text("status") == "live")
    page.js("document.getElementById('label').value = 'by_key'")
    page.js(press, "s")
    wait_until(lambda: page.text("said").startswith("Kept: ") and "by_key" in page.text("said"))
    count = shown(page)
    field = page.find("label")
    field.send_keys("s ")
    wait_until(lambda: shown(page) > count + 3)
    assert page.text("status") == "live" and field.get_property("value") == "by_keys "


def test_tiles_say_what_they_are_and_what_is_missing(page):
    titles = page.js("return [...document.querySelectorAll('dt')].map((each) => each.textContent)")
    assert {"Inference, p50", "Delay to result, p50"} < {*titles}
    for name in ("temperature", "clock"):
        assert re.fullmatch(r"[\d.]+ (°C|MHz)|not available on this machine", page.text(name)), name
    wait_until(lambda: re.fullmatch(r"0 to [\d.]+ ms", page.text("scale")))
    assert re.search(r"\d+ kB, \w+ \d+ × \d+, 10 classes", page.text("facts"))


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_live_page_is_accessible(browser, served, scheme):
    browser.look(served.url, scheme=scheme)
    wait_until(lambda: browser.text("status") == "live" and shown(browser) > 2)
    assert axe.violations(browser) == []


def test_the_square_that_the_model_sees_is_shown(page):
    found = page.js("const {width, height} = document.getElementById('crop').style;"
                    "return [width, height].map(parseFloat)")  # fmt: skip
    assert found == pytest.approx([100 * CROP * 480 / 640, 100 * CROP], abs=0.1)


def test_stop_and_start(page, served):
    page.find("toggle").click()
    wait_until(lambda: page.text("status") == "stopped")
    frames = served.state()["frames"]
    for _ in range(200):  # so many round trips take longer than many pictures, however busy it is
        now = served.state()["frames"]
    assert now <= frames + 3  # those on their way: prepared, inferred, handed out
    count = shown(page)
    assert page.text("toggle") == "Start"
    page.find("toggle").click()
    wait_until(lambda: page.text("status") == "live" and shown(page) > count)


def test_model_and_threads_are_changed(page, served):
    page.js("const model = document.getElementById('model'); model.value = 1;"
            "model.dispatchEvent(new Event('change'))")  # fmt: skip
    wait_until(lambda: served.state()["model"] == 1)
    page.js("const threads = document.getElementById('threads'); threads.value = 2;"
            "threads.dispatchEvent(new Event('change'))")  # fmt: skip
    wait_until(lambda: served.state()["threads"] == 2)
    assert served.state()["model"] == 1
    options = page.js("return [...document.getElementById('model').options].map(o => o.text)")
    assert options == ["signs_float32", "signs_int8"]
    page.js("const threads = document.getElementById('threads'); threads.value = 0;"
            "threads.dispatchEvent(new Event('change'))")  # fmt: skip
    wait_until(lambda: "threads: must be 1 to 64, got 0" in page.text("said"))


def test_a_snapshot_lands_in_the_folder_of_its_class(page, served):
    page.find("label").send_keys("stop")
    page.driver.find_element("css selector", "#snapshot button").click()
    wait_until(lambda: "Kept: " in page.text("said"))
    [file] = (served.folder / "stop").iterdir()
    assert str(file) in page.text("said")
    assert cv2.imread(str(file)).shape == (480, 640, 3)


def test_a_label_that_leads_elsewhere_is_refused_in_words(page, served):
    page.find("label").send_keys("../elsewhere")
    page.driver.find_element("css selector", "#snapshot button").click()
    wait_until(lambda: "is no name of a folder" in page.text("said"))
    assert not (served.folder.parent / "elsewhere").exists()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 390, 768, 1280])
def test_the_page_fits_every_screen_in_both_schemes(browser, served, width, scheme):
    browser.look(served.url, width, 844, scheme)
    wait_until(lambda: shown(browser) > 2 and browser.text("fps"))
    if SCREENSHOTS:
        time.sleep(3)
        browser.screenshot(Path(SCREENSHOTS) / f"demo_{width}_{scheme}.png")
    assert browser.js("return document.documentElement.scrollWidth") <= width
    brightness = browser.js(
        "return getComputedStyle(document.body).backgroundColor.match(/\\d+/g).map(Number)[0]"
    )
    assert (brightness < 60) == (scheme == "dark")
    small = browser.js(
        "return [...document.querySelectorAll('button, input, select')]"
        ".filter(each => each.getBoundingClientRect().height < 40).map(each => each.id)"
    )
    assert small == []  # a finger's width


def test_a_page_that_loses_its_demo_says_so_and_comes_back(browser, tmp_path):
    first = Served(tmp_path)
    browser.look(first.url)
    wait_until(lambda: browser.text("status") == "live")
    port = first.origin.rpartition(":")[2]
    assert first.end() == 0
    wait_until(lambda: browser.text("status") == "no connection")
    again = Served(tmp_path, "--port", port)
    wait_until(lambda: browser.text("status") == "live")
    again.end()


def test_the_token_is_demanded(browser, guarded):
    browser.look(guarded.origin + "/")
    assert "asks for a token" in browser.driver.page_source
    field = browser.driver.find_element("name", "token")
    field.send_keys("wrong")
    field.submit()
    wait_until(lambda: "token=wrong" in browser.driver.current_url)
    assert "asks for a token" in browser.driver.page_source
    browser.driver.find_element("name", "token").send_keys(TOKEN)
    browser.driver.find_element("name", "token").submit()
    wait_until(lambda: browser.text("status") == "live" and shown(browser) > 2)
    assert browser.driver.current_url == guarded.origin + "/"  # the token is in no history
    cookie = browser.driver.get_cookie("edgecv_demo")
    assert (cookie["httpOnly"], cookie["sameSite"]) == (True, "Strict")
    browser.driver.delete_all_cookies()


@pytest.mark.parametrize("path", ["/", "/state", "/control", "/snapshot", "/live", "/?token=wrong"])
def test_nothing_is_told_without_the_token(guarded, path):
    body = {} if path in ("/control", "/snapshot") else None
    status, said = guarded.ask(path, body)
    assert status == 401
    assert "asks for a token" in said


def test_scripts_give_the_token_in_a_header(guarded):
    assert guarded.ask("/state", Authorization=f"Bearer {TOKEN}")[0] == 200
    assert guarded.ask("/state", Cookie="edgecv_demo=wrong")[0] == 401


def test_another_name_for_this_machine_is_refused(served):
    """A page whose name was made to mean 127.0.0.1 (DNS rebinding) gets nothing."""
    assert served.ask("/state", Host="evil.example")[0] == 403
    assert served.ask("/state", Host="127.0.0.1.evil.example:80")[0] == 403
    assert served.ask("/state", Host="localhost:1")[0] == 200


@pytest.mark.parametrize("path", ["/control", "/snapshot"])
def test_another_page_cannot_change_anything(served, path):
    body = {"running": False, "label": "stolen"}
    assert served.ask(path, body, Origin="http://evil.example")[0] == 403
    assert served.ask(path, body, Origin="null")[0] == 403
    assert served.ask(path, body, **{"Sec-Fetch-Site": "cross-site"})[0] == 403
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    assert served.ask(path, body, **form)[0] == 415
    assert served.state()["running"]
    assert not (served.folder / "stolen").exists()


def test_another_page_cannot_watch(served):
    asked = httpclient.HTTPRequest(served.origin.replace("http", "ws") + "/live",
                                   headers={"Origin": "http://evil.example"})  # fmt: skip

    async def watch():
        await websocket.websocket_connect(asked)

    with pytest.raises(httpclient.HTTPClientError, match="403"):
        asyncio.run(watch())
    with urllib.request.urlopen(served.url) as answer:
        assert answer.headers["Cross-Origin-Resource-Policy"] == "same-origin"
        assert answer.headers["X-Frame-Options"] == "DENY"
        policy = answer.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy


@pytest.mark.parametrize(
    "body", ["text", [], {"model": "0", "threads": 1}, {"model": 9, "threads": 1},
             {"model": True, "threads": 1}, {"model": 0, "threads": 10**9}, {}]
)  # fmt: skip
def test_nonsense_is_answered_in_words(served, body):
    status, said = served.ask("/control", body)
    assert status in (400, 415)
    assert "Traceback" not in str(said)
    assert served.state()["running"]


def test_viewers_are_bounded_and_none_waits_in_a_queue(served):
    """A viewer who asks for one picture gets one; the ninth viewer is turned away."""
    url = served.origin.replace("http", "ws") + "/live"

    async def watch(viewers):
        while len(viewers) < 8:
            viewers.append(await websocket.websocket_connect(url))
        with pytest.raises(httpclient.HTTPClientError, match="503"):
            await websocket.websocket_connect(url)
        got = [0] * len(viewers)

        async def count(index):
            while True:
                got[index] += isinstance(await viewers[index].read_message(), bytes)

        counting = [asyncio.ensure_future(count(index)) for index in range(len(viewers))]
        for each in viewers[:4]:
            await each.write_message("next")
        client = httpclient.AsyncHTTPClient()
        while sum(got) < 4:
            await client.fetch(served.origin + "/state")
        for _ in range(20):  # as many round trips take longer than a picture, however busy it is
            await client.fetch(served.origin + "/state")
        for each in counting:
            each.cancel()
        return got

    async def watch_and_leave():
        viewers = []
        try:
            return await watch(viewers)
        finally:
            for each in viewers:
                each.close()
            for each in viewers:  # whose sockets close once the server has agreed
                while await each.read_message() is not None:
                    pass

    def room_is_made():
        """The server forgets a viewer a moment after it has agreed to the end."""
        try:
            return asyncio.run(watch_and_leave())
        except httpclient.HTTPClientError as error:
            assert error.code == 503
            return None

    assert asyncio.run(watch_and_leave()) == [1] * 4 + [0] * 4
    wait_until(room_is_made)


def test_nobody_draws_while_nobody_looks(tmp_path):
    running = Served(tmp_path)
    tasks = Path(f"/proc/{running.process.pid}/task")
    wait_until(lambda: len({threads(tasks) for _ in range(50)}) == 1)  # all have started
    before = threads(tasks)
    assert running.ask("/state")[0] == 200  # its figures are looked up by the output thread
    assert threads(tasks) == before + 1
    running.end()


def threads(tasks):
    return len(list(tasks.iterdir()))


def test_a_taken_port_is_one_line(served, tmp_path):
    port = served.origin.rpartition(":")[2]
    command = [sys.executable, "-m", "edgecv", "demo", demo_models().int8, "--source", "synthetic"]
    shown = subprocess.run(
        [*command, "--port", port], capture_output=True, text=True, timeout=SECONDS
    )
    assert shown.returncode == 1
    assert f"127.0.0.1, port {port}: cannot be listened on: " in shown.stderr
    assert len(shown.stderr.strip().splitlines()) == 1


@pytest.mark.parametrize(
    "label", ["", ".", "..", "a/b", "a\\b", "/etc", ".hidden", "x" * 65, "nul\0", "line\n", " x"]
)
def test_labels_that_are_no_folder_are_refused(tmp_path, label):
    name, jpeg = snapshots.encode_snapshot(cv2.merge([cv2.UMat(8, 8, cv2.CV_8U).get()] * 3))
    with pytest.raises(DataError, match="is no name of a folder"):
        snapshots.write_snapshot(tmp_path, label, name, jpeg)
    assert not list(tmp_path.iterdir())


def test_a_label_that_is_a_link_out_of_the_folder_is_refused(tmp_path):
    outside = tmp_path / "outside"
    outside.mkdir()
    (tmp_path / "snapshots").mkdir()
    (tmp_path / "snapshots" / "stop").symlink_to(outside)
    with pytest.raises(DataError, match="leads out of"):
        snapshots.write_snapshot(
            tmp_path / "snapshots", "stop", "20260101-000000-000000.jpg", b"jpeg"
        )
    with pytest.raises(DataError, match="is no name of a snapshot"):
        snapshots.write_snapshot(tmp_path / "snapshots", "go", "../../x.jpg", b"jpeg")
    assert not list(outside.iterdir())


def test_a_folder_that_cannot_be_written_is_said(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(RunFolderError, match="cannot be written"):
        snapshots.write_snapshot(tmp_path / "file", "stop", "20260101-000000-000000.jpg", b"jpeg")


def test_snapshots_are_the_data_of_the_next_build(served):
    for label in ("give way", "no_entry", "give way"):
        assert served.ask("/snapshot", {"label": label})[0] == 200
    found = open_labeled(served.folder, (), QUIET)
    assert {"give way", "no_entry"} <= set(found.labels)
    assert len(list((served.folder / "give way").iterdir())) == 2
