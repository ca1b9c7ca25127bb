"""A board that answers what edgecv's agent never does, behind a real sshd: one line of error."""

import json
import re

import pytest
from click.testing import CliRunner

from edgecv.cli import main
from edgecv.demo import remote
from edgecv.demo.options import DemoModel, DemoOptions
from edgecv.device import board, description, output
from edgecv.errors import DeviceError, DeviceUnreachable
from tests import sshd

HELLO = {
    **dict.fromkeys(("python", "executable", "system", "machine", "cpu"), "3.11"),
    "cores": 4,
    "emulated": False,
}
STORED = {"path": "/m", "whole": True, "bytes": 1}
PROBE = {
    **{"meminfo": None, "bits": 64, "glibc": "2.36", "page_bytes": 4096, "free_disk_bytes": 10**10},
    **{"usb": [], "throttled": None, "firmware_error": "", "other_load": None},
    **dict.fromkeys(("externally_managed", "pcie_card", "pcie_edgetpu", "pcie_writable"), False),
}
ARRAY = {"shape": [1], "dtype": "uint8", "data": "AA=="}
RUN = {"runtime": "litert 2", "delegate": "builtin", "seconds": [0.1], "outputs": [ARRAY]}
BENCHMARK = {
    **{"runtime": "litert 2", "delegate": "builtin", "load_seconds": 0.1, "first_seconds": 0.1},
    **{"warmup_runs": 5, "seconds": [0.1], "before": {}, "after": {}, "busy": None},
    **{"peak_rss_bytes": 1, "idle_rss_bytes": 1, "power": []},
}
PARAMS = {"run": {"count": 1}, "benchmark": {"runs": 1}, "compare": {"models": ["a"]}}
ESCAPE = "\x1b]0;owned\x07\x1b[2J\u202e"
SEEN = r"\x1b]0;owned\x07\x1b[2J\u202e"


@pytest.fixture(scope="module")
def hostile(tmp_path_factory):
    """A function that makes a board answer `hello` and then what is given; its device file."""
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("hostile")
        with sshd.boards(folder, patch) as start:
            there = start()

            def answering(*commands, hello=HELLO):
                lines = ["#!/bin/sh", "read -r _", f"cat {folder}/hello", "read -r _", *commands]
                (folder / "python").write_text("\n".join([*lines, "exec cat > /dev/null", ""]))
                (folder / "python").chmod(0o755)
                (folder / "hello").write_text(json.dumps({"result": hello}) + "\n")
                return there.device(python=str(folder / "python"))

            def replying(reply, **options):
                text = reply if isinstance(reply, str) else json.dumps(reply)
                (folder / "reply").write_text(text + "\n")
                return answering(f"cat {folder}/reply", **options)

            replying.by = answering
            yield replying


def refused(path, method, timeout=30.0):
    """The one line that a call ends with."""
    with board.reach(description.load(path)) as agent, pytest.raises(DeviceError) as found:
        agent.call(method, PARAMS.get(method, {}), timeout)
    assert str(found.value).isprintable()
    assert len(str(found.value)) < 1100
    return str(found.value)


