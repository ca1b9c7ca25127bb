"""Many runs side by side: the front and the choice against brute force, the page in a browser."""

import csv
import json
import math
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

from edgecv.cli import main
from edgecv.errors import RunFolderError
from edgecv.tradeoff import choose as choosing
from edgecv.tradeoff import page
from edgecv.tradeoff.front import Measured, certain_front, front
from edgecv.tradeoff.runs import Candidate, collect
from tests import browser
from tests.many_runs import SHA, latency, leave, leave_many, name_files, report
from tests.waiting import wait_until

FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-sync", "--disable-background-networking", "--disable-component-update"),
    "--virtual-time-budget=6000",
)
CHROMIUM = shutil.which("chromium")
WHERE = "made_up, 4 threads, litert 2.3.0, xnnpack"

few = st.integers(0, 4).map(float)  # few values, so that there are equals
costs = st.lists(st.tuples(few, few, few), max_size=12)


def run(*arguments):
    return CliRunner().invoke(main, list(map(str, arguments)))


@pytest.fixture(scope="module")
def many(tmp_path_factory):
    folder = leave_many(tmp_path_factory.mktemp("many") / "runs", 200)
    failed = folder / "failed"
    failed.mkdir()
    (failed / "recipe.toml").write_text("")
    (failed / "failed.json").write_text('{"reason": "</script><b>photos</b>: no images"}')
    (folder / "half").mkdir()
    (folder / "half" / "recipe.toml").write_text("")
    return folder


@given(costs)
def test_front_is_what_nothing_beats(known):
    def beaten(one):
        return any(
            all(b <= a for a, b in zip(one, other, strict=True)) and other != one for other in known
        )

    assert front(known) == [place for place, one in enumerate(known) if not beaten(one)]


def test_a_front_claims_no_gain_that_may_be_chance():
    error = 0.01
    points = [
        Measured(*pair, error) for pair in ((1, 0.70), (2, 0.72), (3, 0.74), (4, 0.60), (5, 0.90))
    ]
    assert certain_front(points) == [0, 2, 4], "0.72 is within two errors of 0.70, 0.74 is not"
    assert certain_front([point._replace(error=0.0) for point in points]) == [0, 1, 2, 4]


def option(number, top1, ms, size):
    run_folder = Path(f"run{number}")
    counts = dict.fromkeys(("parameters", "macs", "bytes", "gzip_bytes"), size)
    shape = {"arch": "a", "width": 1.0, "resolution": 96, "pruning": "none", "sparsity": 0.0}
    candidate = Candidate(run_folder, "int8", "m.tflite", **shape, **counts)
    return choosing.Option(candidate, None, top1, ms, size)


options = st.lists(
    st.tuples(st.integers(0, 20).map(lambda n: n / 20), st.integers(1, 9), st.integers(1, 9)).map(
        lambda each: (each[0], float(each[1]), 1000 * each[2])
    ),
    min_size=1,
    max_size=12,
).map(lambda rows: [option(number, *row) for number, row in enumerate(rows)])
limits = st.builds(
    choosing.Limits,
    st.none() | st.integers(1, 9).map(float),
    st.none() | st.integers(0, 20).map(lambda n: n / 20),
    st.none() | st.integers(1, 9).map(lambda n: 1000.0 * n),
)


def fits(each, asked, without=""):
    return (
        (
            asked.max_latency_ms is None
            or without == "--max-latency"
            or each.ms <= asked.max_latency_ms
        )
        and (asked.min_top1 is None or without == "--min-top1" or each.top1 >= asked.min_top1)
        and (asked.max_bytes is None or without == "--max-size" or each.bytes <= asked.max_bytes)
    )


@given(options, limits)
@settings(max_examples=300)
def test_choice_is_the_best_of_what_fits(known, asked):
    found = choosing.choose(known, asked)
    fitting = [each for each in known if fits(each, asked)]
    assert bool(found.chosen) == bool(fitting)
    if not fitting:
        return
    assert set(found.chosen) == {"quality", "balanced", "compact"}
    assert found.chosen["quality"].top1 == max(each.top1 for each in fitting)
    assert found.chosen["compact"].bytes == min(each.bytes for each in fitting)
    for one in found.chosen.values():
        assert fits(one, asked)
        for other in fitting:
            better = (other.top1 >= one.top1, other.ms <= one.ms, other.bytes <= one.bytes)
            equal = (other.top1, other.ms, other.bytes) == (one.top1, one.ms, one.bytes)
            assert equal or not all(better)


