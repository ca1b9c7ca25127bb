"""The demo without its page: sources, the way of a picture, scores, lines of JSON."""

import itertools
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import cv2
import numpy as np
import pytest
from click.testing import CliRunner

from edgecv.artifacts import Normalization
from edgecv.cli import main
from edgecv.data import images
from edgecv.data.sign_shapes import LABELS
from edgecv.demo import model_facts, run, sources, synthetic, window
from edgecv.demo.classifier import Classifier
from edgecv.demo.frames import Closed, Slot
from edgecv.demo.live_figures import Figures, Smoothed
from edgecv.demo.options import DemoModel, DemoOptions, from_json
from edgecv.demo.pipeline import Pipeline
from edgecv.errors import DataError, DeviceError, RecipeError
from edgecv.tflite import flatbuffer, runtime
from tests.demo_models import CROP, demo_models, film_in
from tests.tiny_models import RESOLUTION
from tests.waiting import SECONDS, wait_until


@pytest.fixture(scope="module")
def both():
    return model_facts.describe(demo_models())


@pytest.fixture
def pictures(tmp_path):
    """A folder with six pictures in two classes, one file that is none, and their BGR pixels."""
    found = {}
    for label, step in itertools.product((0, 5), (0.2, 0.5, 0.8)):
        street = np.full((240, 360, 3), 90, np.uint8)
        path = tmp_path / "pictures" / LABELS[label] / f"{step}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        found[path] = synthetic.picture(street, (320, 240), label, step)
        cv2.imwrite(str(path), found[path])
    (tmp_path / "pictures" / "broken.jpg").write_bytes(b"\xff\xd8 no picture")
    return found


def edgecv(*arguments, **environment):
    """The command in a process of its own."""
    command = [sys.executable, "-m", "edgecv", *map(str, arguments)]
    env = {**os.environ, **environment}
    return subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, env=env)


def test_the_newest_wins():
    slot = Slot()
    for each in range(5):
        slot.put(each)
    assert (slot.take(), slot.dropped) == (4, 4)
    slot.put(5)
    slot.close()
    assert slot.take() == 5
    with pytest.raises(Closed):
        slot.take()
    with pytest.raises(Closed):
        slot.put(6)


def test_where_every_one_counts_who_puts_waits():
    slot, taken = Slot(every=True), []

    def take():
        for _ in range(50):
            time.sleep(0.001)
            taken.append(slot.take())

    reader = threading.Thread(target=take)
    reader.start()
    for each in range(50):
        slot.put(each)
    reader.join()
    assert taken == list(range(50))
    assert slot.dropped == 0


def test_options_travel_as_json(both):
    options = DemoOptions(both, "synthetic", (320, 240), 7.5, token="x" * 16)
    assert from_json(options.to_json()) == options


def test_a_model_says_its_labels_and_its_crop(both):
    assert [each.name for each in both] == ["signs_float32", "signs_int8"]
    assert all((each.labels, each.crop) == (LABELS, CROP) for each in both)


def test_labels_that_do_not_fit_are_named(tmp_path):
    (tmp_path / "labels.txt").write_text("one\ntwo\n")
    with pytest.raises(DataError, match=r"signs_int8.tflite: gives 10 scores, .* 2 labels"):
        model_facts.describe([demo_models().int8], tmp_path / "labels.txt")


@pytest.mark.parametrize("index", [0, 1], ids=["float32", "int8"])
@pytest.mark.parametrize(
    "normalization", [None, Normalization((123.7, 116.3, 103.5), (58.4, 57.1, 57.4))]
)
def test_scores_are_those_of_evaluate(both, pictures, index, normalization):
    described = both[index]
    if normalization:
        described = DemoModel(**{**vars(described), "normalization": normalization})
    classifier = Classifier(described)
    interpreter = runtime.load(Path(described.path))
    for path, pixels in pictures.items():
        classifier.fill(classifier.square(pixels))
        shown = images.fit_view(images.read(path), images.Square(RESOLUTION, CROP))
        expected = runtime.run(interpreter, shown[np.newaxis], described.normalization)[0]
        np.testing.assert_array_equal(classifier.scores(), expected)


