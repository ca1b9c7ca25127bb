"""Measurements: in what order, after what warm-up, valid or why not, and where they are kept."""

import json
import os
from collections import Counter
from pathlib import Path

import pytest
from click.testing import CliRunner

from edgecv.artifacts import TFLiteModel
from edgecv.cli import main
from edgecv.device import description
from edgecv.device.description import Device
from edgecv.device.link import local
from edgecv.profile import profile
from edgecv.profile.energy import energy, watts
from edgecv.profile.latency import TimedModel, measure, schedule, sweep
from edgecv.profile.validity import RULES, Measurement, objections
from edgecv.recipe import ProfileOptions
from tests import tiny_models

QUIET_PI = {"clock_mhz": 1800.0, "temperature_celsius": 51.1, "throttled": "0x0"}
VALID = Measurement(False, 4, 4, 0.1, 0.03, [QUIET_PI] * 10)
RUNTIME = """
import os, subprocess, time
FIRST
class Interpreter:
    def __init__(self, model_path, num_threads):
        with open(os.environ["NOTE"], "a") as note:
            note.write("%s %d\\n" % (os.path.basename(model_path), num_threads))
    def allocate_tensors(self): self.calls = 0
    def get_input_details(self): return []
    def _get_ops_details(self): return []
    def invoke(self):
        self.calls += 1
        BODY
"""
# A clock that only inferences move: `now[0] += 0.05` takes 50 ms, however busy the machine is.
CLOCK = "now = [1e6]; time.perf_counter = lambda: now[0]"
# The form of `vcgencmd pmic_read_adc`; the rails of a Pi 5, values made up.
PMIC = """     3V7_WL_SW_A current(0)=0.10000000A
     DDR_VDD2_A current(4)=0.02000000A
     VDD_CORE_A current(7)=1.50000000A
     3V7_WL_SW_V volt(8)=3.70000000V
     DDR_VDD2_V volt(12)=1.10000000V
     VDD_CORE_V volt(15)=0.80000000V
     EXT5V_V volt(24)=5.15000000V
     BATT_V volt(25)=0.00000000V
"""


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return tiny_models.undecided(tmp_path_factory.mktemp("measurement"), classes=10)


@pytest.fixture
def runtime_that(tmp_path, monkeypatch):
    """A LiteRT that does this in its inferences; the file that it notes its models in.

    `first` is what it does when it is imported.
    """

    def install(body: str, first: str = "") -> Path:
        package = tmp_path / "site" / "ai_edge_litert"
        package.mkdir(parents=True)
        (package / "__init__.py").write_text("__version__ = '0.0'")
        text = RUNTIME.replace("BODY", body).replace("FIRST", first)
        (package / "interpreter.py").write_text(text)
        monkeypatch.setenv("PYTHONPATH", str(package.parent))
        monkeypatch.setenv("NOTE", str(tmp_path / "note"))
        return tmp_path / "note"

    return install


@pytest.fixture
def firmware_that(tmp_path, monkeypatch):
    """A `vcgencmd` of these lines of shell, in front of whatever there is."""

    def install(*lines: str) -> None:
        path = tmp_path / "bin" / "vcgencmd"
        path.parent.mkdir()
        path.write_text("\n".join(["#!/bin/sh", *lines, ""]))
        path.chmod(0o755)
        monkeypatch.setenv("PATH", f"{path.parent}:{os.environ['PATH']}")

    return install


def run(*arguments):
    return CliRunner().invoke(main, [str(each) for each in arguments])


def copies(model, folder, *names):
    """The same model under several names."""
    paths = [folder / f"{name}.tflite" for name in names]
    for path in paths:
        path.write_bytes(model.path.read_bytes())
    return paths


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        pytest.param({}, None, id="valid"),
        pytest.param({"other_load": None, "states": [{}] * 10}, None, id="silent machine"),
        pytest.param({"emulated": True}, "emulated: the time it takes", id="emulated"),
        pytest.param({"threads": 5}, "threads: there are 5 threads on 4 cores", id="threads"),
        pytest.param({"other_load": 1.5}, "kept 1.5 of 4 cores busy (limit 1.0)", id="load"),
        pytest.param({"variation": 0.33}, "samples vary by 33% (limit 10%)", id="variation"),
        pytest.param(
            {"states": [QUIET_PI] * 5 + [{**QUIET_PI, "clock_mhz": 1200.0}]},
            "clock: the clock moved, 1200 to 1800 MHz",
            id="clock",
        ),
        pytest.param(
            {"states": [QUIET_PI, {**QUIET_PI, "clock_mhz": 1750.0}]}, None, id="turbo's last step"
        ),
        pytest.param(
            {"states": [QUIET_PI, {**QUIET_PI, "throttled": "0x50005"}, QUIET_PI]},
            "under voltage: the board got too little power",
            id="under-voltage between",
        ),
        pytest.param(
            {"states": [{"throttled": "0x0"}, {"throttled": "80000"}]},
            "held itself back (soft temperature limit)",
            id="between two looks, as sysfs spells it",
        ),
        pytest.param(
            {"states": [{"throttled": "0x50000"}] * 4}, None, id="throttled before, not now"
        ),
    ],
)
def test_measurement_is_valid_or_says_why_not(changed, words):
    found = objections(VALID._replace(**changed))
    assert (words in found[0]) if words else not found


