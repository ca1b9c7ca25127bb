"""`edgecv check`: a run held against a baseline that was written from a run."""

import csv
import dataclasses
import json
import re

import pytest
from click.testing import CliRunner

from edgecv.artifacts import Report
from edgecv.cli import main
from edgecv.errors import RecipeError
from edgecv.profile import baseline
from edgecv.profile.baseline import BaselineRow

MODEL = "mobilenet_v1_075_160_int8"
LATENCY = BaselineRow(MODEL, "p50_ms", 10.0, "rpi4", "litert 2.3.0", "xnnpack", 4, 9.9, 10.1)
SIZE = BaselineRow(MODEL, "bytes", 1_000_000)
TOP1 = BaselineRow(MODEL, "top1", 0.90)


def entry(p50=10.0, device="rpi4", sha256="i" * 64, threads=4, **changed):
    """Of the report's `latency`."""
    return {
        "device": device,
        "runtime": "litert 2.4.0",
        "delegate": "xnnpack",
        "threads": threads,
        "model": "model_int8",
        "p50_ms": p50,
        "ci_low_ms": p50 * 0.99,
        "ci_high_ms": p50 * 1.01,
        "valid": True,
        "context": {"model_sha256": sha256, "cpu": "Raspberry Pi 4 Model B"},
        **changed,
    }


MEASURED = (entry(),)


def report(size=1_000_000, top1=0.90, latency=()):
    files = {
        scheme: {"path": f"model_{scheme}.tflite", "bytes": each, "sha256": scheme[0] * 64}
        for scheme, each in (("float32", 4_000_000), ("int8", size))
    }
    scores = {"float32": {"top1": 0.91}, "int8": {"top1": top1}}
    return Report(
        *("0.1.0", "mobilenet_v1", 0.75, 160, 10, 1_840_000, 162_000_000, "trained"),
        files=files,
        quantization={},
        accuracy={"data": "signs", "images": 500, **scores},
        latency=list(latency),
    )


@pytest.fixture
def folder(tmp_path):
    """A run's folder, with what a board measured of its int8 model since."""
    path = tmp_path / "run"
    path.mkdir()

    def fill(latency=MEASURED, **changed):
        (path / "report.json").write_text(report(**changed).to_json())
        (path / "latency_rpi4.json").write_text(json.dumps({"latency": list(latency)}))
        return path

    return fill


@pytest.fixture
def written(folder, tmp_path):
    """A baseline of that run."""
    path = tmp_path / "rpi4.csv"
    shown = check(folder(), path, "--write")
    assert shown.exit_code == 0, shown.stderr
    return path


def check(run, path, *options):
    return CliRunner().invoke(main, ["check", str(run), "--baseline", str(path), *options])


def verdicts(tmp_path, before, now, **limits):
    path = tmp_path / "baseline.csv"
    path.unlink(missing_ok=True)
    baseline.write(path, before)
    return [each.status for each in baseline.check(path, now, limits)]


@pytest.mark.parametrize(
    ("before", "value", "limit", "status"),
    [
        pytest.param(LATENCY, 10.0, None, "same", id="equal latency"),
        pytest.param(LATENCY, 10.15, None, "same", id="intervals overlap"),
        pytest.param(LATENCY, 10.3, None, "worse", id="intervals lie apart"),
        pytest.param(LATENCY, 10.3, 0.02, "same", id="within the limit asked for"),
        pytest.param(LATENCY, 9.7, None, "better", id="faster"),
        pytest.param(SIZE, 1_009_000, None, "same", id="size within 1 %"),
        pytest.param(SIZE, 1_011_000, None, "worse", id="size"),
        pytest.param(SIZE, 900_000, None, "better", id="smaller"),
        pytest.param(TOP1, 0.891, None, "same", id="accuracy within a point"),
        pytest.param(TOP1, 0.889, None, "worse", id="accuracy"),
        pytest.param(TOP1, 0.92, None, "better", id="more accurate"),
        pytest.param(dataclasses.replace(TOP1, limit=0.05), 0.86, None, "same", id="row's limit"),
        pytest.param(dataclasses.replace(TOP1, limit=0.05), 0.86, 0.02, "worse", id="flag first"),
    ],
)
def test_figure_is_worse_beyond_its_limit(tmp_path, before, value, limit, status):
    ends = {"low": value - 0.1, "high": value + 0.1} if before is LATENCY else {}
    now = dataclasses.replace(before, value=value, limit=None, **ends)
    path = tmp_path / "limits.csv"
    path.write_text(
        "model,figure,value,device,runtime,delegate,threads,low,high,limit\n"
        + ",".join(
            "" if each is None else str(each)
            for each in (
                *(before.model, before.figure, before.value, before.device, before.runtime),
                *(before.delegate, before.threads, before.low, before.high, before.limit),
            )
        )
    )
    (found,) = baseline.check(path, [now], {before.figure: limit})
    assert found.status == status


