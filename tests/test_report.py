import dataclasses
import json
import re
import subprocess
import sys
from html.parser import HTMLParser

import numpy as np
import pytest

from edgecv import report
from edgecv.artifacts import Range
from edgecv.data import Sample
from edgecv.errors import RunFolderError
from edgecv.evaluate.accuracy import Prediction
from edgecv.report import charts, figures
from tests import made_reports

VOID = {"meta", "img"}


class Page(HTMLParser):
    """A page taken apart: whether its tags are balanced, its text, and what it refers to."""

    def __init__(self, html):
        super().__init__()
        self.open, self.tags, self.addresses, self.words = [], [], [], []
        self.feed(html.replace("<wbr>", ""))
        self.close()
        assert not self.open, f"never closed: {self.open}"

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.addresses += [value for name, value in attributes if name in ("src", "href")]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, _):
        self.tags.append(tag)

    def handle_endtag(self, tag):
        assert self.open and self.open.pop() == tag, f"</{tag}> closes nothing"

    def handle_data(self, data):
        self.words.append(data)

    @property
    def text(self):
        return " ".join(" ".join(self.words).split())


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run as `build` would leave it, of a small model that was really trained and measured."""
    written, details = made_reports.plain()
    folder = tmp_path_factory.mktemp("run")
    report.write(folder, written, details)
    return folder, written, details


def rewritten(folder, written, details=None, **changes):
    """The pages of a run that differs in this."""
    report.write(folder, dataclasses.replace(written, **changes), details or report.Details())
    return (folder / "report.md").read_text(), (folder / "report.html").read_text()


def test_report_reads_back_as_it_was_written(run):
    folder, written, _ = run
    assert report.load(folder) == written
    assert list(json.loads((folder / "report.json").read_text()))[:3] == [
        "schema",
        "edgecv",
        "arch",
    ]


def test_page_is_one_file_that_opens_offline(run):
    html = (run[0] / "report.html").read_text()
    page = Page(html)
    assert not {"script", "link", "iframe"} & set(page.tags)
    anchors = {address for address in page.addresses if address.startswith("#")}
    assert len(anchors) > 5 and all(f'id="{anchor[1:]}"' in html for anchor in anchors)
    others = set(page.addresses) - anchors
    assert all(address.startswith("data:image/jpeg;base64,") for address in others)
    assert not re.search(r"https?://|@import|url\(", html)
    assert page.tags.count("img") == 12
    assert len(html) < 300_000


def test_page_and_text_hold_the_reports_figures(run):
    folder, written, _ = run
    page = Page((folder / "report.html").read_text()).text
    text = (folder / "report.md").read_text()
    for words in (page, text):
        for file in written.files.values():
            assert f"{file['bytes']:,}" in words
            assert f"{file['gzip_bytes']:,}" in words
        for scheme in ("float32", "int8"):
            for share in written.accuracy[scheme].values():
                assert figures.percent_with_error(share, 100) in words
        assert figures.percent(written.accuracy["agreement"]) in words
        assert figures.comparisons(written.accuracy)[0].drop in words
        for entry in written.latency:
            for name in ("p50_ms", "p90_ms", "p99_ms", "min_ms", "first_ms"):
                assert figures.milliseconds(entry[name]) in words
            assert figures.size(entry["peak_rss_bytes"]) in words
            assert entry["runtime"] in words
        for row in written.accuracy["per_class"]:
            assert row["label"] in words
        assert "2 images are corrupt" in words
        assert f"edgecv profile {folder}/model_int8.tflite" in words


def test_page_draws_every_inference_range_and_confusion(run):
    folder, written, details = run
    html = (folder / "report.html").read_text()
    tags = Page(html).tags
    lanes = charts.lanes(written.latency).lanes
    assert tags.count("circle") == sum(len(lane.dots) for lane in lanes)
    assert [len(lane.dots) + lane.beyond for lane in lanes] == [30, 30]
    fixed = sum(limits == Range(0.0, 6.0) for limits in details.ranges.values())
    assert tags.count("rect") == len(details.ranges) - fixed
    assert f"{fixed} of them are fixed at [0, 6]" in html
    cells = re.findall(r'<td title="(\w+) taken for (\w+): (\d+) of 10"', html)
    confusion = written.accuracy["confusion"]
    assert [int(count) for *_, count in cells] == [count for row in confusion for count in row]


def test_strip_marks_right_and_wrong_of_each_model(run):
    html, details = (run[0] / "report.html").read_text(), run[2]
    answers = [
        scores.argmax() == each.sample.label
        for each in details.predictions
        for scores in each.scores.values()
    ]
    assert html.count("✓ right") == sum(answers)
    assert html.count("✗ wrong") == len(answers) - sum(answers) > 0


def test_text_of_the_user_stays_text(run, tmp_path):
    _, written, _ = run
    label = "<script>alert('1')</script>|[x](y)"
    accuracy = {
        **written.accuracy,
        "data": label,
        "per_class": [{**row, "label": label} for row in written.accuracy["per_class"]],
        "confusions": [{"label": label, "predicted": label, "images": 1}],
    }
    sample = Sample(np.zeros((8, 8, 3), np.uint8), 0, label)
    strip = [Prediction(sample, {"int8": np.float32([0.9, 0.1, 0.0])})]
    details = report.Details([label] * 10, {label: Range(0.0, 1.0)}, strip)
    text, html = rewritten(tmp_path, written, details, accuracy=accuracy, warnings=[label])
    assert "script" not in Page(html).tags
    assert html.count("<script") == 0
    assert label in Page(html).text
    assert "<script" not in text.replace("\\<script", "")
    rows = [line for line in text.splitlines() if line.startswith("| \\<script")]
    assert len(rows) == 10
    assert {len(re.findall(r"(?<!\\)\|", row)) for row in rows} == {5}


def test_what_was_not_measured_is_said_and_absent(run, tmp_path):
    _, written, _ = run
    files = {"float16": written.files["float32"]}
    changes = {"accuracy": None, "latency": [], "weights": "random", "files": files}
    text, html = rewritten(tmp_path, written, **changes)
    assert "accuracy" not in json.loads((tmp_path / "report.json").read_text())
    for words in (text, Page(html).text):
        assert "with random weights only size and latency mean anything" in words
        assert "## Latency\n\nNot measured." in words or "Latency Not measured." in words
        assert "top-5" not in words and "top5" not in words
    assert "only int8 needs them" in html


def test_one_model_is_compared_with_nothing(run, tmp_path):
    _, written, _ = run
    accuracy = {name: value for name, value in written.accuracy.items() if name != "agreement"}
    accuracy.pop("int8")
    files = {"float32": written.files["float32"]}
    text, html = rewritten(tmp_path, written, accuracy=accuracy, files=files)
    assert "against" not in text
    assert "Agreement" not in Page(html).text


def test_invalid_latency_carries_its_reason(run, tmp_path):
    _, written, _ = run
    entry = {**written.latency[1], "valid": False, "reason": "the board throttled"}
    text, html = rewritten(tmp_path, written, latency=[entry])
    assert "> Not valid: int8, 1 thread on host: the board throttled." in text
    assert "Not valid int8, 1 thread: the board throttled." in Page(html).text
    assert "not valid, see below" in html


def test_a_thousand_classes_make_a_page_of_the_worst(run, tmp_path):
    _, written, _ = run
    rows = [
        {"label": f"class {index}", "images": index % 2, "float32": 1.0, "int8": 0.0}
        for index in range(1000)
    ]
    confusions = [{"label": "class 7", "predicted": "class 9", "images": 3}]
    accuracy = {**written.accuracy, "per_class": rows, "confusions": confusions}
    accuracy.pop("confusion")
    ranges = {f"layer {index}": Range(-index, index) for index in range(400)}
    details = report.Details([row["label"] for row in rows], ranges)
    text, html = rewritten(tmp_path, written, details, accuracy=accuracy)
    assert text.count("\n| class ") == 25 + 1, "25 rows and a header"
    assert "class 0" not in text, "a class without images has no accuracy"
    assert "matrix" not in Page(html).tags and '<table class="matrix">' not in html
    assert "class 7 class 9 3" in Page(html).text
    assert len(html) < 500_000


def test_reports_and_profiles_need_neither_opencv_nor_tensorflow():
    script = (
        "import sys\n"
        "for name in ('cv2', 'tensorflow', 'tf_keras', 'matplotlib'): sys.modules[name] = None\n"
        "import edgecv.profile, edgecv.report; print('fine')"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.stdout == "fine\n", done.stderr


@pytest.mark.parametrize(
    ("text", "words"),
    [
        pytest.param(None, "no such file", id="missing"),
        pytest.param("{", "not a readable report", id="torn"),
        pytest.param("[]", "schema None; this edgecv reads schema 1", id="other"),
        pytest.param('{"schema": 2}', "schema 2; this edgecv reads schema 1", id="newer"),
        pytest.param('{"schema": 1, "x": 1}', "missing or unknown: arch, .*, x$", id="keys"),
    ],
)
def test_report_that_cannot_be_read_is_named(tmp_path, text, words):
    if text is not None:
        (tmp_path / "report.json").write_text(text)
    with pytest.raises(RunFolderError, match=rf"report\.json: .*{words}"):
        report.load(tmp_path)


def test_no_report_json_stands_before_the_pages_do(run, tmp_path):
    _, written, _ = run
    (tmp_path / "report.html").mkdir()
    with pytest.raises(RunFolderError, match=r"report\.html: cannot be written"):
        report.write(tmp_path, written, report.Details())
    assert not (tmp_path / "report.json").exists()
    assert not list(tmp_path.glob(".*"))


@pytest.mark.parametrize(
    ("found", "shown"),
    [
        (figures.size(999), "999 B"),
        (figures.size(2_816_320), "2.82 MB"),
        (figures.size(61_234), "61.2 kB"),
        (figures.amount(1_840_000), "1.84 M"),
        (figures.amount(12), "12"),
        (figures.milliseconds(0.20712), "0.207"),
        (figures.milliseconds(3.9), "3.90"),
        (figures.milliseconds(221.8), "222"),
        (figures.percent_with_error(0.968, 500), "96.8 ± 0.8 %"),
        (figures.percent_with_error(1.0, 500), "100.0 ± 0.2 %"),
        (figures.points(-0.004), "0.4 points lower"),
        (figures.points(0.0), "equal"),
    ],
)
def test_figures_read_as_people_write_them(found, shown):
    assert found == shown


def test_logits_are_shown_as_probabilities(run, tmp_path):
    _, written, _ = run
    sample = Sample(np.zeros((8, 8, 3), np.uint8), 1, "a.jpg")
    strip = [Prediction(sample, {"int8": np.log(np.float32([0.1, 0.7, 0.2])) + 5})]
    _, html = rewritten(tmp_path, written, report.Details("abc", {}, strip))
    shown = re.findall(r"<span>(\w)</span><span>([^<]+)</span>", html)
    assert shown == [("b", "70 %"), ("c", "20 %"), ("a", "10 %")]


def test_chart_of_latency_leaves_out_what_would_squeeze_the_rest():
    samples = [1.0] * 98 + [1.5, 400.0]
    entry = {"p50_ms": 1.0, "p90_ms": 1.0, "p99_ms": 5.5, "context": {"samples_ms": samples}}
    chart = charts.lanes([entry])
    assert chart.lanes[0].beyond == 1
    assert len(chart.lanes[0].dots) == 99
    assert [tick.text for tick in chart.ticks] == ["0", "0.5", "1", "1.5", "2"]
    assert chart.lanes[0].p50 == pytest.approx(100 / 2.1)


def test_chart_of_ranges_orders_bars_as_numbers_are_ordered():
    chart = charts.bars({"a": Range(-2.0, 3.0), "b": Range(0.0, 6.0), "c": Range(0.0, 200.0)})
    first, second = chart.bars
    assert second.y < first.y
    assert first.y + first.height > second.y + second.height
    assert ([bar.name for bar in chart.bars], chart.fixed) == (["a", "c"], 1)
    assert [tick.text for tick in chart.ticks] == ["-1", "0", "1", "6", "30", "150"]