def test_a_model_of_the_signs_knows_those_that_move(both):
    classifier, right = Classifier(both[0]), 0
    for label in range(10):
        street = synthetic._street((320, 240), label)
        for share in np.linspace(0, 0.95, 10):
            shown = synthetic.picture(street, (320, 240), label, share)
            classifier.fill(classifier.square(shown))
            right += int(classifier.scores().argmax()) == label
    assert right >= 60  # of 100; guessing gives 10


def test_smoothing_depends_on_time_not_on_the_rate():
    one, zero = np.array([1, 0], np.float32), np.array([0, 1], np.float32)
    ends = []
    for rate in (10, 100):
        smoothed = Smoothed()
        smoothed.add(zero, 0.0)
        for step in range(1, rate + 1):
            end = smoothed.add(one, step / rate)
        ends.append(end[0])
    assert ends[0] == pytest.approx(ends[1], abs=1e-5)
    assert 0.85 < ends[0] < 1


def test_figures_are_percentiles_of_what_was_added():
    figures = Figures()
    for each in range(1, 101):
        figures.add(0.001, each / 1000, each / 500)
    found = figures.read()
    assert found["frames"] == 100
    assert found["inference_ms"] == {"p50": 50.5, "p99": pytest.approx(99.01)}
    assert found["delay_ms"]["p50"] == 101
    figures.clear()
    assert "inference_ms" not in figures.read()


def test_every_picture_of_a_folder_is_classified_once(pictures):
    shown = edgecv("demo", demo_models().float32, "--source", next(iter(pictures)).parents[1],
                   "--once", "--json")  # fmt: skip
    assert shown.returncode == 0, shown.stderr
    lines = [json.loads(line) for line in shown.stdout.splitlines()]
    names = [str(path.relative_to(path.parents[1])) for path in sorted(pictures)]
    assert [each["name"] for each in lines] == names
    assert all(len(each["top"]) == 5 and each["inference_ms"] > 0 for each in lines)
    assert "Next: edgecv profile" in shown.stderr  # no snapshot was kept to build from


def test_both_runtimes_see_the_same(pictures):
    pytest.importorskip("tflite_runtime")
    found = []
    for name in ("litert", "tflite"):
        shown = edgecv("demo", demo_models().float32, "--source", next(iter(pictures)).parents[1],
                       "--once", "--json", "--runtime", name)  # fmt: skip
        assert shown.returncode == 0, shown.stderr
        found.append([dict(json.loads(line)["top"]) for line in shown.stdout.splitlines()])
    for ours, theirs in zip(*found, strict=True):
        assert ours == pytest.approx(theirs, abs=2e-4)


def test_a_board_without_litert_runs_tflite_runtime(pictures, tmp_path):
    pytest.importorskip("tflite_runtime")
    (tmp_path / "sitecustomize.py").write_text("import sys; sys.modules['ai_edge_litert'] = None")
    shown = edgecv("demo", demo_models().int8, "--source", next(iter(pictures)).parents[1],
                   "--once", "--json", PYTHONPATH=str(tmp_path))  # fmt: skip
    assert shown.returncode == 0, shown.stderr
    assert {json.loads(line)["top"][0][0] for line in shown.stdout.splitlines()} <= set(LABELS)


@pytest.fixture
def film(tmp_path):
    return film_in(tmp_path)


def test_a_pipeline_that_is_shown_a_video_once_ends(both, film):
    heard = []
    pipeline = Pipeline(DemoOptions(both, str(film), once=True), heard.append)
    pipeline.start()
    assert pipeline.wait(SECONDS)
    assert [each.frame.name for each in heard] == [f"film.avi#{each}" for each in range(1, 13)]
    assert pipeline.dropped == 0
    pipeline.close()


def test_stop_frees_the_source_and_start_opens_it_again(both):
    pipeline = Pipeline(DemoOptions(both, "synthetic", (160, 120), fps=100))
    opened, taken, closed = [], [], []

    def frames():
        opened.append(1)
        try:
            for frame in sources._synthetic(pipeline.options):
                taken.append(1)
                yield frame
        finally:
            closed.append(1)

    pipeline.source = sources.Source("counted", frames)
    pipeline.start()
    wait_until(lambda: pipeline.figures.done > 3)
    pipeline.stop()
    wait_until(lambda: closed)
    under_way = 1  # at most: the frame that was taken when it was told to stop
    wait_until(lambda: pipeline.figures.done + pipeline.dropped >= len(taken) - under_way)
    done = pipeline.figures.done
    assert len(opened) == 1
    pipeline.go_on()
    wait_until(lambda: pipeline.figures.done > done)
    assert len(opened) == 2
    pipeline.close()
    assert len(closed) == 2
    assert not any(each.is_alive() for each in pipeline._threads)