@given(options, limits)
@settings(max_examples=300)
def test_balanced_is_nearest_to_the_best_of_everything(known, asked):
    fitting = [each for each in known if fits(each, asked)]
    if not fitting:
        return
    best = [fitting[i] for i in front([(-e.top1, e.ms, e.bytes) for e in fitting])]
    axes = [
        [-each.top1 for each in best],
        [math.log(each.ms) for each in best],
        [math.log(each.bytes) for each in best],
    ]
    scaled = [[(v - min(a)) / ((max(a) - min(a)) or 1) for v in a] for a in axes]
    distances = {
        id(each): math.hypot(*point)
        for each, point in zip(best, zip(*scaled, strict=True), strict=True)
    }
    chosen = choosing.choose(known, asked).chosen["balanced"]
    assert distances[id(chosen)] == pytest.approx(min(distances.values()))


@given(options, limits)
@settings(max_examples=300)
def test_a_limit_to_give_up_is_named_exactly_when_giving_it_up_helps(known, asked):
    found = choosing.choose(known, asked)
    if found.chosen:
        return
    assert found.nearest in known
    for flag in ("--max-latency", "--min-top1", "--max-size"):
        allowed = [each for each in known if fits(each, asked, without=flag)]
        assert (flag in found.instead) == bool(allowed)
        if allowed:
            one = found.instead[flag]
            assert fits(one, asked, without=flag)
            least = {
                "--max-latency": lambda each: each.ms,
                "--min-top1": lambda each: -each.top1,
                "--max-size": lambda each: each.bytes,
            }[flag]
            assert least(one) == min(map(least, allowed))


def test_runs_are_rows(tmp_path):
    entries = [
        latency(20.0, "int8", SHA["int8"]),
        latency(9.0, "int8", SHA["int8"], device="rpi5", valid=False),
        latency(1.0, "int8", "a file of somebody else"),
    ]
    folder = leave(tmp_path / "one", report(latency=entries))
    (folder / "latency_rpi4.json").write_text(
        json.dumps({"latency": [latency(30.0, "int8", SHA["int8"], device="rpi4")]})
    )
    found = collect([tmp_path])
    float32, int8 = found.candidates
    assert (float32.scheme, float32.latencies, float32.agreement) == ("float32", (), None)
    assert [(each.device, each.ms, each.valid) for each in int8.latencies] == [
        ("made_up", 20.0, True),
        ("rpi5", 9.0, False),
        ("rpi4", 30.0, True),
    ]
    assert (int8.top1, int8.agreement, int8.images) == (0.7, 0.97, 1000)


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (lambda run: (run / "report.json").unlink(), "not finished"),
        (lambda run: (run / "report.json").write_text("{"), "not a readable report"),
        (
            lambda run: (run / "report.json").write_text(json.dumps(report(files={"int8": {}}))),
            "KeyError",
        ),
    ],
)
def test_a_run_without_a_result_is_kept_with_its_reason(tmp_path, spoil, reason):
    leave(tmp_path / "good", report())
    spoil(leave(tmp_path / "spoilt", report()))
    found = collect([tmp_path])
    assert len(found.candidates) == 2
    [(where, why)] = found.rejected
    assert where.name == "spoilt" and reason in why


