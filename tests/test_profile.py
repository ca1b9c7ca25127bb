import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from edgecv.artifacts import TFLiteModel
from edgecv.device.link import AGENT, Link, local
from edgecv.errors import DeviceError, DeviceUnreachable, RecipeError, UnsupportedModelError
from edgecv.profile import profile
from edgecv.profile.statistics import median_interval, summary
from edgecv.progress import Progress
from edgecv.recipe import ProfileOptions
from edgecv.tflite import runtime
from tests import tiny_models
from tests.sshd import runs
from tests.waiting import wait_until

QUICK = ProfileOptions(runs=20, warmup_runs=2)
REPLY = 'print(json.dumps({"result": {}}), flush=True)'

NOTES = "open(os.environ['NOTE'], 'w').write(str(os.getpid()))"
SLEEPS = f"{NOTES}; time.sleep(99)"
HANGS = f"{NOTES}; ctypes.PyDLL(None).sleep(99)"  # no thread of the process can run


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return tiny_models.undecided(tmp_path_factory.mktemp("profile"), classes=10)


@pytest.fixture
def runtime_that(tmp_path, monkeypatch):
    """A LiteRT that does this in `invoke`, found before the real one."""

    def install(body: str) -> Path:
        package = tmp_path / "ai_edge_litert"
        package.mkdir()
        (package / "__init__.py").write_text("__version__ = '0.0'")
        (package / "interpreter.py").write_text(
            "import ctypes, os, signal, time\n"
            "class Interpreter:\n"
            "    def __init__(self, model_path, num_threads): self.model_path = model_path\n"
            "    def allocate_tensors(self): pass\n"
            "    def get_input_details(self): return []\n"
            "    def _get_ops_details(self): return []\n"
            f"    def invoke(self): {body}\n"
        )
        monkeypatch.setenv("PYTHONPATH", str(tmp_path))
        monkeypatch.setenv("NOTE", str(tmp_path / "pid"))
        return tmp_path

    return install


@pytest.fixture
def agent_that():
    """A link to an agent of these lines, which run after it has read a request."""

    def start(body: str) -> Link:
        lines = f"import json, sys, time\nfor line in sys.stdin:\n    {body}"
        return Link((sys.executable, "-c", lines), "bench board")

    return start


def started(file: Path) -> int:
    """The process id that a process writes to `file` when it is at work."""
    wait_until(lambda: file.exists() and file.read_text())
    return int(file.read_text())


def test_summary_of_a_hundred_samples():
    found = summary([each / 1000 for each in range(100, 0, -1)])
    assert found[:5] == pytest.approx((0.0505, 0.0901, 0.09901, 0.001, 0.0505))


def test_a_rare_outlier_does_not_count_as_variation():
    quiet, moved = [1.0, 1.01] * 25, [1.0] * 25 + [1.5] * 25
    assert summary([*quiet[:-1], 90.0]).variation < 0.01
    assert summary(moved).variation == pytest.approx(0.2, abs=0.01)


def test_interval_of_the_median_holds_it_as_often_as_it_says():
    """Of normal samples, whose median is known; one block, so that samples are independent."""
    random = np.random.default_rng(1)
    held = 0
    for _ in range(60):
        low, high = median_interval([random.normal(5.0, 0.1, 50)])
        held += low <= 5.0 <= high
    assert 0.88 < held / 60 < 1


def test_interval_is_as_wide_as_the_blocks_differ():
    alike = [[1.0, 1.01, 1.02] * 4] * 5
    differing = [[each + block / 10 for each in alike[0]] for block in range(5)]
    assert np.ptp(median_interval(alike)) < 0.02
    assert np.ptp(median_interval(differing)) > 0.1
    assert median_interval(differing) == median_interval(differing)


def test_hello_says_what_this_machine_is():
    with local() as agent:
        machine = agent.call("hello")
    assert machine["python"].split(".")[0] == "3"
    assert machine["machine"] == os.uname().machine
    assert machine["cores"] == len(os.sched_getaffinity(0))


