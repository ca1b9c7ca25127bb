"""The pages of runs of every kind in a real browser: on a screen, a phone and on paper."""

import base64

import pytest
from click.testing import CliRunner

from edgecv.cli import main
from tests import axe, browser, made_reports
from tests.many_runs import leave, leave_many, name_files, report
from tests.waiting import wait_until

KINDS = {
    "plain": made_reports.plain,
    "channels": made_reports.channels,
    "classes_60": lambda: made_reports.many_classes(60),
    "classes_1000": lambda: made_reports.many_classes(1000),
}


@pytest.fixture(scope="module")
def shown():
    with browser.chromium() as running:
        yield running


@pytest.fixture(scope="module")
def pages(tmp_path_factory):
    root = tmp_path_factory.mktemp("pages")
    return {kind: made_reports.leave(root / kind, made()) for kind, made in KINDS.items()}


def beyond(shown, width):
    """The elements that reach over the page's edge, but for those in a box that scrolls."""
    return shown.js(
        "return [...document.querySelectorAll('body *')].filter((each) => !each.closest("
        "'.scroll, pre, .command, svg, thead') && each.getBoundingClientRect().right >"
        f" {width} + 1).map((each) => each.outerHTML.slice(0, 200))"
    )


@pytest.mark.parametrize("kind", KINDS)
def test_a_phone_shows_all_of_a_report(shown, pages, kind):
    shown.look(pages[kind].as_uri(), width=390)
    assert shown.js("return document.documentElement.scrollWidth") <= 390
    assert not beyond(shown, 390)
    assert shown.js("return document.querySelector('.matrix')?.offsetWidth ?? 0") < 375
    bars = "[...document.querySelectorAll('#size .bar')].map((bar) => bar.clientWidth)"
    assert min(shown.js(f"return {bars}")) > 250
    rows = "[...document.querySelectorAll('.stack tbody tr')]"
    assert max(shown.js(f"return {rows}.map((row) => row.clientWidth)")) <= 390
    cell = "document.querySelector('#latency td.n')"
    assert shown.js(f"return {cell}.dataset.name") == "p50, ms"
    assert shown.js(f"return getComputedStyle({cell}, '::before').content") != "none"
    assert not shown.complaints()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("kind", ["plain", "channels", "classes_60"])
def test_a_report_is_accessible(shown, pages, kind, scheme):
    shown.look(pages[kind].as_uri(), scheme=scheme)
    shown.js("document.querySelectorAll('details').forEach((each) => { each.open = true; })")
    assert axe.violations(shown) == []


def test_contents_lead_to_every_section(shown, pages):
    shown.look(pages["channels"].as_uri())
    headings = shown.js("return [...document.querySelectorAll('h2')].map((h) => h.textContent)")
    links = "[...document.querySelectorAll('nav a')]"
    assert shown.js(f"return {links}.map((a) => a.textContent)") == headings
    assert "What pruning did" in headings and "Input and output" in headings
    targets = f"{links}.map((a) => document.querySelector(a.hash + ' h2').textContent)"
    assert shown.js(f"return {targets}") == headings


