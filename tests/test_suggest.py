"""`edgecv suggest`: published accuracies, estimates, and picks that brute force agrees with."""

import itertools
import json
import math
import re

import pytest
from click.testing import CliRunner

from edgecv import models
from edgecv.cli import main
from edgecv.device import description
from edgecv.models import published_accuracy
from edgecv.pipeline import suggest
from edgecv.pipeline.plan import plan
from edgecv.recipe import ModelOptions
from edgecv.tradeoff.choose import Limits

ROW = re.compile(r"^(\w+) ([\d.]+)/(\d+) +~?([\d.]+) +(?:([\d.]+) +)?([\d.]+) +([\d.]+) +(\d+)$")


def run(*arguments):
    return CliRunner().invoke(main, ["suggest", *map(str, arguments)])


@pytest.fixture(scope="module")
def known():
    """Every model on the Pi 4, within no limits."""
    return suggest.suggest(suggest.pace(description.find("rpi4")), Limits()).models


def test_every_published_figure_has_a_source_and_can_be():
    table = published_accuracy.table()
    for (arch, scheme), figures in table.items():
        assert arch in models.MODELS
        assert scheme in ("float32", "int8")
        for size, figure in figures.items():
            assert figure.source
            assert 0.35 < figure.top1 < 0.85
            if scheme == "int8":
                assert figure.method
                assert -0.005 < table[arch, "float32"][size].top1 - figure.top1 < 0.04
    assert {arch for arch, _ in table} == set(models.MODELS)


def test_more_channels_and_more_pixels_are_more_accurate():
    for (_, scheme), figures in published_accuracy.table().items():
        for (small, less), (large, more) in itertools.permutations(figures.items(), 2):
            smaller = small != large and small[0] <= large[0] and small[1] <= large[1]
            assert not smaller or less.top1 < more.top1, (scheme, small, large)


def test_between_published_figures_the_nearest_width_says_what_pixels_cost():
    found = published_accuracy.accuracy("mobilenet_v2", (1.4, 160))
    assert found.interpolated
    assert found.top1 == pytest.approx(0.750 + 0.688 - 0.718)
    assert not published_accuracy.accuracy("mobilenet_v2", (1.0, 160)).interpolated
    assert published_accuracy.accuracy("mobilenet_v3_small", (1.0, 160)) is None
    assert published_accuracy.accuracy("mobilenet_v2", (1.4, 160), "int8") is None


def test_every_family_at_its_published_sizes_is_there(known):
    names = {
        (each.candidate.arch, each.candidate.width, each.candidate.resolution) for each in known
    }
    published = {
        (arch, *size)
        for (arch, scheme), figures in published_accuracy.table().items()
        for size in figures
        if scheme == "float32"
    }
    assert published <= names
    assert len(names) == len(known)


def test_figures_are_those_of_the_plan(known):
    for each in known[::9]:
        candidate = each.candidate
        options = ModelOptions(candidate.arch, candidate.width, candidate.resolution)
        planned = plan(options, description.find("rpi4"), edge_tpu=False)
        int8 = next(row for row in planned.latency if row.scheme == "int8")
        assert each.option.ms == int8.ms
        assert (candidate.macs, candidate.parameters) == (planned.macs, planned.parameters)
        assert candidate.bytes == planned.int8_bytes_estimated


def picks(rows):
    """The three picks among JSON rows, by comparing all with all."""

    def figures(row):
        return row["top1"]["top1"], row["latency_ms_estimated"], row["int8_bytes_estimated"]

    def beaten(row):
        top1, ms, size = figures(row)
        return any(
            other[0] >= top1 and other[1] <= ms and other[2] <= size and other != (top1, ms, size)
            for other in map(figures, rows)
        )

    best = [row for row in rows if not beaten(row)]
    columns = [
        [-figures(row)[0] for row in best],
        [math.log(figures(row)[1]) for row in best],
        [math.log(figures(row)[2]) for row in best],
    ]

    def distance(place):
        shares = [
            (column[place] - min(column)) / ((max(column) - min(column)) or 1) for column in columns
        ]
        return round(math.hypot(*shares), 9), columns[0][place]

    balanced = best[min(range(len(best)), key=distance)]
    quality = max(best, key=lambda row: (figures(row)[0], -figures(row)[1]))
    compact = min(best, key=lambda row: (figures(row)[2], -figures(row)[0]))
    return best, {"quality": quality, "balanced": balanced, "compact": compact}


