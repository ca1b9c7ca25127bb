"""The agent's two files, in real processes on this machine: what they answer, and how they end."""

import ast
import base64
import hashlib
import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

from edgecv.artifacts import TFLiteModel
from edgecv.device.link import local
from edgecv.device.ssh import FILES
from edgecv.errors import DeviceError
from edgecv.tflite import runtime
from tests.sshd import descendants, runs
from tests.waiting import SECONDS, wait_until

DATA = bytes(range(256)) * 40
SHA256 = hashlib.sha256(DATA).hexdigest()
DYING = (
    "import ctypes, os, signal, time\n"
    "class Interpreter:\n"
    "    def __init__(self, model_path, num_threads): pass\n"
    "    def allocate_tensors(self): {body}\n"
)


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> TFLiteModel:
    """Two inputs' worth of pixels give two different answers: its weights are random."""
    import tf_keras
    from tf_keras import layers

    from edgecv.convert.keras import convert

    tf_keras.utils.set_random_seed(3)
    image = layers.Input((8, 8, 3), name="image")
    scores = layers.Dense(5, "softmax")(layers.Flatten()(image))
    folder = tmp_path_factory.mktemp("agent")
    return convert(tf_keras.Model(image, scores), folder / "random.tflite")


@pytest.fixture
def home(tmp_path, monkeypatch):
    """A home of the agent's own."""
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path / ".cache" / "edgecv" / "board"


@pytest.fixture
def runtime_that(tmp_path, monkeypatch):
    """A LiteRT that does this when it allocates tensors, found before the real one."""

    def install(body: str) -> None:
        package = tmp_path / "ai_edge_litert"
        package.mkdir()
        (package / "__init__.py").write_text("__version__ = '0.0'")
        (package / "interpreter.py").write_text(DYING.format(body=body))
        monkeypatch.setenv("PYTHONPATH", str(tmp_path))

    return install


def part(data=DATA, offset=0, last=True, sha256=SHA256):
    text = base64.b64encode(data).decode()
    return {"sha256": sha256, "offset": offset, "data": text, "last": last}


def images(count):
    return np.random.default_rng(5).uniform(-1, 1, (count, 8, 8, 3)).astype(np.float32)


def request(model, batch, **options):
    inputs = [base64.b64encode(batch.tobytes()).decode()]
    return {"model": str(model.path), "count": len(batch), "inputs": inputs, **options}


def scores(reply):
    (found,) = reply["outputs"]
    values = np.frombuffer(base64.b64decode(found["data"]), found["dtype"])
    return values.reshape(found["shape"])


def child_of(pid: int) -> int:
    """The worker, once the agent has started one."""
    wait_until(lambda: descendants(pid))
    return descendants(pid)[0]


def ask(agent: subprocess.Popen, method: str, params: dict) -> None:
    """Send a request, whatever becomes of it."""
    agent.stdin.write(json.dumps({"method": method, "params": params}).encode() + b"\n")
    agent.stdin.flush()


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_files_are_python_3_7_and_need_only_the_standard_library_and_numpy(path):
    tree = ast.parse(path.read_text(), feature_version=(3, 7))
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names.add(node.module.partition(".")[0])
    assert names - {"numpy", "conditions", "edgetpu", "worker"} <= sys.stdlib_module_names


@pytest.mark.parametrize("name", ["litert", "tflite"])
def test_outputs_are_those_of_the_runtime(model, name):
    """LiteRT's bit for bit; tflite-runtime cannot run in a process that has loaded TensorFlow."""
    pytest.importorskip(runtime.RUNTIMES[name].package)
    batch = images(3)
    with local() as agent:
        found = agent.call("run", request(model, batch, runtime=name))
    interpreter = runtime.load(model.path)
    expected = []
    for image in batch:
        interpreter.set_tensor(interpreter.get_input_details()[0]["index"], image[None])
        interpreter.invoke()
        expected.append(interpreter.get_tensor(interpreter.get_output_details()[0]["index"]))
    tolerance = 0 if name == "litert" else 1e-6
    np.testing.assert_allclose(scores(found), np.stack(expected), rtol=0, atol=tolerance)
    assert len(np.unique(scores(found), axis=0)) == 3
    assert found["runtime"] == runtime.runtime_name(name)
    assert len(found["seconds"]) == 3


