"""A search without a grid: over the published models that `suggest` finds within the limits."""

import json

import pytest

from edgecv import recipe
from edgecv.device import description
from edgecv.pipeline import suggest
from edgecv.progress import Progress
from edgecv.recipe import DataOptions, Recipe
from edgecv.sweep import candidates, search
from edgecv.sweep.search import Search
from edgecv.tradeoff.choose import Limits
from tests.builds import edgecv, invoke, photographs

LIMITS = Limits(max_latency_ms=30, max_bytes=4e6)
FLAGS = ("--device", "rpi4", "--max-latency", "30ms", "--max-size", "4MB")


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    return photographs(tmp_path_factory.mktemp("photographs"), 6)


@pytest.fixture(scope="module")
def grid():
    suggestions = suggest.suggest(suggest.pace(description.find("rpi4")), LIMITS)
    base = Recipe(data=DataOptions(path="photos"))
    return candidates.candidate_grid(suggestions, LIMITS, base)


def shape(cell):
    model = cell.recipe.model
    return f"{model.arch}_{model.width:g}_{model.resolution}"


def test_the_cells_are_the_models_that_suggest_finds_within_the_limits(grid):
    table = json.loads(invoke("suggest", *FLAGS, "--json").stdout)
    fitting = {
        row["name"]
        for row in table["models"]
        if row["latency_ms_estimated"] <= 30 and row["int8_bytes_estimated"] <= 4e6
    }
    assert 10 < len(fitting) < len(table["models"])
    assert {shape(cell) for cell in grid.cells} == fitting
    assert len({cell.name for cell in grid.cells}) == len(fitting)
    picks = list(dict.fromkeys(pick["name"] for pick in table["picks"].values()))
    rest = [name for name in table["front"] if name not in picks]
    assert [shape(grid.places[place]) for place in grid.first] == picks + rest


def test_a_search_tries_the_front_first_and_everything_in_the_end(grid, tmp_path):
    def trials(count):
        job = Search(tmp_path, description.find("rpi4"), 0.001, Progress())  # none is built
        return [trial.name for trial in search.search(grid, job, count)]

    first = [grid.places[place].name for place in grid.first]
    assert trials(2) == first[:2]
    assert trials(len(first)) == first
    assert set(trials(100)) == {cell.name for cell in grid.cells}


@pytest.mark.slow
def test_a_model_is_built_as_set_says_and_estimated_where_the_board_is_out_of_reach(
    images, tmp_path
):
    device = tmp_path / "board.toml"
    device.write_text('host = "nowhere.invalid"\n[board]\nmodel = "Raspberry Pi 4 Model B"\n')
    quick = ("train.epochs=1", "quantize.method=minmax", "quantize.images=4", "profile.runs=5")
    settings = [word for setting in quick for word in ("--set", setting)]
    out = tmp_path / "out"
    flags = ("--device", device, "--max-macs", "15M", "--trials", 1, "-o", out, "--json")
    shown = invoke("search", "--data", images, *flags, *settings)
    assert shown.exit_code == 0, shown.stderr
    assert "of 67 models within the limits on board" in shown.stderr
    assert "estimated, not measured on board: " in shown.stderr
    [trial] = json.loads(shown.stdout)["trials"]
    table = json.loads(invoke("suggest", *FLAGS[:2], "--json").stdout)["models"]
    built = recipe.load(out / trial["name"] / "recipe.toml")
    size = (built.model.arch, built.model.width, built.model.resolution)
    row = next(row for row in table if (row["arch"], row["width"], row["resolution"]) == size)
    assert (trial["origin"], trial["reason"]) == ("estimated", "")
    assert trial["ms"] == pytest.approx(row["latency_ms_estimated"], rel=0.05), "fewer classes"
    assert (built.data.path, built.train.epochs) == (str(images), 1)
    assert (out / trial["name"] / "model_int8.tflite").is_file()


@pytest.mark.parametrize(
    ("flags", "words", "code"),
    [
        ((), "GRID: is missing; name a sweep file, or with --data", 2),
        (("--data", "no"), "no: no such folder", 1),
        (("--data", "{images}", "--device", "rpi55"), "did you mean 'rpi5'?", 2),
        (("--data", "{images}", "--device", "host"), "--device host: no estimate", 2),
        (("--data", "{images}", "--device", "coral_usb_rpi4"), "for an Edge TPU", 2),
        (("--data", "{images}", *FLAGS, "--max-latency", "30"), "ms | s | us, got '30'", 2),
        (("--data", "{images}", *FLAGS, "--max-size", "4ms"), "--max-size: must be", 2),
        (("--data", "{images}", *FLAGS, "--min-top1", "75%"), "none of 67 models", 3),
        (("--data", "{images}", *FLAGS, "--set", "model.width=1"), "--set model.width: the", 2),
        (("--data", "{images}", *FLAGS, "--set", "train.epoch=1"), "train.epochs", 2),
        (("{grid}", "--data", "{images}"), "--data: not together with", 2),
        (("{grid}", "--max-size", "1MB"), "--max-size: not together with", 2),
        (("{empty}",), "cannot be read", 2),
    ],
)
def test_what_cannot_be_searched_is_one_line(images, tmp_path, flags, words, code):
    (tmp_path / "grid.toml").write_text("[grid]\nmodel.width = [0.25, 0.5]\n")
    names = {"images": images, "grid": tmp_path / "grid.toml", "empty": tmp_path / "no.toml"}
    shown = invoke("search", *(flag.format(**names) for flag in flags))
    assert shown.exit_code == code, shown.output
    assert len(shown.stderr.splitlines()) == 1
    assert words in shown.stderr


def test_an_empty_class_folder_ends_it_before_tensorflow_is_imported(tmp_path):
    for name in ("cats", "dogs"):
        (tmp_path / "photos" / name).mkdir(parents=True)
    environment = {"PYTHONPATH": str(tmp_path), "PATH": "", "HOME": str(tmp_path)}
    (tmp_path / "tensorflow.py").write_text("raise SystemExit('tensorflow was imported')")
    shown = edgecv("search", "--data", tmp_path / "photos", *FLAGS, env=environment)
    assert shown.returncode == 1
    assert "no images" in shown.stderr and "was imported" not in shown.stderr