@pytest.mark.parametrize(
    ("spoil", "key"),
    [
        (lambda table: table["accuracy"]["int8"].update(top1=math.nan), "top1"),
        (lambda table: table["accuracy"]["int8"].update(top1="high"), "top1"),
        (lambda table: table["accuracy"]["int8"].update(top1=1.5), "top1"),
        (lambda table: table["accuracy"].update(images=0), "0 images"),
        (lambda table: table["latency"][1].update(p50_ms=math.inf), "ms"),
        (lambda table: table["latency"][1].update(p50_ms="fast"), "ms"),
        (lambda table: table["latency"][1].update(p50_ms=-1), "ms"),
        (lambda table: table["latency"][1].update(valid="no"), "valid"),
        (lambda table: table["files"]["int8"].update(bytes=0), "bytes"),
        (lambda table: table["files"]["int8"].update(path=7), "file"),
        (lambda table: table.update(files=[0]), "TypeError"),
        (lambda table: table.update(width=None), "width"),
        (lambda table: table.update(arch=["x"]), "arch"),
        (lambda table: table["pruning"].update(sparsity=None), "sparsity"),
    ],
)
def test_figures_that_cannot_be_are_a_reason_and_stop_nobody(tmp_path, spoil, key):
    leave(tmp_path / "runs" / "good", report(top1=0.6))
    table = report(top1=0.9)
    spoil(table)
    leave(tmp_path / "runs" / "spoilt", table)
    [(where, why)] = collect([tmp_path / "runs"]).rejected
    assert where.name == "spoilt" and key in why
    shown = run("report", tmp_path / "runs", "-o", tmp_path / "out")
    assert shown.exit_code == 0 and "1 without a result" in shown.stdout
    known = (tmp_path / "out" / "tradeoff.json").read_text()
    assert not re.search("NaN|Infinity", known)
    shown = run("choose", tmp_path / "runs", "--json")
    assert Path(json.loads(shown.stdout)["chosen"]["quality"]["run"]).name == "good"


def test_a_folder_without_runs_is_named(tmp_path):
    with pytest.raises(RunFolderError, match="holds no run"):
        collect([tmp_path])
    shown = run("report", tmp_path / "nowhere", "-o", tmp_path / "out")
    assert shown.exit_code == 1 and "no such folder" in shown.stderr
    assert not (tmp_path / "out").exists()


def test_report_writes_the_same_in_four_forms(many, tmp_path):
    shown = run("report", many, "-o", tmp_path)
    assert shown.exit_code == 0, shown.output
    assert "200 runs, 400 models, 2 without a result" in shown.stdout
    rows = list(csv.DictReader((tmp_path / "tradeoff.csv").read_text().splitlines()))
    known = json.loads((tmp_path / "tradeoff.json").read_text())
    assert len(rows) == 400 * 2 + 2
    first = known["candidates"][0]
    assert (rows[0]["top1"], rows[0]["ms"]) == (
        str(first["top1"]),
        str(first["latencies"][0]["ms"]),
    )
    assert {each["reason"] for each in known["rejected"]} >= {"not finished"}
    assert (tmp_path / "tradeoff.png").read_bytes().startswith(b"\x89PNG")
    html = (tmp_path / "tradeoff.html").read_text()
    assert len(html.encode()) < 5e6
    assert "</script><b>photos" not in html
    assert not re.search(r'(?:src|href)="(?:https?:)?//', html)


@pytest.mark.skipif(not CHROMIUM, reason="no chromium")
def test_the_page_in_a_browser_shows_the_front(many, tmp_path):
    run("report", many, "-o", tmp_path / "out")
    where = [f"--user-data-dir={tmp_path / 'profile'}", "--dump-dom"]
    address = (tmp_path / "out" / "tradeoff.html").as_uri()
    dom = subprocess.run(
        [CHROMIUM, *FLAGS, *where, address], capture_output=True, text=True, timeout=120
    ).stdout
    assert re.search(r'data-ready="\d+"', dom), "the script did not come to its end"
    assert 'class="main-svg"' in dom, "plotly drew nothing"
    body = re.search(r'<table id="models"[^>]*>.*?<tbody>(.*?)</tbody>', dom, re.S)[1]
    rows = re.findall(r'<tr class="(\w*)">.*?<a href="([^"]+)">', body, re.S)
    assert len(rows) == 400
    valid = [
        (Measured(one.ms, each.top1, each.error), each.run.name)
        for each in collect([many]).candidates
        for one in each.latencies
        if one.where == WHERE and one.valid
    ]
    best = sorted(valid[place][1] for place in certain_front([each[0] for each in valid]))
    assert sorted(Path(link).parent.name for kind, link in rows if kind == "front") == best
    link = tmp_path / "out" / rows[0][1]
    assert link.parent.resolve().is_dir()
    apart = re.search(r'<section id="apart">.*?</section>', dom, re.S)[0]
    assert apart.count("the board throttled") == sum(
        not one.valid
        for each in collect([many]).candidates
        for one in each.latencies
        if one.where == WHERE
    )
    assert "&lt;b&gt;photos&lt;/b&gt;" in dom