def test_invalid_measurement_is_skipped_on_either_side(tmp_path):
    doubtful = dataclasses.replace(LATENCY, value=99.0, low=98.0, high=99.9, invalid="throttled")
    assert verdicts(tmp_path, [LATENCY], [doubtful]) == ["skipped"]
    assert verdicts(tmp_path, [doubtful], [LATENCY]) == ["skipped"]


def test_run_that_is_as_it_was_passes(folder, written):
    shown = check(folder(), written)
    assert shown.exit_code == 0, shown.stderr
    *lines, _, following = shown.stdout.splitlines()
    assert [line.split()[0] for line in lines] == ["same"] * 5
    assert following.startswith("Next: edgecv profile ")
    assert f"{MODEL}, p50_ms, rpi4, litert, xnnpack, 4 threads: 10 to 10 (+0.0%)" in shown.stdout


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        pytest.param({"latency": [entry(11.0)]}, "p50_ms, rpi4, .*10 to 11", id="slower"),
        pytest.param({"size": 1_100_000}, r"bytes: .*\+10\.0%", id="larger"),
        pytest.param({"top1": 0.85}, r"top1: .*-5\.0 points", id="less accurate"),
    ],
)
def test_regression_is_exit_code_3_and_named(folder, written, changed, words):
    shown = check(folder(**changed), written)
    assert shown.exit_code == 3
    last = shown.stderr.splitlines()[-1]
    assert last.startswith(f"Error: {written}: 1 of 5 became worse: {MODEL}")
    assert re.search(words, last)


@pytest.mark.parametrize("limit", ["0.2", "20%"])
def test_limit_on_the_command_line_lets_it_pass(folder, written, limit):
    assert check(folder([entry(11.0)]), written, "--max-slowdown", limit).exit_code == 0


@pytest.mark.parametrize(("points", "code"), [("6", 0), ("5.1", 0), ("4.9", 3), ("0.06", 3)])
def test_the_drop_of_top1_is_in_points(folder, written, points, code):
    assert check(folder(top1=0.85), written, "--max-drop", points).exit_code == code


@pytest.mark.parametrize("limit", ["-0.1", "nan"])
def test_limit_that_is_none_is_a_mistake(folder, written, limit):
    shown = check(folder(size=9_000_000), written, "--max-growth", limit)
    assert shown.exit_code == 2
    words = f"must be a number with a unit, % | a share, got {limit!r}"
    assert shown.stderr == f"Error: --max-growth: {words}\n"


def test_invalid_measurement_is_skipped_and_said_so(folder, written):
    slow = entry(99.0, valid=False, reason="throttled: the board held itself back")
    shown = check(folder([slow]), written)
    assert shown.exit_code == 0, shown.stderr
    assert "skipped" in shown.stdout
    assert "the run's is not valid: throttled: the board held itself back" in shown.stdout


def test_figure_that_was_not_measured_is_an_error_of_one_line(folder, written):
    shown = check(folder([entry(threads=1)]), written)
    assert shown.exit_code == 1
    last = shown.stderr.splitlines()[-1]
    assert "p50_ms, rpi4, litert, xnnpack, 4 threads: not measured; see edgecv profile" in last


