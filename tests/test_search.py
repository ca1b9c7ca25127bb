"""A search: what is not built, what is not finished, and what is left when it ends."""

import json
import shutil

import pytest
from click.testing import CliRunner

from edgecv.cli import main
from edgecv.device import description
from edgecv.errors import RunFolderError
from edgecv.pipeline import build as pipeline
from edgecv.progress import Progress
from edgecv.sweep import grid as grids
from edgecv.sweep import search
from edgecv.sweep.early_stop import AHEAD, FIRST, Course, StoppedEarly, Watch, is_far_behind
from edgecv.sweep.search import Search, Trial, best
from tests.builds import invoke
from tests.many_runs import leave, report

GRID = """
[model]
arch = "squeezenet"
resolution = 32
[train]
epochs = 1
images_per_epoch = 64
[quantize]
images = 8
method = "minmax"
[profile]
runs = 5
[grid]
model.width = [0.25, 0.5]
quantize.scheme = ["none", "float16", "int8"]
"""


@pytest.fixture
def grid(tmp_path):
    path = tmp_path / "grid.toml"
    path.write_text(GRID)
    return path


def test_a_training_far_behind_one_of_a_smaller_model_is_hopeless():
    small = Course(5.0, [0.5, 0.7, 0.9])
    behind = [0.3, 0.7 - AHEAD]
    assert is_far_behind(Course(6.0, behind), [small])
    assert not is_far_behind(Course(4.0, behind), [small]), "it is smaller"
    assert not is_far_behind(Course(6.0, [0.3, 0.71 - AHEAD]), [small]), "not far enough behind"
    assert not is_far_behind(Course(6.0, behind[: FIRST - 1]), [small]), "too early to say"
    assert not is_far_behind(Course(6.0, [0.1] * 4), [small]), "nobody was there at that epoch"
    assert not is_far_behind(Course(6.0, behind), [])


def test_a_watched_training_ends_with_the_epoch_that_has_no_hope():
    watch = Watch(lambda known: known[-1] < 0.5)
    watch.on_epoch(1, 0.6)
    with pytest.raises(StoppedEarly, match=r"epoch 2: training accuracy 0\.40"):
        watch.on_epoch(2, 0.4)
    assert watch.accuracy == [0.6, 0.4]


def test_the_front_of_the_trials():
    trials = [
        Trial("slow", "", 0.9, 9.0, "measured"),
        Trial("fast", "", 0.8, 3.0, "measured"),
        Trial("beaten", "", 0.7, 4.0, "estimated"),
        Trial("not built", "too slow"),
    ]
    assert [each.name for each in best(trials)] == ["fast", "slow"]


def test_a_training_that_goes_on_in_the_middle_is_not_judged_by_its_first_epochs():
    watch = Watch(lambda known: pytest.fail(f"judged by {known}"))
    for number in (5, 6):
        watch.on_epoch(number, 0.9)
    assert watch.accuracy == []


@pytest.fixture
def started(grid, tmp_path, monkeypatch):
    """A search here, the training of whose models goes as `accuracy` says, by width and pruning."""
    accuracy = {}

    def build(recipe, folder, on_epoch, **_):
        for number, reached in enumerate(accuracy[recipe.model.width], 1):
            on_epoch(number, reached)
        leave(folder, report(top1=accuracy[recipe.model.width][-1]))

    def start(device="host", max_ms=None):
        known = Search(tmp_path / "out", description.find(device), max_ms, Progress())
        return known, grids.load(grid)

    monkeypatch.setattr(pipeline, "build", build)
    return start, accuracy


def test_only_one_that_computes_no_more_makes_a_training_hopeless(started):
    start, accuracy = started
    job, cells = start()
    small, large = (next(c for c in cells.cells if c.recipe.model.width == w) for w in (0.25, 0.5))
    accuracy |= {0.5: [0.8, 0.9, 0.95], 0.25: [0.3, 0.4, 0.5]}
    job.trial(large)
    assert "far behind" not in job.trial(small).reason
    accuracy |= {0.5: [0.3, 0.4, 0.5], 0.25: [0.8, 0.9, 0.95]}
    again, _ = start()
    again.courses.append(Course(1.0, accuracy[0.25]))
    shutil.rmtree(again.out / large.name)
    assert "far behind" in again.trial(large).reason


