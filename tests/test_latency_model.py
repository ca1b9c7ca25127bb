"""Latency without the board: what the shipped figures are worth, and whose go first."""

import json
import math
import re
from statistics import median

import pytest
from click.testing import CliRunner

from edgecv.cli import main
from edgecv.device import description
from edgecv.errors import RecipeError, RunFolderError
from edgecv.estimate import device, fitting, measured, model, prior, published, rates
from edgecv.estimate.rates import Sample
from edgecv.tflite import flatbuffer, operator_kinds
from edgecv.tflite.operator_kinds import Cost
from tests import tiny_models

TRUE_RATES = {"pointwise": {"macs": 0.05, "activations": 2.0}, "dense": {"weights": 0.9}}


def network(size):
    """Operators of a network whose latency by TRUE_RATES can be worked out by hand."""
    return [
        Cost("pointwise", 1, 1_000_000 * size, 5_000, 20_000 + 7_000 * size**2),
        Cost("dense", 1, 10_000, 10_000 * size, 1_010),
    ]


@pytest.mark.parametrize("scheme", model.SCHEMES)
def test_rows_left_out_of_the_fit_are_met_within_the_stated_error(scheme):
    samples = published.samples(scheme, published.RUY)
    errors = [abs(each) for each in rates.leave_one_out(samples)]
    assert len(samples) >= 44
    assert median(errors) <= 0.10
    assert max(errors) <= 0.25


def test_the_shipped_model_is_the_fit_of_the_shipped_rows():
    for shipped, fitted in zip(device.shipped_models(), fitting.fit_models(), strict=True):
        assert shipped.rates == {
            kind: pytest.approx(each, rel=1e-4) for kind, each in fitted.rates.items()
        }
        assert shipped.error == fitted.error
        assert shipped.ratio == fitted.ratio


def test_rates_are_found_again():
    samples = [
        Sample(network(size), rates.milliseconds(TRUE_RATES, network(size))) for size in range(1, 9)
    ]
    assert rates.milliseconds(TRUE_RATES, network(1)) == pytest.approx(0.05 + 0.054 + 0.009)
    found = rates.fit(samples)
    for size in (3, 20):
        wanted = rates.milliseconds(TRUE_RATES, network(size))
        assert rates.milliseconds(found, network(size)) == pytest.approx(wanted, rel=0.01)
    assert max(map(abs, rates.leave_one_out(samples))) < 0.01


def test_a_row_left_out_does_not_judge_itself():
    samples = [
        Sample(network(size), rates.milliseconds(TRUE_RATES, network(size)), "same")
        for size in range(1, 9)
    ]
    odd = samples[3]._replace(ms=3 * samples[3].ms, group="odd")
    samples[3] = odd
    assert rates.leave_one_out(samples)[3] == pytest.approx(-2 / 3, abs=0.02)
    assert rates.leave_one_out(samples, by_group=True)[3] == pytest.approx(-2 / 3, abs=0.02)


def test_published_models_are_counted_as_their_paper_does():
    known = published.operators()
    macs = sum(each.macs for each in known["mobilenet_v1", 1.0, 224])
    assert macs == pytest.approx(569e6, rel=0.01)  # Table 8 of the MobileNet paper


def profile(size, scheme="int8", device="rpi4", factor=1.0, valid=True):
    """What `profile --per-op` writes of a board of known pace."""
    rows = [
        {**cost._asdict(), "ms": factor * rates.milliseconds(TRUE_RATES, [cost])}
        for cost in network(size)
    ]
    whole = sum(row["ms"] for row in rows)
    facts = {"device": device, "origin": "measured", "threads": 2, "runtime": "litert 2.3.0"}
    facts["model_sha256"] = f"{size:064}"
    return facts | {"valid": valid, "scheme": scheme, "whole_ms": whole, "operators": rows}


def test_one_measured_model_sets_the_pace_of_all_the_others():
    board, plain = description.find("rpi4"), by_scheme(device.models(description.find("rpi4")))
    own = by_scheme(device.models(board, [profile(3)]))
    measured_ms = profile(3)["whole_ms"]
    estimate = model.estimate(own["int8"], network(3))
    assert estimate.ms == pytest.approx(measured_ms, rel=0.001)
    assert estimate.threads == 2
    assert "1 model measured there with litert 2.3.0; one model's" in estimate.basis
    pace = measured_ms / rates.milliseconds(plain["int8"].rates, network(3))
    squeezenet = published.operators()["squeezenet_1_1", 1.0, 224]  # has 3x3 convolutions
    scaled = pace * rates.milliseconds(plain["int8"].rates, squeezenet)
    assert rates.milliseconds(own["int8"].rates, squeezenet) == pytest.approx(scaled, rel=0.15)
    assert own["float32"] == plain["float32"], "nothing of float32 was measured"