@pytest.mark.parametrize(
    ("method", "reply", "words"),
    [
        ("probe", "[" * 100_000, r"no reply to 'probe' but '\[\[\["),
        ("probe", '{"result":' * 50_000, "no reply to 'probe' but "),
        ("probe", {"result": 5}, "answered nonsense: probe: must be an object, got 5"),
        ("probe", {"result": {}}, "must be an object with throttled, meminfo, "),
        ("probe", {"result": PROBE | {"throttled": "0xzz"}}, "throttled: must be a text .*'0xzz'"),
        ("probe", {"result": PROBE | {"usb": [{"id": 1}]}}, "an object with mbit_s, writable"),
        ("probe", {"result": PROBE | {"free_disk_bytes": 10**400}}, "must be a whole number of 0"),
        ("attempt", {"result": {"version": None}}, "attempt: version: must be a text, got None"),
        ("attempt", {"progress": "all"}, "progress: must be a list of 2, got 'all'"),
        ("attempt", {"progress": [1, 10**9]}, "must be of 1,000,000 steps at most"),
        ("attempt", {"error": {"a": [ESCAPE]}}, "x1b"),
        ("attempt", {"error": "x" * 10**6}, "bench: attempt: xxxx"),
        ("stored", {"result": STORED | {"bytes": -1}}, "bytes: must be a whole number of 0"),
        ("run", {"result": RUN | {"outputs": [ARRAY | {"dtype": "object"}]}}, "dtype: must be"),
        ("run", {"result": RUN | {"outputs": [ARRAY | {"dtype": "V9"}]}}, "dtype: must be"),
        ("run", {"result": RUN | {"seconds": []}}, "run: seconds: must be 1, got 0"),
        ("run", {"result": RUN | {"outputs": [ARRAY | {"shape": [2]}]}}, "1 bytes are no 1 items"),
        ("benchmark", {"result": BENCHMARK | {"seconds": [0]}}, "seconds: must be a number of 1e-"),
        ("benchmark", '{"result": {"seconds": [NaN]}}', "benchmark: must be an object with"),
        ("benchmark", {"result": BENCHMARK | {"busy": [1]}}, "busy: must be a list of 2"),
        ("benchmark", {"result": BENCHMARK | {"before": 3}}, "before: must be an object"),
        ("compare", {"result": BENCHMARK | {"delegates": ["x"]}}, "compare: must be an object"),
    ],
)  # fmt: skip
def test_a_reply_that_is_none_is_one_line(hostile, method, reply, words):
    assert re.search(words, refused(hostile(reply), method))


def test_a_line_without_an_end_ends_at_a_size(hostile, monkeypatch):
    monkeypatch.setattr(output, "MOST_LINE", 1 << 20)
    assert "answered 'probe' with a line without an end, 1 MB so far" in refused(
        hostile.by("yes | tr -d '\\n'"), "probe"
    )


def test_progress_that_gets_nowhere_is_silence(hostile):
    path = hostile.by("""while echo '{"progress": [3, 9]}'; do :; done""")
    silent = pytest.raises(DeviceUnreachable, match="silent for 1 s during 'attempt'")
    with board.reach(description.load(path)) as agent, silent:
        agent.call("attempt", {"name": "numpy"}, 1)


def test_what_is_shown_of_a_board_has_no_control_codes(hostile, tmp_path, monkeypatch):
    """Its facts, and what it says as it ends."""
    monkeypatch.setenv("EDGECV_DEVICES", str(tmp_path))
    path = hostile.by(f"printf '{ESCAPE}' >&2; exit 1", hello=HELLO | {"cpu": f"Pi{ESCAPE}"})
    shown = CliRunner().invoke(main, ["devices", "check", str(path)])
    assert shown.exit_code == 1
    assert SEEN in shown.stderr
    device = description.load(path)
    flags = ["--name", "x", "--ssh-config", device.ssh_config, "--python", device.python]
    shown = CliRunner().invoke(main, ["devices", "add", device.host, *flags])
    assert shown.exit_code == 0, shown.output
    assert shown.stdout.startswith(f"Pi{SEEN}, Python 3.11")


@pytest.mark.parametrize(
    ("news", "words"),
    [
        ("[" * 10**5, "the demo, or the way to it, ended: exit code 3"),
        ('{"error": "\\u001b[2J"}', r"bench: \x1b[2J"),
        ('{"missing": 5}', "bench: the agent ended during 'hello'"),
        ("[1]", "exit code 3"),
    ],
)
def test_a_demo_on_a_board_that_talks_nonsense_is_one_line(hostile, news, words):
    path = hostile(news)
    python = path.parent / "python"
    python.write_text(f"#!/bin/sh\ncat {path.parent}/reply; exit 3\n")
    options = DemoOptions(models=(DemoModel("m.tflite", "m", ()),))
    device = description.load(path)
    session = remote.Session(device, "demo.zip", options, "lines")
    with session, pytest.raises(DeviceError) as found:
        list(session.lines())
    assert str(found.value).isprintable()
    assert words in str(found.value)


def test_what_a_demo_says_is_shown_without_control_codes():
    line = remote.parse_line(json.dumps({"said": f"a\n{ESCAPE}"}).encode())
    assert line == {"said": f"a\n{SEEN}"}