def test_how_trainings_went_is_known_when_a_search_goes_on(started):
    start, _ = started
    job, cells = start()
    leave(job.out / cells.cells[0].name, report())
    (job.out / cells.cells[0].name / "course.json").write_text("[0.5, 0.9]")
    job.remember(Trial(cells.cells[0].name, "", 0.9, 1.0, "measured"), cells.cells[0])
    [course] = job.courses
    assert course.accuracy == [0.5, 0.9] and course.macs > 0


def test_what_failed_for_want_of_something_is_tried_again_when_the_search_goes_on(
    started, monkeypatch
):
    def full(*_, **__):
        raise RunFolderError("No space\nleft")

    start, accuracy = started
    working = pipeline.build
    monkeypatch.setattr(pipeline, "build", full)
    job, cells = start()
    first = search.search(cells, job, 2)
    assert {each.reason for each in first} == {r"No space\nleft"}, "one line, as errors are"
    monkeypatch.setattr(pipeline, "build", working)
    accuracy |= {0.25: [0.5], 0.5: [0.9]}
    again, _ = start()
    found = search.search(cells, again, 6)
    assert len({each.name for each in found}) == 6
    assert not any("No space" in each.reason for each in found)


def test_nothing_is_estimated_of_a_model_that_channels_are_taken_out_of(started, grid):
    start, accuracy = started
    grid.write_text(GRID + "prune = [{kind = 'channels', macs = 0.1}]")
    job, cells = start("rpi4", 0.001)
    accuracy |= {0.25: [0.5]}
    assert "ms estimated" not in job.trial(cells.cells[0]).reason
    assert (job.out / cells.cells[0].name / "report.json").exists()


@pytest.mark.slow
def test_a_real_training_that_is_far_behind_is_ended_and_says_why(grid, tmp_path):
    grid.write_text(GRID.replace("epochs = 1", "epochs = 4"))
    search_ = Search(tmp_path / "out", description.find("host"), None, Progress())
    search_.courses.append(Course(1.0, [1.0] * 4))
    cell = grids.load(grid).cells[0]
    reason = search_.trial(cell).reason
    assert reason.startswith("epoch 2: training accuracy") and "far behind others" in reason
    assert (search_.out / cell.name / ".state" / "training.npz").exists()
    assert not (search_.out / cell.name / "report.json").exists()


@pytest.mark.slow
def test_a_search_tries_different_cells_and_goes_on_where_it_stopped(grid, tmp_path):
    def searched(trials):
        flags = ("-o", tmp_path / "out", "--trials", trials, "--json")
        shown = invoke("search", grid, *flags)
        assert shown.exit_code == 0, shown.stderr
        return json.loads(shown.stdout)

    first = searched(2)
    names = [each["name"] for each in first["trials"]]
    assert len(set(names)) == 2
    measured = [each for each in first["trials"] if not each["reason"]]
    for each in measured:
        report = json.loads((tmp_path / "out" / each["name"] / "report.json").read_text())
        assert each["top1"] in [
            v["top1"] for v in report["accuracy"].values() if isinstance(v, dict) and "top1" in v
        ]
        assert each["origin"] == "measured"
    second = searched(3)
    assert second["trials"][:2] == first["trials"]
    assert len({each["name"] for each in second["trials"]}) == 3
    assert set(second["front"]) <= {each["name"] for each in second["trials"]}


def test_what_the_latency_model_says_is_too_slow_is_not_built(grid, tmp_path):
    arguments = ["search", str(grid), "-o", str(tmp_path / "out"), "--device", "rpi4"]
    shown = CliRunner().invoke(main, [*arguments, "--max-latency", "10us", "--json"])
    assert shown.exit_code == 0, shown.output
    trials = json.loads(shown.stdout)["trials"]
    assert len(trials) == 6
    assert all("estimated on rpi4" in each["reason"] for each in trials)
    assert all("rows left out" in each["reason"] for each in trials), "how far off it may be"
    assert not list((tmp_path / "out").glob("*/model.keras"))
    for new, text in (("20us", GRID), ("10us", GRID.replace("0.25, 0.5", "0.25, 0.35"))):
        grid.write_text(text)
        again = CliRunner().invoke(main, [*arguments, "--max-latency", new, "--trials", "1"])
        assert again.exit_code == 0, again.output
        assert "1 tried" in again.output