@pytest.mark.parametrize("name", ["litert", "tflite"])
def test_entry_is_made_of_the_samples(model, name):
    pytest.importorskip(runtime.RUNTIMES[name].package)
    entry = profile(model, ProfileOptions(runs=20, warmup_runs=2, threads=2, runtime=name))
    samples = entry["context"]["samples_ms"]
    assert entry["runs"] == len(samples) == 20
    assert entry["runtime"] == runtime.runtime_name(name)
    assert (entry["device"], entry["origin"], entry["model"]) == ("host", "measured", "float32")
    assert (entry["threads"], entry["delegate"]) == (2, "xnnpack")
    assert entry["ci_low_ms"] <= entry["p50_ms"] <= entry["ci_high_ms"]
    assert entry["mean_ms"] == pytest.approx(np.mean(samples), abs=2e-4)
    assert sum(block["runs"] for block in entry["blocks"]) == 20
    assert entry["p50_ms"] == pytest.approx(np.median(samples), abs=2e-4)
    assert entry["p99_ms"] == pytest.approx(np.percentile(samples, 99), abs=2e-4)
    assert entry["min_ms"] == min(samples)
    assert entry["first_ms"] > 0
    assert entry["valid"] is ("reason" not in entry)


def test_median_has_the_size_of_a_bare_loops():
    """In milliseconds, of one inference, of this model: not what the noise of a machine decides."""
    tiny = tiny_models.tiny()
    entry = profile(tiny.float32, QUICK)
    interpreter = runtime.load(tiny.float32.path)
    seconds = []
    for _ in range(200):
        start = time.perf_counter()
        interpreter.invoke()
        seconds.append(time.perf_counter() - start)
    assert 0.1 < entry["min_ms"] / (min(seconds) * 1e3) < 10


def test_peak_memory_is_the_models_and_not_that_of_who_asks(model):
    ballast = np.ones(400_000_000, np.uint8)
    entry = profile(model, QUICK)
    assert entry["context"]["idle_rss_bytes"] <= entry["peak_rss_bytes"] < ballast.nbytes / 2


def test_runtime_without_a_delegate_is_builtin(model, runtime_that):
    runtime_that("pass")
    assert profile(model, QUICK)["delegate"] == "builtin"


def test_progress_counts_every_inference(model, runtime_that):
    class Counting(Progress):
        done: int = 0

        def track(self, items, label, total=None):
            self.label, self.total = label, total
            for item in items:
                self.done += 1
                yield item

    runtime_that("time.sleep(0.3)")
    progress = Counting()
    profile(model, ProfileOptions(runs=4, warmup_runs=1), progress=progress)
    assert progress.done == progress.total == 4
    assert progress.label == "profile float32"


def test_crash_of_the_runtime_names_the_signal_and_leaves_the_agent_at_work(model, runtime_that):
    runtime_that("os.kill(os.getpid(), signal.SIGSEGV)")
    with local() as agent:
        with pytest.raises(DeviceError, match="host: benchmark: the runtime ended with signal 11"):
            agent.call("benchmark", {"model": str(model.path), "runs": 1})
        assert agent.call("hello")["cores"]


def test_text_that_the_runtime_prints_is_not_a_reply(model, runtime_that):
    runtime_that("os.write(1, b'INFO: hello\\n')")
    assert profile(model, QUICK)["runs"] == 20


def test_measurement_ends_with_its_link(model, runtime_that):
    note = runtime_that(HANGS) / "pid"
    request = {"model": str(model.path), "runs": 1}
    with local() as agent, pytest.raises(DeviceUnreachable, match=r"silent for 4 s during 'bench"):
        agent.call("benchmark", request, timeout=4)
    wait_until(lambda: not runs(started(note)))


def test_measurement_ends_when_its_agent_is_killed(model, runtime_that):
    note = runtime_that(SLEEPS) / "pid"
    with local() as agent:
        replies = agent.stream("benchmark", {"model": str(model.path), "runs": 1}, timeout=60)
        killer = threading.Timer(0, lambda: (started(note), agent._agent.kill()))
        killer.start()
        with pytest.raises(DeviceUnreachable, match="ended during 'benchmark'"):
            list(replies)
        killer.join()
        wait_until(lambda: not runs(started(note)))