@pytest.mark.skipif(not CHROMIUM, reason="no chromium")
def test_a_phone_shows_the_points_and_links_survive_odd_names(many, tmp_path):
    odd = leave(tmp_path / "50%25#q? :x", report())
    (odd / "report.html").write_text("<title>the run</title>")
    boards = [latency(3.0, "int8", SHA["int8"], device=f"board{number}") for number in range(9)]
    leave(tmp_path / "measured in many places", report(latency=boards))
    run("report", many, odd, tmp_path / "measured in many places", "-o", tmp_path / "out")
    with browser.chromium() as shown:
        shown.look((tmp_path / "out" / "tradeoff.html").as_uri(), width=400)
        wait_until(lambda: shown.js("return document.documentElement.dataset.ready"))
        size = "getBoundingClientRect()"
        assert shown.js(f"return document.querySelector('#chart .nsewdrag').{size}.width") > 250
        assert shown.js("return document.documentElement.scrollWidth") <= 400
        devices = "[...document.querySelectorAll('section')].at(-1)"
        assert shown.js(f"return {devices}.querySelectorAll('thead th').length") == 12
        rows = f"[...{devices}.querySelectorAll('tbody tr')].map((each) => each.{size}.height)"
        assert max(shown.js(f"return {rows}")) < 60, "no name is a column of letters"
        link = "[...document.querySelectorAll('#models a')].find((a) => a.text.includes('#q'))"
        shown.driver.get(shown.js(f"return {link}.href"))
        assert shown.driver.title == "the run"
        assert not shown.complaints()


def test_a_pruned_model_is_held_against_the_best_dense_one_of_the_same_data(tmp_path):
    from edgecv.tradeoff import comparison_tables

    for name, top1 in (("a", 0.70), ("b", 0.75), ("c", 0.72)):
        leave(tmp_path / name, report(top1=top1))
    other = report(top1=0.99)
    other["accuracy"]["data"] = "other photos"
    leave(tmp_path / "other", other)
    leave(tmp_path / "pruned", report(top1=0.7, pruning={"kind": "magnitude", "sparsity": 0.5}))
    rows = comparison_tables.pruning(collect([tmp_path]).candidates)
    assert [row["points"] for row in rows] == [pytest.approx(-5.0)] * 2


def test_comparisons_are_against_the_right_twin(tmp_path):
    leave(tmp_path / "dense", report(top1=0.70, ms=20.0))
    pruned = {"kind": "channels", "sparsity": 0.4}
    leave(tmp_path / "pruned", report(top1=0.68, ms=10.0, size=2e6, pruning=pruned))
    leave(tmp_path / "other", report(top1=0.5, ms=1.0, width=0.5))
    from edgecv.tradeoff import comparison_tables

    found = collect([tmp_path]).candidates
    by_scheme = {row["scheme"]: row for row in comparison_tables.pruning(found)}
    assert by_scheme["int8"]["points"] == pytest.approx(-2.0)
    assert by_scheme["int8"]["faster"] == pytest.approx(2.0)
    assert len(comparison_tables.quantization(found)) == 3
    assert all(
        row["points"] == pytest.approx(-0.5) and row["faster"] == pytest.approx(3.0)
        for row in comparison_tables.quantization(found)
    )
    places, rows = comparison_tables.devices(found)
    assert places == [WHERE] and len(rows) == 6


def test_choose_answers_and_says_what_must_give(tmp_path):
    leave(tmp_path / "runs" / "large", report(top1=0.95, ms=50.0, size=4e6))
    leave(tmp_path / "runs" / "small", report(top1=0.85, ms=10.0, size=1e6))
    shown = run("choose", tmp_path / "runs", "--max-latency", "30ms", "--min-top1", "0.8", "--json")
    assert shown.exit_code == 0
    chosen = json.loads(shown.stdout)["chosen"]
    assert Path(chosen["quality"]["run"]).name == "small"
    assert chosen["quality"]["latency_ms"] in (10.0, 30.0)
    shown = run("choose", tmp_path / "runs", "--max-latency", "30ms", "--min-top1", "90%")
    assert shown.exit_code == 3
    assert "Without --min-top1: 85.5 % top-1, 30 ms" in shown.stdout
    assert "Without --max-latency: 95.0 % top-1, 50 ms" in shown.stdout