def test_measurement_of_an_older_file_is_not_this_runs(folder, written):
    assert check(folder([entry(sha256="o" * 64)]), written).exit_code == 1


def test_baseline_of_other_models_is_named(folder, written):
    written.write_text(written.read_text().replace("mobilenet_v1", "squeezenet_1_1"))
    shown = check(folder(), written)
    assert shown.exit_code == 2
    last = shown.stderr.splitlines()[-1]
    assert f"no row for mobilenet_v1_075_160_float32 or {MODEL}; there are: squeezenet" in last


def test_write_leaves_out_what_is_not_valid_unless_forced(folder, tmp_path):
    path = tmp_path / "new.csv"
    run = folder([entry(valid=False, reason="clock: it moved")])
    shown = check(run, path, "--write")
    assert "left out:" in shown.stderr
    assert "p50_ms" not in path.read_text()
    shown = check(run, path, "--write", "--force", "--json")
    assert len(json.loads(shown.stdout)["written"]) == 5
    rows = list(csv.DictReader(path.read_text().splitlines()))
    (doubtful,) = [each for each in rows if each["figure"] == "p50_ms"]
    assert doubtful["invalid"] == "clock: it moved"
    assert "baseline's is not valid: clock: it moved" in check(folder(), path).stdout


def test_written_again_a_row_keeps_its_limit_and_others_stay(folder, written):
    other = "squeezenet_1_1_100_128_int8,bytes,700000"
    lines = written.read_text().splitlines()
    header = lines[0].split(",")
    table = [dict(zip(header, line.split(","), strict=True)) for line in lines[1:]]
    table[0]["limit"] = "0.5"
    text = [",".join(header), *(",".join(row.values()) for row in table)]
    written.write_text("\n".join([*text, other + "," * (len(header) - 3)]) + "\n")
    check(folder(size=900_000), written, "--write")
    rows = {(each.model, each.figure): each for each in baseline.read(written)}
    assert rows[MODEL, "bytes"].value == 900_000
    assert rows["mobilenet_v1_075_160_float32", "bytes"].limit == 0.5
    assert rows["squeezenet_1_1_100_128_int8", "bytes"].value == 700_000


def test_verdicts_as_json(folder, written):
    found = json.loads(check(folder(), written, "--json").stdout)
    assert {each["status"] for each in found} == {"same"}
    assert {each["figure"] for each in found} == {"bytes", "top1", "p50_ms"}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        pytest.param(
            "model,figur,value\n", "unknown column 'figur'; did you mean 'figure'", id="c"
        ),
        pytest.param("model,figure\nm,bytes\n", "columns missing: value", id="missing column"),
        pytest.param("", "columns missing: figure, model, value", id="empty"),
        pytest.param("model,figure,value\nm,bytes,many\n", "line 2: value: must be a", id="words"),
        pytest.param("model,figure,value\nm,speed,1\n", "figure: must be bytes", id="figure"),
        pytest.param("model,figure,value\n,bytes,1\n", "must not be empty", id="no model"),
        pytest.param("model,figure,value\nm,bytes,1,2\n", "line 2: more cells", id="more cells"),
        pytest.param("model,figure,value\nm,bytes,nan\n", "value: must be a", id="nan"),
    ],
)
def test_baseline_that_is_none_is_an_error_of_one_line(tmp_path, text, words):
    path = tmp_path / "bad.csv"
    path.write_text(text)
    with pytest.raises(RecipeError, match=words) as found:
        baseline.read(path)
    assert str(path) in str(found.value)


def test_missing_baseline_and_damaged_measurements_are_named(folder, written, tmp_path):
    shown = check(folder(), tmp_path / "none.csv")
    assert shown.exit_code == 2
    assert "none.csv: no such file; put this run's figures into it: --write" in shown.stderr
    run = folder()
    for text, words in (("{", "not readable measurements"), ('{"latency": [{}]}', "keys missing")):
        (run / "latency_rpi4.json").write_text(text)
        shown = check(run, written)
        assert shown.exit_code == 1
        assert f"latency_rpi4.json: {words}" in shown.stderr or words in shown.stderr