def test_several_measured_models_say_how_far_off_they_are_for_one_another():
    own = by_scheme(device.models(description.find("rpi4"), [profile(n) for n in range(1, 9)]))
    estimate = model.estimate(own["int8"], network(5))
    assert estimate.ms == pytest.approx(profile(5)["whole_ms"], rel=estimate.error["worst"])
    assert estimate.error["rows"] == 8
    assert 0 < estimate.error["median"] < 0.25
    alike = [measured_again(n) for n in range(1, 5)]
    exact = by_scheme(device.models(description.find("rpi4"), alike))["int8"]
    assert exact.error.worst < 0.001, "a board that is twice as slow in everything"


def by_scheme(models):
    return {entry.scheme: entry for entry in models}


def measured_again(size):
    """A profile whose whole takes twice what is published of the board."""
    paper = by_scheme(device.models(description.find("rpi4")))["int8"]
    return profile(size) | {"whole_ms": 2 * rates.milliseconds(paper.rates, network(size))}


def test_of_a_board_of_which_nothing_is_published_the_cores_say_how_models_compare():
    board = description.find("host")
    with pytest.raises(RecipeError, match="no estimate, no latencies are published"):
        device.models(board)
    [own] = device.models(board, [profile(2, device="host")])
    shape = prior.prior(board.board, "int8")
    share = rates.milliseconds(own.rates, network(9)) / rates.milliseconds(own.rates, network(2))
    cores = rates.milliseconds(shape, network(9)) / rates.milliseconds(shape, network(2))
    assert share == pytest.approx(cores, rel=0.01)


@pytest.mark.parametrize(
    "other",
    [
        pytest.param({"valid": False}, id="not valid"),
        pytest.param({"device": "rpi5"}, id="another board"),
        pytest.param({"scheme": "float32"}, id="another scheme"),
    ],
)
def test_only_valid_measurements_of_the_very_board_count(other):
    models = by_scheme(device.models(description.find("rpi4"), [profile(1, **other)]))
    assert models["int8"].runtime == published.XNNPACK["rpi4"]


def test_a_model_measured_twice_does_not_vouch_for_itself():
    [only] = measured.usable([profile(3, factor=2.0), profile(3)], "rpi4", "int8")
    assert only == profile(3), "the last one counts"
    before = prior.prior(description.find("rpi4").board, "int8")
    found = model.estimate(measured.model([only], before), network(3))
    assert "unknown error" in found.words() and not found.error


@pytest.mark.parametrize("other", [{"runtime": "tflite-runtime 2.14.0"}, {"threads": 4}])
def test_measurements_of_two_runtimes_or_threads_are_not_mixed(other):
    known = [*(profile(size, factor=9.0) for size in (3, 4, 5)), profile(1) | other]
    assert measured.usable(known, "rpi4", "int8") == known[3:], "those of the last"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"whole_ms": math.nan}, "nothing was measured"),
        ({"whole_ms": 0.0}, "nothing was measured"),
        ({"whole_ms": "1"}, "x.operators.json"),
        ({"threads": [4]}, "threads"),
        ({"valid": "no"}, "valid"),
        ({"operators": []}, "x.operators.json"),
        ({"operators": [{**profile(1)["operators"][0], "ms": 0.0}]}, "nothing was measured"),
        ({"operators": [{**profile(1)["operators"][0], "ms": -1.0}]}, "nothing was measured"),
    ],
)
def test_a_profile_of_what_cannot_be_is_refused(tmp_path, change, words):
    path = tmp_path / "x.operators.json"
    path.write_text(json.dumps(profile(1) | change))
    with pytest.raises(RunFolderError, match=words):
        measured.read(path)