def test_a_model_exactly_at_a_limit_is_within_it(tmp_path):
    leave(tmp_path / "runs" / "just so", report(top1=0.57, ms=4.1, size=4_100_000))
    for flags in (["--min-top1", "57%"], ["--max-latency", "4100us"], ["--max-size", "4.1MB"]):
        shown = run("choose", tmp_path / "runs", *flags)
        assert shown.exit_code == 0, flags
        assert "57.0 % top-1, 4.1 ms" in shown.stdout
        assert "just so/model_int8.tflite'" in shown.stdout.rpartition("Next:")[2]


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--max-latency", "30"], "--max-latency"),
        (["--max-size", "2 apples"], "--max-size"),
        (["--min-top1", "90"], "--min-top1"),
        (["--device", "rpi9"], "made_up"),
    ],
)
def test_choose_names_the_flag_that_is_wrong(tmp_path, flags, words):
    leave(tmp_path / "runs" / "one", report())
    shown = run("choose", tmp_path / "runs", *flags)
    assert shown.exit_code == 2
    assert words in shown.stderr and "Traceback" not in shown.stderr


def test_latencies_of_two_devices_are_never_mixed(tmp_path):
    entries = [
        latency(50.0, "int8", SHA["int8"], device="rpi4"),
        latency(5.0, "int8", SHA["int8"], device="rpi5"),
        latency(1.0, "int8", SHA["int8"], device="rpi4", valid=False, threads=2),
    ]
    leave(tmp_path / "runs" / "one", report(latency=entries))
    assert run("choose", tmp_path / "runs", "--max-latency", "30ms").exit_code == 2
    assert (
        run("choose", tmp_path / "runs", "--max-latency", "30ms", "--device", "rpi5").exit_code == 0
    )
    assert (
        run("choose", tmp_path / "runs", "--max-latency", "30ms", "--device", "rpi4").exit_code == 3
    )


def test_payload_is_what_the_page_embeds(tmp_path):
    leave(tmp_path / "runs" / "one", report())
    found = collect([tmp_path / "runs"])
    shown = page.payload(found, tmp_path / "out")
    assert shown["candidates"][0]["link"] == "../runs/one/report.html"
    assert shown["candidates"][0]["latencies"][0]["where"] == WHERE


def of_data(name, digest="", classes=10, **more):
    """A report of another data set."""
    table = report(**more)
    table["accuracy"] |= {"data": name, **({"images_sha256": digest} if digest else {})}
    return {**table, "classes": classes}


@pytest.fixture
def three_data_sets(tmp_path):
    """Two runs each of `photos`, of `photos` with other images, and of `signs`."""
    sets = {"p": ("photos", "aaaaaaaa"), "q": ("photos", "bbbbbbbb"), "s": ("signs", "")}
    for number, (letter, (name, digest)) in enumerate(sets.items()):
        for better in (0, 1):
            top1, ms = 0.6 + 0.1 * number + 0.05 * better, 10.0 - 2 * number + 5 * better
            table = of_data(name, digest, top1=top1, ms=ms)
            name_files(table, 2 * number + better)
            leave(tmp_path / "runs" / f"{letter}{better}", table)
    return tmp_path / "runs"


def test_a_data_set_is_its_name_its_images_and_its_classes(tmp_path):
    from edgecv.tradeoff.datasets import data_set, data_set_names

    tables = [
        of_data("photos"),
        of_data("photos", classes=11),
        of_data("photos", "aaaaaaaa"),
        of_data("photos", "aaaaaaaa", top1=0.5),
        of_data("signs"),
    ]
    tables[0]["accuracy"]["images"] = 999
    for number, table in enumerate(tables):
        leave(tmp_path / f"run{number}", table)
    found = [each for each in collect([tmp_path]).candidates if each.scheme == "int8"]
    sets = [data_set(each) for each in found]
    assert sets[2] == sets[3] and len(set(sets)) == 4
    names = data_set_names(found)
    assert len(set(names.values())) == 4
    assert next(iter(names.values())) == "photos, 1000 images, 10 classes", "of most models"