def test_a_model_is_changed_while_it_runs(both):
    pipeline = Pipeline(DemoOptions(both, "synthetic", (160, 120), fps=100))
    pipeline.start()
    wait_until(lambda: pipeline.latest)
    assert pipeline.latest.model is both[0]
    pipeline.choose(1, 2)
    wait_until(lambda: pipeline.latest.model is both[1])
    assert pipeline.classifier.threads == 2
    for wrong in ((2, 1), (-1, 1), (0, 0), (0, 65)):
        with pytest.raises(RecipeError):
            pipeline.choose(*wrong)
    assert pipeline.latest.model is both[1]
    pipeline.close()


def test_a_slow_model_drops_frames_and_keeps_the_delay(both, monkeypatch):
    slow = Classifier.scores

    def scores(self):
        time.sleep(0.05)
        return slow(self)

    monkeypatch.setattr(Classifier, "scores", scores)
    heard = []
    pipeline = Pipeline(DemoOptions(both, "synthetic", (64, 64), fps=200), heard.append)
    pipeline.start()
    wait_until(lambda: len(heard) >= 20)
    pipeline.close()
    assert pipeline.dropped > 40
    taken = [each.frame.taken for each in heard]
    assert taken == sorted(taken)
    assert np.median([each.delay for each in heard[-10:]]) < 2 * 0.05 + 0.1


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["--source", "nothing.mp4"], 2, "'nothing.mp4': no such file; allowed are a camera's"),
        (["--source", "7777"], 1, "/dev/video7777: no such camera"),
        (["--source", "/dev/null"], 1, "/dev/null: gives no pictures: another program uses it"),
        (["--source", __file__], 1, "test_demo.py: no video that OpenCV can read"),
        (["--source", "rtsp://me:secret@127.0.0.1:9/"], 1, "rtsp://127.0.0.1:9/: no video there"),
        (["--size", "large"], 2, "--size: must be WIDTHxHEIGHT, such as 640x480, got 'large'"),
        (["--fps", "0"], 2, "--fps: must be 0.01 to 1000, got 0.0"),
        (["--threads", "0"], 2, "--threads: must be 1 to 64, got 0"),
        (["--runtime", "tf"], 2, "--runtime: must be auto | litert | tflite, got 'tf'"),
        (["--window", "--headless"], 2, "--window: not together with --headless"),
        (["--device", "rpi4", "--listen", "0.0.0.0"], 2, "--listen: a board's page comes through"),
        (["--once"], 2, "--once: a page would end with it; add --json"),
        (["--token", "short"], 2, "--token: must have 16 characters or more"),
        (["--labels", "none.txt"], 1, "none.txt: not a readable file of labels"),
        (["--delegate", "edgetpu"], 1, "libedgetpu.so.1: "),
    ],
)  # fmt: skip
def test_a_mistake_is_one_line(arguments, code, said, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shown = edgecv("demo", demo_models().int8, *arguments)
    assert shown.returncode == code, shown.stderr
    assert said in shown.stderr
    assert "secret" not in shown.stderr
    assert len(shown.stderr.strip().splitlines()) == 1
    assert not list(tmp_path.iterdir())


def test_without_a_model_there_is_nothing_to_show():
    shown = CliRunner().invoke(main, ["demo"])
    assert shown.exit_code == 2
    assert "MODELS: name at least one .tflite file" in shown.stderr


def test_what_is_no_model_is_named(tmp_path):
    (tmp_path / "no.tflite").write_bytes(b"\x18\0\0\0TFL3" + bytes(40))
    shown = CliRunner().invoke(main, ["demo", str(tmp_path / "no.tflite")])
    assert shown.exit_code == 1
    assert "no.tflite: damaged or truncated TFLite file" in shown.stderr


def test_ctrl_c_ends_lines_and_all_is_well():
    command = [sys.executable, "-m", "edgecv", "demo", demo_models().int8, "--source", "synthetic"]
    process = subprocess.Popen([*command, "--headless"], stdout=subprocess.PIPE,
                               stderr=subprocess.PIPE, text=True)  # fmt: skip
    assert json.loads(process.stdout.readline())["top"]
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=SECONDS)
    assert process.returncode == 0
    assert "Next: " in said