def test_measurement_ends_when_its_host_is_killed(model, runtime_that, tmp_path):
    note = runtime_that(HANGS) / "pid"
    script = (
        "from edgecv.device.link import local\n"
        f"local().call('benchmark', {{'model': {str(model.path)!r}, 'runs': 1}})"
    )
    path = os.pathsep.join([str(Path(__file__).parent.parent), str(tmp_path)])
    host = subprocess.Popen([sys.executable, "-c", script], env={**os.environ, "PYTHONPATH": path})
    try:
        measuring = started(note)
    finally:
        host.send_signal(signal.SIGKILL)
        host.wait()
    wait_until(lambda: not runs(measuring))


@pytest.mark.parametrize(
    ("body", "error", "words"),
    [
        pytest.param("time.sleep(60)", DeviceUnreachable, "silent for 0.5 s", id="hung"),
        pytest.param("raise SystemExit('no numpy')", DeviceUnreachable, ": no numpy", id="died"),
        pytest.param(
            "print('Welcome!', flush=True)", DeviceUnreachable, "after 'Welcome!'", id="garbage"
        ),
        pytest.param(
            "print('[1]', flush=True)", DeviceUnreachable, r"after '\[1\]'", id="no reply"
        ),
    ],
)
def test_agent_that_misbehaves_is_an_error_of_one_line(agent_that, body, error, words):
    with agent_that(body) as agent, pytest.raises(error, match=f"bench board: .*{words}") as found:
        agent.call("hello", timeout=0.5)
    assert "\n" not in str(found.value)


def test_call_after_the_agent_died_is_unreachable(agent_that):
    with agent_that("""print('{"result": {"path": "/there"}}', flush=True); break""") as agent:
        assert agent.call("clean") == {"path": "/there"}
        agent._agent.wait()
        with pytest.raises(DeviceUnreachable, match="ended during 'again'"):
            agent.call("again")


def test_agent_that_cannot_be_started_is_unreachable():
    with pytest.raises(DeviceUnreachable, match="attic: /nowhere/python: No such file"):
        Link(("/nowhere/python", str(AGENT)), "attic")


@pytest.mark.parametrize("method", ["nope", "__import__", "measure"])
def test_only_listed_methods_can_be_called(method):
    with local() as agent, pytest.raises(DeviceError, match=f"no method named '{method}'"):
        agent.call(method)


def test_file_that_is_no_model_or_half_of_one_is_named(model, tmp_path):
    (tmp_path / "notes.tflite").write_text("eggs, milk")
    with pytest.raises(UnsupportedModelError, match=r"notes\.tflite: not a TFLite file"):
        profile(TFLiteModel(tmp_path / "notes.tflite", "int8"), QUICK)
    (tmp_path / "half.tflite").write_bytes(model.path.read_bytes()[:1000])
    with pytest.raises(UnsupportedModelError, match=r"half\.tflite: damaged or truncated"):
        profile(TFLiteModel(tmp_path / "half.tflite", "int8"), QUICK)


def test_missing_model_and_unknown_device_are_named(model, tmp_path):
    with pytest.raises(UnsupportedModelError, match=r"gone\.tflite: cannot be read: No such file"):
        profile(TFLiteModel(tmp_path / "gone.tflite", "int8"), QUICK)
    with pytest.raises(RecipeError, match=r"device 'hots': not known; .*did you mean 'host'"):
        profile(model, QUICK, "hots")


def test_missing_runtime_is_named(model, tmp_path, monkeypatch):
    (tmp_path / "sitecustomize.py").write_text(
        "import sys; sys.modules.update(ai_edge_litert=None, tflite_runtime=None)"
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with pytest.raises(DeviceError, match="litert or tflite-runtime is not installed"):
        profile(model, QUICK)