def test_equal_names_of_different_images_are_told_apart(three_data_sets):
    from edgecv.tradeoff.datasets import data_set_names

    assert set(data_set_names(collect([three_data_sets]).candidates).values()) == {
        "photos, 1000 images, 10 classes, aaaaaa",
        "photos, 1000 images, 10 classes, bbbbbb",
        "signs, 1000 images, 10 classes",
    }


def test_choose_never_compares_different_data(three_data_sets):
    shown = run("choose", three_data_sets)
    assert shown.exit_code == 2
    assert "accuracies on different images do not compare" in shown.stderr
    assert shown.stderr.count(" images, 10 classes") == 3
    for wanted, run_name in (
        ("signs", "s1"),
        ("aaaaaaaa", "p1"),
        ("photos, 1000 images, 10 classes, bbbbbb", "q1"),
    ):
        shown = run("choose", three_data_sets, "--data", wanted, "--json")
        assert shown.exit_code == 0, shown.stderr
        chosen = json.loads(shown.stdout)["chosen"]["quality"]
        assert Path(chosen["run"]).name == run_name
    assert run("choose", three_data_sets, "--data", "signs", "--min-top1", "90%").exit_code == 3


@pytest.mark.parametrize(
    ("wanted", "words"),
    [("photos", "is more than one data set"), ("sings", "did you mean 'signs'?")],
)
def test_a_data_set_that_is_none_or_several_is_refused(three_data_sets, wanted, words):
    shown = run("choose", three_data_sets, "--data", wanted)
    assert shown.exit_code == 2 and words in shown.stderr
    assert len(shown.stderr.strip().splitlines()) == 1


def test_one_data_set_needs_no_name(tmp_path):
    leave(tmp_path / "runs" / "one", report())
    unmeasured = report()
    del unmeasured["accuracy"]
    leave(tmp_path / "runs" / "random", unmeasured)
    assert run("choose", tmp_path / "runs").exit_code == 0


def test_the_report_has_a_front_for_every_data_set(three_data_sets, tmp_path):
    from edgecv.tradeoff import chart

    shown = run("report", three_data_sets, "-o", tmp_path / "out")
    assert shown.exit_code == 0, shown.stderr
    assert "3 data sets, which do not compare" in shown.stdout
    assert "--data 'photos, 1000 images, 10 classes, aaaaaa'" in shown.stdout
    known = json.loads((tmp_path / "out" / "tradeoff.json").read_text())
    assert len(known["data_sets"]) == 3
    assert {each["data_set"] for each in known["candidates"]} == set(known["data_sets"])
    found = collect([three_data_sets]).candidates
    fronts = chart.fronts(chart.points(found, WHERE))
    assert [len(best) for best in fronts.values()] == [2, 2, 2], "of all, only signs would be left"
    rows = list(csv.DictReader((tmp_path / "out" / "tradeoff.csv").read_text().splitlines()))
    assert {row["images_sha256"] for row in rows} == {"aaaaaaaa", "bbbbbbbb", ""}


@pytest.mark.skipif(not CHROMIUM, reason="no chromium")
def test_the_page_draws_a_front_for_every_data_set_and_filters(three_data_sets, tmp_path):
    run("report", three_data_sets, "-o", tmp_path / "out")
    with browser.chromium() as shown:
        shown.look((tmp_path / "out" / "tradeoff.html").as_uri(), width=1000)
        front_rows = "[...document.querySelectorAll('#models tr.front a')].map((a) => a.text)"
        assert set(shown.js(f"return {front_rows}")) == {"p0", "p1", "q0", "q1", "s0", "s1"}
        heads = (
            "[...document.querySelectorAll('#models thead button')].map((each) => each.textContent)"
        )
        assert "data" in shown.js(f"return {heads}")
        pick = "const data = document.querySelector('#data-set'); data.value = [...data.options]"
        pick += ".find((each) => each.text.startsWith('signs')).value; data.dispatchEvent("
        shown.js(f"{pick}new Event('input'))")
        assert set(shown.js(f"return {front_rows}")) == {"s0", "s1"}
        rows = "document.querySelectorAll('#models tbody tr').length"
        assert shown.js(f"return {rows}") == 4
        assert not shown.complaints()