@pytest.mark.parametrize(
    ("flags", "fits"),
    [
        (("--device", "rpi5", "--max-latency", "33ms"), lambda row: row[1] <= 33),
        (
            ("--device", "rpi4", "--max-latency", "20ms", "--max-size", "3MB"),
            lambda row: row[1] <= 20 and row[2] <= 3e6,
        ),
        (
            ("--device", "rpi3b_plus", "--max-macs", "150M", "--min-top1", "60%"),
            lambda row: row[3] <= 150e6 and row[0] >= 0.6,
        ),
        (
            ("--device", "rpi4", "--target", "coral", "--max-latency", "3ms"),
            lambda row: row[1] <= 3,
        ),
    ],
)
def test_picks_are_what_brute_force_finds(flags, fits):
    shown = run(*flags, "--json")
    assert shown.exit_code == 0, shown.output
    found = json.loads(shown.stdout)
    fitting = [
        row
        for row in found["models"]
        if fits(
            (
                row["top1"]["top1"],
                row["latency_ms_estimated"],
                row["int8_bytes_estimated"],
                row["macs"],
            )
        )
    ]
    best, wanted = picks(fitting)
    assert 3 < len(fitting) < len(found["models"])
    assert set(found["front"]) == {row["name"] for row in best}
    assert found["picks"] == wanted


def test_the_table_has_at_most_fifteen_rows_and_the_picks_are_in_it():
    shown = run("--device", "rpi4", "--max-latency", "200ms")
    assert shown.exit_code == 0, shown.output
    rows = [match for line in shown.stdout.splitlines() if (match := ROW.match(line))]
    assert 10 < len(rows) <= 15
    shares = [float(match[4]) for match in rows]
    assert shares == sorted(shares, reverse=True)
    listed = {(match[1], match[2], match[3]) for match in rows}
    builds = re.findall(r"edgecv build (\w+) --width ([\d.]+) --res (\d+) --data DIR", shown.stdout)
    assert len(re.findall(r"weights: imagenet:\S+ \([\d.]+% top-1", shown.stdout)) == len(builds)
    assert len(builds) == 3
    assert set(builds) <= listed
    assert "median 6 %" in shown.stdout  # how sure the latency is


def test_nothing_that_fits_names_the_nearest_and_the_limit_to_give():
    limits = ("--max-latency", "1ms", "--min-top1", "60%")
    shown = run("--device", "rpi4", *limits)
    assert shown.exit_code == 3
    assert "Nearest" in shown.stdout
    assert re.search(r"Without --max-latency: \w+ [\d.]+/\d+: 6[0-9.]+ %", shown.stdout)
    assert shown.stderr.splitlines() == ["Error: none of 67 models is within all limits"]
    found = json.loads(run("--device", "rpi4", *limits, "--json").stdout)
    assert found["instead"]["--max-latency"]["top1"]["top1"] >= 0.6
    assert not found["picks"]


def test_the_page_shows_every_model_and_needs_no_network(tmp_path):
    shown = run("--device", "rpi5", "--max-latency", "33ms", "-o", tmp_path / "page")
    assert shown.exit_code == 0, shown.output
    page = (tmp_path / "page" / "tradeoff.html").read_text()
    assert "mobilenet_v2_0.75_192" in page
    assert "report.html" not in page  # there is no run to look at
    assert not re.search(r"""(src|href)=["']https?:""", page)
    kept = json.loads((tmp_path / "page" / "suggested.json").read_text())
    assert len(kept["models"]) == 67


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--device", "rpi55"], "device 'rpi55': not known.*did you mean 'rpi5'"),
        (["--device", "coral_dev_board", "--target", "cpu"], "no latencies are published for it"),
        (["--device", "emulated_pi"], "is emulated"),
        (["--device", "rpi5", "--max-latency", "33"], "--max-latency: .* ms | s | us, got '33'"),
        (["--device", "rpi5", "--max-latency", "-3ms"], "--max-latency: .* got '-3ms'"),
        (["--device", "rpi5", "--max-macs", "300"], "--max-macs: .* M | G | k, got '300'"),
        (["--device", "rpi5", "--min-top1", "170%"], "--min-top1: must be 0 to 1"),
        (["--device", "rpi5", "--threads", "1"], "--threads 1: .* rpi5 are known with 4"),
        (["--device", "rpi5", "--target", "coral"], "--device rpi5: no latency of an Edge TPU"),
        (["--device", "rpi4", "--target", "coral", "--threads", "4"], "an Edge TPU has none"),
        (["--device", "rpi5", "--per-op", "no.json"], "no.json"),
    ],
)
def test_what_cannot_be_answered_is_one_line(flags, words):
    shown = run(*flags)
    assert shown.exit_code in (1, 2)
    assert len(shown.stderr.splitlines()) == 1
    assert re.search(words, shown.stderr)