def test_every_reason_is_given():
    hot = {"clock_mhz": 1000.0, "throttled": "0xf"}
    worst = Measurement(True, 8, 4, 3.0, 0.5, [QUIET_PI, hot])
    assert len(objections(worst)) == len(RULES)
    assert not any("{" in each or "\n" in each for each in objections(worst))


def test_blocks_come_round_by_round_in_a_random_order_that_repeats():
    turns = schedule(3, 53, seed=4)
    rounds = [turns[start : start + 3] for start in range(0, len(turns), 3)]
    assert len(rounds) == 6
    assert all({turn.variant for turn in each} == {0, 1, 2} for each in rounds)
    assert len({tuple(turn.variant for turn in each) for each in rounds}) > 2
    runs = Counter()
    for turn in turns:
        runs[turn.variant] += turn.runs
    assert set(runs.values()) == {53}
    assert schedule(3, 53, seed=4) == turns != schedule(3, 53, seed=5)
    assert len(schedule(1, 5)) == 1
    assert len(schedule(1, 1000)) == 10


def test_variants_are_measured_in_the_order_of_the_schedule(model, runtime_that, tmp_path):
    note = runtime_that("pass")
    a, b = (TFLiteModel(path, path.stem) for path in copies(model, tmp_path, "a", "b"))
    variants = [TimedModel(each, threads) for each in (a, b) for threads in (1, 2)]
    found = measure(variants, ProfileOptions(runs=20), description.find("host"))
    expected = [variants[turn.variant] for turn in schedule(4, 20)]
    assert note.read_text().split("\n")[:-1] == [
        f"{v.model.path.name} {v.threads}" for v in expected
    ]
    for variant, entry in zip(variants, found, strict=True):
        turns = [place for place, each in enumerate(expected) if each == variant]
        assert [block["turn"] for block in entry["blocks"]] == turns
        assert (entry["model"], entry["threads"]) == (variant.model.scheme, variant.threads)
        assert [block["runs"] for block in entry["blocks"]] == [10, 10]


def test_warm_up_goes_on_until_it_is_steady(model, runtime_that):
    runtime_that("now[0] += max(0.002, 0.05 - 0.001 * self.calls)", CLOCK)
    entry = profile(model, ProfileOptions(runs=10))
    assert entry["first_ms"] == pytest.approx(49)
    assert 48 < entry["blocks"][0]["warmup_runs"] < 200
    assert entry["p90_ms"] == pytest.approx(2)


def test_warm_up_has_an_end(model, runtime_that):
    runtime_that("now[0] += 0.04 if (self.calls + 1) // 3 % 2 else 0.08  # by rounds", CLOCK)
    (block,) = profile(model, ProfileOptions(runs=1))["blocks"]
    assert 5 < block["warmup_runs"] * 0.06 < 6


def test_facts_of_the_board_are_read_before_and_after_each_block(
    model, runtime_that, firmware_that, tmp_path
):
    """What happens in the second block is that block's, and the whole is not valid."""
    note = runtime_that("pass")
    firmware_that(
        'case "$1" in get_throttled) ;; *) exit 1 ;; esac',
        f'[ "$(wc -l < {note})" -gt 1 ] && echo throttled=0x20002 || echo throttled=0x0',
    )
    entry = profile(model, ProfileOptions(runs=20))
    states = [(block["before"], block["after"]) for block in entry["blocks"]]
    assert [[each["throttled"] for each in pair] for pair in states] == [
        ["0x0", "0x0"],
        ["0x20002", "0x20002"],
    ]
    assert not entry["valid"]
    assert "throttled: the board held itself back (clock capped)" in entry["reason"]


def test_power_is_of_the_rails_that_tell_volts_and_amperes():
    assert watts(PMIC) == pytest.approx(0.1 * 3.7 + 0.02 * 1.1 + 1.5 * 0.8)
    assert watts('error=1 error_msg="Command not registered"') is None


def test_energy_is_power_times_time():
    idle = PMIC.replace("1.50000000A", "0.50000000A")
    found = energy([[idle, PMIC, PMIC], [idle, PMIC]], 0.010)
    assert found["mj_per_inference"] == pytest.approx(10 * watts(PMIC), abs=1e-3)
    assert found["busy_w"] - found["idle_w"] == pytest.approx(0.8)
    assert energy([[], []], 0.010) is None
    assert energy([["error=1"], ["error=1"]], 0.010) is None