def test_figures_come_once_a_second(both):
    stop, lines = threading.Event(), []

    def write(line):
        lines.append(line)
        if "figures" in line:
            stop.set()

    found = run.write_lines(DemoOptions(both, "synthetic", (160, 120)), write, stop)
    figures = next(line["figures"] for line in lines if "figures" in line)
    assert figures["memory_bytes"] > 1e6
    assert 0 < figures["fps"] < 60
    assert found["frames"] >= len(lines) - 1


def test_a_window_is_drawn_on_a_copy(both, pictures):
    heard = []
    folder = next(iter(pictures)).parents[1]
    pipeline = Pipeline(DemoOptions(both, str(folder), once=True), heard.append)
    pipeline.start()
    assert pipeline.wait(SECONDS)
    before = heard[0].frame.pixels.copy()
    drawn = window.draw(heard[0], 30.0)
    assert (heard[0].frame.pixels == before).all()
    assert (drawn[10:60] != before[10:60]).any()
    assert drawn.shape == before.shape


def test_a_window_needs_a_screen(both, monkeypatch):
    for name in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(DeviceError, match="--window: there is no screen here"):
        run.show_window(DemoOptions(both, "synthetic"))


def test_a_foreign_file_that_crashes_the_runtime_is_one_line(tmp_path):
    tree = flatbuffer.read(demo_models().int8)
    tree.metadata = []
    foreign = flatbuffer.write(tree, tmp_path / "foreign.tflite")
    (tmp_path / "sitecustomize.py").write_text(
        "import os, sys\nif 'edgecv.tflite.smoke_load' in sys.orig_argv: os.abort()\n"
    )
    shown = edgecv("demo", foreign, "--source", "synthetic", PYTHONPATH=str(tmp_path))
    assert shown.returncode == 1
    assert shown.stderr == (f"Error: {foreign}: the runtime crashed on it (signal SIGABRT)\n")


@pytest.mark.slow
def test_a_window_shows_what_the_camera_sees(tmp_path):
    """On a screen that is a file: Xvfb's, whose pixels follow a header that says its length."""
    if not shutil.which("Xvfb"):
        pytest.skip("needs xvfb")
    read, write = os.pipe()
    screen = subprocess.Popen(
        ["Xvfb", "-displayfd", str(write), "-screen", "0", "800x600x24", "-fbdir", tmp_path,
         "-noreset"],  # else it starts anew, and loses a window, when a first client has left
        pass_fds=(write,), stderr=subprocess.DEVNULL,
    )  # fmt: skip
    shown = None
    try:
        display = f":{os.read(read, 16).decode().strip()}"
        command = [sys.executable, "-m", "edgecv", "demo", demo_models().int8, "--window"]
        shown = subprocess.Popen([*command, "--source", "synthetic"], stderr=subprocess.PIPE,
                                 text=True, env={**os.environ, "DISPLAY": display})  # fmt: skip

        def pixels():
            assert shown.poll() is None, shown.stderr.read()
            data = (tmp_path / "Xvfb_screen0").read_bytes()
            return np.frombuffer(data[int.from_bytes(data[:4], "big") :], np.uint8)[
                -800 * 600 * 4 :
            ]

        wait_until(lambda: len(np.unique(pixels())) > 100)
        before = pixels()
        wait_until(lambda: (pixels() != before).mean() > 0.01)
        shown.send_signal(signal.SIGINT)
        _, said = shown.communicate(timeout=SECONDS)
        assert shown.returncode == 0, said
        assert re.search(r"\d+ pictures?; inference p50 ", said)
    finally:
        for process in filter(None, (shown, screen)):
            process.kill()
            process.communicate()
        os.close(read)
        os.close(write)
