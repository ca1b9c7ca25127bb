"""Latency without the board: what the shipped figures are worth, and whose go first."""

import json
import math
from statistics import median

import pytest
from click.testing import CliRunner

from edgecv.cli import main
from edgecv.device import description
from edgecv.errors import RecipeError, RunFolderError
from edgecv.estimate import device, measured, model, published, rates
from edgecv.estimate.rates import Sample
from edgecv.tflite import flatbuffer, kinds
from edgecv.tflite.kinds import Cost
from tests import tiny_models

TRUE_RATES = {"pointwise": {"macs": 0.05, "activations": 2.0}, "dense": {"weights": 0.9}}


def network(size):
    """Operators of a network whose latency by TRUE_RATES can be worked out by hand."""
    return [
        Cost("pointwise", 4, 1_000_000 * size, 5_000, 20_000 + 7_000 * size**2),
        Cost("dense", 1, 10_000, 10_000 * size, 1_010),
    ]


@pytest.mark.parametrize("scheme", model.SCHEMES)
def test_rows_left_out_of_the_fit_are_met_within_the_stated_error(scheme):
    samples = published.samples(scheme)
    errors = [abs(each) for each in rates.left_out(samples)]
    assert len(samples) >= 44
    assert median(errors) <= 0.10
    assert max(errors) <= 0.25


def test_the_shipped_model_is_the_fit_of_the_shipped_rows():
    for shipped, fitted in zip(device.shipped(), model.fitted(), strict=True):
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
    assert max(map(abs, rates.left_out(samples))) < 0.01


def test_a_row_left_out_does_not_judge_itself():
    samples = [
        Sample(network(size), rates.milliseconds(TRUE_RATES, network(size)), "same")
        for size in range(1, 9)
    ]
    odd = samples[3]._replace(ms=3 * samples[3].ms, group="odd")
    samples[3] = odd
    assert rates.left_out(samples)[3] == pytest.approx(-2 / 3, abs=0.02)
    assert rates.left_out(samples, by_group=True)[3] == pytest.approx(-2 / 3, abs=0.02)


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


def test_own_measurements_replace_the_published_ones():
    board = description.find("rpi4")
    own = [profile(size) for size in range(1, 9)]
    by_scheme = {each.scheme: each for each in device.models(board, own)}
    estimate = model.estimate(by_scheme["int8"], network(3))
    assert estimate.ms == pytest.approx(rates.milliseconds(TRUE_RATES, network(3)), rel=0.02)
    assert estimate.threads == 2
    assert "measured" in estimate.basis
    assert estimate.error["median"] < 0.05
    assert by_scheme["float32"].runtime == published.REFERENCE[1]


@pytest.mark.parametrize(
    "other",
    [
        pytest.param({"valid": False}, id="not valid"),
        pytest.param({"device": "rpi5"}, id="another board"),
        pytest.param({"scheme": "float32"}, id="another scheme"),
    ],
)
def test_only_valid_measurements_of_the_very_board_count(other):
    found = device.models(description.find("rpi4"), [profile(1, **other)])
    assert next(each for each in found if each.scheme == "int8").runtime == published.REFERENCE[1]


def test_a_model_measured_twice_does_not_vouch_for_itself():
    [only] = measured.usable([profile(3, factor=2.0), profile(3)], "rpi4", "int8")
    assert only == profile(3), "the last one counts"
    found = model.estimate(measured.model([only], None), network(3))
    assert "unknown error" in found.words() and not found.error


def test_measurements_of_two_runtimes_are_not_mixed():
    other = {"runtime": "tflite-runtime 2.14.0"}
    known = [profile(1), profile(2), *(profile(each, factor=9.0) | other for each in (3, 4, 5))]
    assert measured.usable(known, "rpi4", "int8") == known[2:]


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


def test_kinds_that_were_not_measured_follow_the_pace_of_those_that_were():
    paper = next(each for each in device.shipped() if each.scheme == "int8")
    rows = published.operators()["mobilenet_v1", 1.0, 224]
    half = [
        {**cost._asdict(), "ms": 0.5 * rates.milliseconds(paper.rates, [cost])}
        for cost in rows
        if cost.kind != "depthwise"
    ]
    whole = sum(each["ms"] for each in half)
    found = measured.model([{**profile(1), "operators": half, "whole_ms": whole}], paper)
    assert found.error is None
    depthwise = [cost for cost in rows if cost.kind == "depthwise"]
    wanted = 0.5 * rates.milliseconds(paper.rates, depthwise)
    assert rates.milliseconds(found.rates, depthwise) == pytest.approx(wanted, rel=0.02)


def test_profiles_of_operators_feed_the_plan(tmp_path):
    path = tiny_models.undecided(tmp_path, classes=10).path
    out = tmp_path / "profile.json"
    runner = CliRunner()
    arguments = ["profile", str(path), "--per-op", "--inferences", "20", "--force", "-o", str(out)]
    shown = runner.invoke(main, arguments)
    assert shown.exit_code == 0
    found = measured.read(tmp_path / "profile.operators.json")
    valid, following = f"suggest --device host --per-op {tmp_path}", shown.stdout.splitlines()[-1]
    assert (valid if found["valid"] else "when the machine does nothing else") in following
    costs = kinds.costs(flatbuffer.read(path))
    assert [(row["kind"], row["macs"]) for row in found["operators"]] == [
        (cost.kind, cost.macs) for cost in costs
    ]
    assert found["scheme"] == "float32"
    own = measured.model([found], None)
    assert rates.milliseconds(own.rates, costs) > 0  # how much is a matter of the machine


def test_plan_says_how_far_off_it_may_be():
    runner = CliRunner()
    arguments = ["plan", "mobilenet", "--width", "0.25", "--res", "128", "--device", "rpi4"]
    shown = json.loads(runner.invoke(main, [*arguments, "--json"]).stdout)
    by_scheme = {each["scheme"]: each for each in shown["latency"]}
    row = next(
        each
        for each in published.rows()
        if each.model == ("mobilenet_v1", 0.25, 128) and each.scheme == "int8"
    )
    assert by_scheme["int8"]["ms"] == pytest.approx(row.ms, rel=by_scheme["int8"]["error"]["worst"])
    assert by_scheme["int8"]["origin"] == "estimated"
    assert "left out" in runner.invoke(main, arguments).stdout


@pytest.mark.parametrize("name", ["rpi_zero2w", "emulated_pi"])
def test_a_board_that_nothing_is_known_of_gets_no_estimate(name):
    with pytest.raises(RecipeError, match=name):
        device.models(description.find(name))


def test_measurements_of_no_use_are_named_where_nothing_is_published():
    spoilt = profile(1, device="rpi_zero2w", valid=False) | {"reason": "throttled: 84 C"}
    with pytest.raises(RecipeError, match="1 measured there, none of use: throttled: 84 C"):
        device.models(description.find("rpi_zero2w"), [spoilt])


@pytest.mark.parametrize("text", ["", "[]", '{"device": "rpi4"}', '{"operators": [{"ms": 1}]}'])
def test_a_file_that_holds_no_profile_is_refused(tmp_path, text):
    path = tmp_path / "x.operators.json"
    path.write_text(text)
    with pytest.raises(RunFolderError, match=r"x\.operators\.json"):
        measured.read(path)