def test_energy_is_measured_where_the_board_tells(model, runtime_that, firmware_that, tmp_path):
    runtime_that("time.sleep(0.001)")
    (tmp_path / "pmic").write_text(PMIC)
    firmware_that(f'[ "$1" = pmic_read_adc ] && sleep 0.1 && cat {tmp_path}/pmic')
    entry = profile(model, ProfileOptions(runs=5))
    assert entry["energy"]["busy_w"] == pytest.approx(watts(PMIC), abs=1e-3)
    assert entry["energy"]["mj_per_inference"] == pytest.approx(
        watts(PMIC) * entry["p50_ms"], rel=1e-3
    )
    assert len(entry["blocks"][0]["power"]) > 1  # before the inferences and during them


def test_blocks_of_before_a_lost_connection_are_kept(model, runtime_that):
    """The fourth process of five ends its agent, once."""
    note = runtime_that("self.calls == 1 and len(open(os.environ['NOTE']).readlines()) == 4 and "
                        "(os.kill(os.getppid(), 9), time.sleep(9))")  # fmt: skip
    entry = profile(model, ProfileOptions(runs=50))
    assert entry["runs"] == 50
    assert len(note.read_text().splitlines()) == 6


def test_invalid_measurement_is_exit_code_3_and_its_samples_are_kept(model, tmp_path):
    cores = len(os.sched_getaffinity(0))
    out = tmp_path / "samples.json"
    command = ("profile", model.path, "--inferences", 5, "--threads", cores + 1, "-o", out)
    shown = run(*command)
    assert shown.exit_code == 3
    last = shown.stderr.splitlines()[-1]
    assert last.startswith("Error: 1 of 1 measurements not valid: threads: there are")
    assert "--force" in last
    assert "p50" in shown.stdout
    (entry,) = json.loads(out.read_text())["latency"]
    assert not entry["valid"]
    assert len(entry["context"]["samples_ms"]) == 5
    forced = run(*command, "--force", "--json")
    assert forced.exit_code == 0, forced.stderr
    assert json.loads(forced.stdout)["valid"] is False


def test_several_models_and_threads_are_a_table(model, tmp_path):
    (tmp_path / "x").mkdir()
    paths = [*copies(model, tmp_path, "int8"), *copies(model, tmp_path / "x", "int8")]
    shown = run("profile", *paths, "--threads", "1,2", "--inferences", 5, "--force")
    assert shown.exit_code == 0, shown.stderr
    rows = [line.split()[:3] for line in shown.stdout.splitlines()[1:5]]
    names = [f"{path.parent.name}/int8" for path in paths]
    assert rows == [["host", name, threads] for name in names for threads in "12"]


@pytest.mark.parametrize("threads", ["two", "1,", "0", "65"])
def test_threads_that_are_none_are_a_mistake(model, threads):
    shown = run("profile", model.path, "--threads", threads)
    assert shown.exit_code == 2
    assert "--threads: must be" in shown.stderr


def test_model_is_not_overwritten_with_its_samples(model):
    before = model.path.read_bytes()
    shown = run("profile", model.path, "-o", model.path)
    assert shown.exit_code == 2
    assert "is a file that is read" in shown.stderr
    assert model.path.read_bytes() == before


def test_measurements_of_a_runs_model_are_kept_in_its_folder(model, tmp_path):
    """Those of another number of threads stay; those of the same are replaced."""
    (path,) = copies(model, tmp_path, "model_int8")
    (tmp_path / "report.json").write_text("{}")
    for threads, runs in ((1, 5), (2, 5), (1, 6)):
        run("profile", path, "--threads", threads, "--inferences", runs)
    kept = json.loads((tmp_path / "latency_host.json").read_text())["latency"]
    assert [(each["threads"], each["runs"]) for each in kept] == [(2, 5), (1, 6)]


def test_sweep_is_not_together_with_threads(model):
    assert run("profile", model.path, "--sweep", "--threads", 2).exit_code == 2


def test_sweep_is_to_four_threads_or_the_devices_cores():
    assert sweep(description.find("rpi5")) == [1, 2, 3, 4]
    assert sweep(Device(host="somewhere")) == [1, 2, 3, 4]
    here = len(os.sched_getaffinity(0))
    assert sweep(description.find("host")) == list(range(1, min(4, here) + 1))


def test_agent_tells_its_state_in_the_names_that_the_rules_look_for():
    with local() as agent:
        probed = agent.call("probe")
    assert {"throttled", "load_average", "other_load"} <= probed.keys()