def test_paper_has_bars_charts_and_what_was_folded(shown, pages):
    shown.look(pages["plain"].as_uri(), scheme="dark")
    size = {"paperWidth": 8.27, "paperHeight": 11.69, "printBackground": False}
    pdf = shown.driver.execute_cdp_cmd("Page.printToPDF", size)
    assert base64.b64decode(pdf["data"]).startswith(b"%PDF")
    shown.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print"})
    style = "getComputedStyle(document.querySelector('.bar i'))"
    assert shown.js(f"return {style}.printColorAdjust") == "exact"
    assert (
        shown.js("return getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    )
    folded = "document.querySelector('details table').getBoundingClientRect().height"
    assert shown.js(f"return {folded}") > 100
    assert not beyond(shown, 1280)


def test_many_classes_are_a_picture_of_what_is_not_nothing(shown, pages):
    for kind, group in (("classes_60", 1), ("classes_1000", 10)):
        shown.look(pages[kind].as_uri())
        spots = shown.js("return document.querySelectorAll('.picture rect title').length")
        assert 60 < spots < 300
        side = shown.js("return document.querySelector('.picture').getBoundingClientRect().width")
        assert side > 300
        first = shown.js("return document.querySelector('.picture title').textContent")
        assert ("…" in first) == (group > 1)
    assert pages["classes_1000"].stat().st_size < 500_000


@pytest.fixture(scope="module")
def tradeoff(tmp_path_factory):
    """The page of a sweep, with two methods of int8 and a model without some of its channels."""
    root = tmp_path_factory.mktemp("sweep")
    leave_many(root / "runs", 24)
    for number, width in enumerate((0.5, 1.0)):
        for method in ("auto", "minmax"):
            table = report(width=width, top1=0.7 + 0.1 * number + 0.02 * (method == "auto"))
            table["quantization"]["method"] = f"int8, per-channel weights, ranges by {method}"
            name_files(table, 900 + number)
            table["files"]["int8"]["sha256"] = f"{width}{method}".ljust(64, "0")
            leave(root / "runs" / f"{method}_{number}", table)
    cut = report(width=0.7, pruning={"kind": "channels", "sparsity": 0.012})
    name_files(cut, 990)
    leave(root / "runs" / "cut", cut)
    done = CliRunner().invoke(main, ["report", str(root / "runs"), "-o", str(root / "out")])
    assert done.exit_code == 0, done.output
    return root / "out" / "tradeoff.html"


def look_at_tradeoff(shown, page, **options):
    shown.look(page.as_uri(), **options)
    wait_until(lambda: shown.js("return document.documentElement.dataset.ready"))


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_tradeoffs_are_accessible(shown, tradeoff, scheme):
    look_at_tradeoff(shown, tradeoff, scheme=scheme)
    assert axe.violations(shown) == []
    assert not shown.complaints()


def test_tradeoffs_tell_methods_apart_and_show_a_float_file_once(shown, tradeoff):
    look_at_tradeoff(shown, tradeoff)
    names = shown.js("return document.getElementById('curves').data.map((line) => line.name)")
    assert {
        "mobilenet_v1, resolution 224, int8 auto",
        "mobilenet_v1, resolution 224, int8 minmax",
    } <= {*names}
    rows = "[...document.querySelectorAll('#models tbody tr')].map((row) => row.innerText)"
    rows = shown.js(f"return {rows}")
    shared = [row for row in rows if row.split("\t")[1].startswith(("auto_", "minmax_"))]
    assert sum("float32" in row for row in shared) == 2, "of four runs, which share two files"
    assert sum("int8" in row for row in shared) == 4
    assert str(len(rows)) == shown.text("count")
    [cut] = [row for row in rows if "cut" in row and "int8" in row]
    assert "channels" in cut and "%" not in cut.partition("channels")[2].split("\t")[0]
    bars = "document.getElementById('chart').data.filter((line) => line.error_y).length"
    assert shown.js(f"return {bars}") > 0


def test_tradeoffs_on_paper_have_both_charts_whole(shown, tradeoff):
    look_at_tradeoff(shown, tradeoff)
    assert shown.js("return document.querySelectorAll('#curves .main-svg').length") > 0
    widths = (
        "[...document.querySelectorAll('.main-svg')].map((e) => e.getBoundingClientRect().width)"
    )
    shown.js("window.printed = 0")
    shown.js(
        f"addEventListener('beforeprint', () => {{ window.printed = Math.max(...{widths}); }})"
    )
    shown.driver.execute_cdp_cmd("Page.printToPDF", {})
    assert 0 < shown.js("return window.printed") < 720
    assert shown.js(f"return Math.max(...{widths})") > 900, "as wide as before"