def test_model_stays_loaded_for_the_next_batch_but_not_for_a_measurement(model):
    with local() as agent:
        agent.call("run", request(model, images(1)))
        first = descendants(agent._agent.pid)
        agent.call("run", request(model, images(2)))
        assert descendants(agent._agent.pid) == first
        agent.call("benchmark", {"model": str(model.path), "runs": 1})
        agent.call("hello")
        assert not descendants(agent._agent.pid)


def test_builtin_kernels_can_be_asked_for(model):
    with local() as agent:
        assert agent.call("run", request(model, images(1)))["delegate"] == "xnnpack"
        found = agent.call("run", request(model, images(1), delegate="builtin"))
    assert found["delegate"] == "builtin"


def test_measurement_keeps_to_its_cores(runtime_that):
    runtime_that("raise RuntimeError(sorted(os.sched_getaffinity(0)))")
    core = max(os.sched_getaffinity(0))
    with local() as agent, pytest.raises(DeviceError, match=rf"RuntimeError: \[{core}\]"):
        agent.call("benchmark", {"model": "m", "runs": 1, "cores": [core]})


def test_batch_of_another_size_is_an_error_and_the_agent_goes_on(model):
    wrong = {**request(model, images(2)), "count": 3}
    with local() as agent:
        with pytest.raises(DeviceError, match="host: run: ValueError: cannot reshape"):
            agent.call("run", wrong)
        assert scores(agent.call("run", request(model, images(2)))).shape[0] == 2


def test_model_that_the_runtime_cannot_load_is_an_error(tmp_path):
    (tmp_path / "bad.tflite").write_bytes(b"\x1c\0\0\0TFL3" + bytes(100))
    with local() as agent, pytest.raises(DeviceError, match="host: run: "):
        agent.call("run", {"model": str(tmp_path / "bad.tflite"), "count": 0, "inputs": []})


def test_model_that_crashes_the_runtime_is_reported_with_the_signal(model, runtime_that):
    runtime_that("ctypes.string_at(0)")
    with local() as agent:
        with pytest.raises(DeviceError, match=r"run: the runtime ended with signal 11 \(SIGSEGV\)"):
            agent.call("run", request(model, images(1)))
        assert agent.call("hello")["cores"]


def test_killed_worker_is_reported_with_the_likely_reason(model, runtime_that):
    runtime_that("os.kill(os.getpid(), signal.SIGKILL)")
    with local() as agent, pytest.raises(DeviceError, match=r"\(SIGKILL\): was there memory left"):
        agent.call("run", request(model, images(1)))


def test_a_python_without_what_the_worker_needs_is_said(model, tmp_path, monkeypatch):
    (tmp_path / "ctypes.py").write_text("raise ModuleNotFoundError(\"No module named 'ctypes'\")")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with local() as agent, pytest.raises(DeviceError, match="run: ImportError: No module named"):
        agent.call("run", request(model, images(1)))


def test_file_is_kept_under_its_hash_and_goes_on_where_it_stopped(home):
    with local() as agent:
        assert agent.call("stored", {"sha256": SHA256})["bytes"] == 0
        agent.call("store", part(DATA[:1000], last=False))
    with local() as agent:
        there = agent.call("stored", {"sha256": SHA256})
        assert (there["bytes"], there["whole"]) == (1000, False)
        there = agent.call("store", part(DATA[1000:], offset=1000))
    assert there["whole"]
    assert Path(there["path"]).read_bytes() == DATA
    assert list(home.iterdir()) == [home / SHA256]


def test_two_agents_may_copy_the_same_file_at_once(home):
    with local() as slow, local() as fast:
        for agent in (slow, fast):
            agent.call("store", part(DATA[:1000], last=False))
        assert fast.call("store", part(DATA[1000:], offset=1000))["whole"]
        assert slow.call("store", part(DATA[1000:2000], offset=1000, last=False))["whole"]
        assert slow.call("store", part(DATA[2000:], offset=2000))["whole"]
    assert (home / SHA256).read_bytes() == DATA