def test_profiles_of_operators_feed_the_plan(tmp_path):
    path = tiny_models.tiny().float32.path  # of operators that take longer than a call's noise
    out = tmp_path / "profile.json"
    runner = CliRunner()
    arguments = ["profile", str(path), "--per-op", "--inferences", "20", "--force", "-o", str(out)]
    shown = runner.invoke(main, arguments)
    assert shown.exit_code == 0
    found = measured.read(tmp_path / "profile.operators.json")
    valid, following = f"suggest --device host --per-op {tmp_path}", shown.stdout.splitlines()[-1]
    assert (valid if found["valid"] else "when the machine does nothing else") in following
    assert "with --keep, edgecv suggest, plan, inspect and search --device host" in shown.stdout
    costs = operator_kinds.costs(flatbuffer.read(path))
    assert [(row["kind"], row["macs"]) for row in found["operators"]] == [
        (cost.kind, cost.macs) for cost in costs
    ]
    assert found["scheme"] == "float32"
    own = measured.model([found], prior.prior(description.find("host").board, "float32"))
    assert rates.milliseconds(own.rates, costs) == pytest.approx(found["whole_ms"], rel=0.01)


def test_plan_says_how_far_off_it_may_be():
    shown = planned("mobilenet_v2", "rpi4")
    row = next(
        row.ms
        for row in published.rows()
        if row.model == ("mobilenet_v2", 1.0, 224)
        and (row.board, row.runtime, row.scheme) == ("rpi4", "xnnpack", "int8")
    )
    assert shown["int8"]["ms"] == pytest.approx(row, rel=shown["int8"]["error"]["worst"])
    assert shown["int8"]["origin"] == "estimated"
    text = CliRunner().invoke(main, ["plan", "mobilenet_v2", "--device", "rpi4"]).stdout
    assert re.search(r"int8 .*over 6 rows left out one by one, all of one source; without", text)


def planned(arch, name):
    """The estimates of a plan, by scheme."""
    shown = CliRunner().invoke(main, ["plan", arch, "--device", name, "--json"])
    assert shown.exit_code == 0, shown.output
    return {row["scheme"]: row for row in json.loads(shown.stdout)["latency"]}


def test_kernels_are_kept_apart_by_what_the_runtime_of_a_device_gives_to_them(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text('host = "pi"\nruntime = "tflite"\n[board]\nmodel = "Raspberry Pi 4 Model B"\n')
    other, usual = planned("mobilenet_v1", str(path)), planned("mobilenet_v1", "rpi4")
    assert other["int8"]["runtime"] == published.RUY[1] != usual["int8"]["runtime"]
    assert other["float32"]["ms"] == usual["float32"]["ms"]
    path.write_text(path.read_text().replace("4 Model B", "5"))
    assert list(planned("mobilenet_v1", str(path))) == ["float32"]
    refused = CliRunner().invoke(main, ["suggest", "--device", str(path)])
    assert refused.exit_code == 2
    assert "no estimate of int8 with runtime tflite" in refused.stderr


def test_a_board_is_scaled_by_what_another_runtime_took_on_both():
    slow, fast = planned("mobilenet_v1", "rpi_zero2w"), planned("mobilenet_v1", "rpi3b_plus")
    ratio = slow["float32"]["ms"] / fast["float32"]["ms"]
    assert 147.39 / 111.68 < ratio < 163.19 / 108.66  # ncnn, MobileNetV2 and MobileNetV1
    assert "by ncnn on both" in slow["float32"]["basis"]
    assert slow["int8"]["error"]["median"] > 0.15  # ncnn and XNNPACK disagree on boards by as much


def test_a_source_that_is_left_out_is_left_out_whole():
    wide = {"rpi4": (1, 0.5), "rpi3b_plus": (1, 0.65), "rpi5": (3, 0.4)}
    for name, (sources, limit) in wide.items():
        error = by_scheme(device.models(description.find(name)))["int8"].error
        assert error.sources == sources
        assert error.worst < 0.25
        assert error.median <= error.source_median <= error.source_worst < limit


@pytest.mark.parametrize("name", ["coral_dev_board", "emulated_pi"])
def test_a_board_that_nothing_is_known_of_gets_no_estimate(name):
    with pytest.raises(RecipeError, match=name):
        device.models(description.find(name))


def test_measurements_of_no_use_are_named_where_nothing_is_published():
    spoilt = profile(1, device="host", valid=False) | {"reason": "throttled: 84 C"}
    with pytest.raises(RecipeError, match="1 measured there, none of use: throttled: 84 C"):
        device.models(description.find("host"), [spoilt])


@pytest.mark.parametrize("text", ["", "[]", '{"device": "rpi4"}', '{"operators": [{"ms": 1}]}'])
def test_a_file_that_holds_no_profile_is_refused(tmp_path, text):
    path = tmp_path / "x.operators.json"
    path.write_text(text)
    with pytest.raises(RunFolderError, match=r"x\.operators\.json"):
        measured.read(path)
