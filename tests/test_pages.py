"""The pages of runs of every kind in a real browser: on a screen, a phone and on paper."""

import base64

import pytest

from tests import axe, browser, made_reports

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