def test_damaged_file_is_not_kept(home):
    with local() as agent:
        damaged = agent.call("store", part(DATA[::-1]))
        assert (damaged["whole"], damaged["bytes"]) == (False, 0)
        agent.call("store", part())
        (home / SHA256).write_bytes(b"the card is worn out")
        assert not agent.call("stored", {"sha256": SHA256})["whole"]
    assert not list(home.iterdir())


def test_full_disk_is_named_and_does_not_stay_full(home):
    home.mkdir(parents=True)
    (home / f"{SHA256}.partial").symlink_to("/dev/full")
    with local() as agent, pytest.raises(DeviceError, match=r"store: .*No space left on device"):
        agent.call("store", part())
    assert not list(home.iterdir())


@pytest.mark.parametrize("name", ["../../.ssh/authorized_keys", "", "A" * 64, SHA256 + "/x"])
def test_only_hashes_are_names_of_files(name):
    with local() as agent, pytest.raises(DeviceError, match="ValueError: not a SHA-256"):
        agent.call("store", part(sha256=name))


def test_clean_leaves_nothing(home):
    with local() as agent:
        agent.call("store", part())
        agent.call("clean")
    assert not home.exists()


def test_attempt_says_what_really_loads():
    with local() as agent:
        assert agent.call("attempt", {"name": "numpy"})["version"] == np.__version__
        with pytest.raises(DeviceError, match=r"libedgetpu.so.1: cannot open shared object"):
            agent.call("attempt", {"name": "edgetpu"})


def test_hung_worker_dies_with_an_agent_that_is_killed(model, runtime_that, tmp_path):
    """Even when no thread of it can run, and nobody is left to end it."""
    note = tmp_path / "hung"
    runtime_that(f"open({str(note)!r}, 'w').close(), ctypes.PyDLL(None).sleep(99)")
    agent = subprocess.Popen([sys.executable, FILES[0]], stdin=subprocess.PIPE)
    ask(agent, "benchmark", {"model": "m", "runs": 1})
    worker = child_of(agent.pid)
    wait_until(note.exists)
    agent.kill()
    agent.wait()
    agent.stdin.close()
    wait_until(lambda: not runs(worker))


def test_agent_ends_with_its_input_though_its_worker_does_not_read(model):
    """A request that does not fit into the pipe is no reason to stay on the board."""
    agent = subprocess.Popen(
        [sys.executable, FILES[0]], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    ask(agent, "run", request(model, images(1)))
    worker = child_of(agent.pid)
    while b'"result"' not in agent.stdout.readline():
        pass
    os.kill(worker, signal.SIGSTOP)
    ask(agent, "run", request(model, images(1000)))
    agent.stdin.close()
    try:
        assert agent.wait(SECONDS) == 0
    finally:
        agent.kill()
        agent.stdout.close()
    wait_until(lambda: not runs(worker))


def test_request_in_the_middle_of_a_measurement_ends_it(model, runtime_that):
    """The host never sends one; what comes then is not edgecv."""
    runtime_that("time.sleep(99)")
    with local() as agent:
        replies = agent.stream("benchmark", {"model": "m", "runs": 1}, 30)
        speaker = threading.Thread(
            target=lambda: (child_of(agent._agent.pid), agent._requests.write(b"{}\n")), daemon=True
        )
        speaker.start()
        with pytest.raises(DeviceError, match="ended during 'benchmark'"):
            list(replies)
        speaker.join()


def test_text_that_is_sent_is_never_run(home):
    """Neither a method's name nor a parameter reaches a shell or the compiler."""
    text = "__import__('os').system('touch $HOME/owned')"
    with local() as agent:
        for method, params in [(text, {}), ("attempt", {"name": text}), ("stored", {text: 1})]:
            try:
                agent.call(method, params)
            except DeviceError as error:
                assert "\n" not in str(error)
    assert not (home.parents[2] / "owned").exists()


def test_agent_ends_with_its_input():
    agent = subprocess.Popen([sys.executable, FILES[0]], stdin=subprocess.PIPE)
    agent.stdin.close()
    assert agent.wait(SECONDS) == 0
