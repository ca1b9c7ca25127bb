"""Sweeps: the grid, what cells share, what becomes of those that fail, who builds them."""

import contextlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner
from distributed import Client

from edgecv.cli import main
from edgecv.errors import EdgecvError, RecipeError
from edgecv.files import sha256
from edgecv.sweep import cell, estimate, grid, workers
from edgecv.tradeoff.runs import collect
from tests.builds import edgecv, start
from tests.waiting import SECONDS, wait_until

SHARED = """
[model]
arch = "squeezenet"
width = 0.25
resolution = 32
[train]
epochs = 1
images_per_epoch = 64
[quantize]
images = 8
method = "minmax"
[profile]
runs = 5
"""
FOUR = """
[grid]
quantize.calibration = ["", "broken"]
prune = [{}, { kind = "magnitude", sparsity = 0.5, epochs = 1 }]
"""


# How TensorFlow's sums are split over threads shows in the last digits.
NAMES = ("OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS")
THREADS = {**os.environ, **dict.fromkeys(NAMES, str(workers.local(2).threads))}


def written(folder, text, name="grid.toml"):
    path = folder / name
    path.write_text(text)
    return path


def models(out):
    """The hashes of all models of a sweep's finished runs, by run and name."""
    found = [
        path for path in out.glob("*/model_*.tflite") if (path.parent / "report.json").exists()
    ]
    return {str(path.relative_to(out)): sha256(path) for path in found}


@pytest.fixture(scope="module")
def swept(tmp_path_factory):
    """A finished sweep of two cells that can be built and two that cannot, and what it printed."""
    folder = tmp_path_factory.mktemp("sweep")
    path = written(folder, SHARED + FOUR)
    (folder / "broken").mkdir()
    written(folder / "broken", "no image", "image.jpg")
    where = ["-o", folder / "out"]
    return folder, path, edgecv("sweep", path, *where, "--jobs", "2", "--json", cwd=folder)


@pytest.mark.slow
def test_what_can_be_built_is_and_the_rest_has_its_reason(swept):
    folder, _, shown = swept
    outcomes = {each["name"]: each["reason"] for each in json.loads(shown.stdout)}
    assert shown.returncode == 1
    assert len(outcomes) == 4
    assert sorted(bool(reason) for reason in outcomes.values()) == [False, False, True, True]
    reasons = {reason for name, reason in outcomes.items() if "broken" in name}
    [reason] = reasons
    assert reason.startswith("broken: 1 of 1 images cannot be read (broken/image.jpg: ")
    found = collect([folder / "out"])
    assert {each.run.name for each in found.rejected} == {n for n in outcomes if "broken" in n}
    assert {each.run.name for each in found.candidates} == {n for n, r in outcomes.items() if not r}
    assert all(each.latencies and each.top1 is not None for each in found.candidates)
    assert "Traceback" not in shown.stderr


@pytest.mark.slow
def test_what_cells_share_is_made_once(swept):
    out = swept[0] / "out"
    entries = [each.name.partition("-")[0] for each in (out / ".cache").iterdir()]
    assert {name: entries.count(name) for name in ("train", "prune", "convert", "quantize")} == {
        **{"train": 1, "prune": 1, "convert": 2, "quantize": 2}
    }
    assert len({sha256(each) for each in out.glob("*/model.keras")}) == 1


@pytest.mark.slow
def test_a_cell_is_what_a_build_of_its_own_makes(swept, tmp_path):
    out = swept[0] / "out"
    one = next(each for each in grid.load(swept[1]).cells if "magnitude" in each.name)
    recipe = written(tmp_path, one.recipe.to_toml(), "recipe.toml")
    alone = edgecv("build", "--recipe", recipe, "-o", tmp_path / "alone", env=THREADS)
    assert alone.returncode == 0, alone.stderr
    for name in ("model_float32.tflite", "model_int8.tflite"):
        assert sha256(tmp_path / "alone" / name) == sha256(out / one.name / name)


@pytest.mark.slow
def test_a_second_sweep_builds_only_what_failed(swept, monkeypatch):
    folder, path, _ = swept
    monkeypatch.chdir(folder)  # where the grid's paths are seen from
    before = models(folder / "out")
    shown = json.loads(
        CliRunner()
        .invoke(main, ["sweep", str(path), "-o", str(folder / "out"), "--dry-run", "--json"])
        .stdout
    )
    assert len(shown["done"]) == 2 and shown["to_build"] == 2
    assert shown["stages"].get("train") is None or "broken" in str(shown["waves"])
    path = written(folder, SHARED + FOUR.replace(', "broken"', ""), "less.toml")
    again = edgecv("sweep", path, "-o", folder / "out", "--json", cwd=folder)
    assert again.returncode == 0, again.stderr
    assert "0 to build" in again.stderr
    assert models(folder / "out") == before


@pytest.mark.slow
def test_a_damaged_cell_costs_no_other(swept, tmp_path):
    path = written(tmp_path, 'devices = ["here.toml"]\n' + SHARED + FOUR.replace(', "broken"', ""))
    written(tmp_path, 'host = "local"', "here.toml")
    out = shutil.copytree(swept[0] / "out", tmp_path / "out")
    damaged, whole = (out / each.name for each in grid.load(path).cells)
    table = json.loads((damaged / "report.json").read_text())
    written(damaged, json.dumps(table | {"schema": 7}), "report.json")
    shown = edgecv("sweep", path, "-o", out, "--json", cwd=tmp_path)
    outcomes = {each["name"]: each["reason"] for each in json.loads(shown.stdout)}
    assert shown.returncode == 1 and "1 of 2: " in shown.stderr
    assert "schema 7" in outcomes[damaged.name] and not outcomes[whole.name]
    entries = json.loads((whole / "latency_here.json").read_text())["latency"]
    assert {each["model"] for each in entries} == {"model_float32", "model_int8"}
    before = (whole / "latency_here.json").stat().st_mtime_ns
    written(damaged, "width =", "recipe.toml")
    (damaged / "latency_here.json").unlink(missing_ok=True)
    shown = edgecv("sweep", path, "-o", out, "--dry-run", "--json", cwd=tmp_path)
    assert json.loads(shown.stdout)["waves"] == [[damaged.name]]
    assert (whole / "latency_here.json").stat().st_mtime_ns == before


@contextlib.contextmanager
def dask(folder):
    """The address of a scheduler with two workers that run in `folder`, and their processes."""
    address = folder / "scheduler.json"
    scheduler = [sys.executable, "-m", "distributed.cli.dask_scheduler", "--host", "127.0.0.1"]
    worker = [sys.executable, "-m", "distributed.cli.dask_worker", "--scheduler-file", address]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "cwd": folder}
    options = ["--port", "0", "--no-dashboard", "--scheduler-file", address]
    nworkers = [*worker, "--nworkers", "2", "--nthreads", "1", "--no-dashboard"]
    with (
        subprocess.Popen([*scheduler, *options], **quiet) as head,
        subprocess.Popen(nworkers, **quiet) as hands,
    ):
        try:
            wait_until(lambda: address.exists() and address.read_text())
            where = json.loads(address.read_text())["address"]
            with Client(where) as client:
                client.wait_for_workers(2, timeout=SECONDS)
            yield where, (hands, head)
        finally:
            hands.terminate()
            head.terminate()


@pytest.mark.slow
def test_a_cluster_that_dies_in_the_middle_is_one_line(tmp_path):
    path = written(tmp_path, SHARED + "[grid]\nseed = [0]")
    tasks = [cell.Task(each, tmp_path, tmp_path, 1, tmp_path) for each in grid.load(path).cells]
    gone = pytest.raises(EdgecvError, match="it or its workers are gone")
    with dask(tmp_path) as (where, processes), gone, workers.cluster(where) as hands:
        for each in processes:
            each.terminate()
            each.wait()
        list(workers.build_all(tasks, hands))


@pytest.mark.slow
def test_a_dask_cluster_builds_the_same(swept, tmp_path):
    folder, _, _ = swept
    path = written(tmp_path, SHARED + FOUR.replace(', "broken"', ""))
    (tmp_path / "elsewhere").mkdir()
    with dask(tmp_path / "elsewhere") as (where, _):
        more = ["--scheduler", where, "--cache", folder / "out" / ".cache"]
        shown = edgecv("sweep", path, "-o", tmp_path / "out", *more, "--json", cwd=tmp_path)
    assert shown.returncode == 0, shown.stderr
    assert f"by {where}" in shown.stderr
    assert models(tmp_path / "out") == models(folder / "out")


def kill_when(is_reached, process):
    """End a process by force at a moment that it comes to before its end."""

    def is_now():
        assert process.poll() is None, "it ended before"
        return is_reached()

    wait_until(is_now)
    process.kill()
    process.wait()


@pytest.mark.slow
def test_a_sweep_that_is_killed_goes_on_to_the_same_models(swept, tmp_path):
    path = written(tmp_path, SHARED + FOUR.replace(', "broken"', ""))
    command = ("sweep", path, "-o", tmp_path / "out", "--jobs", "2")
    cache = tmp_path / "out" / ".cache"
    quiet = {"cwd": tmp_path, "stderr": subprocess.DEVNULL}  # its workers would keep a pipe open
    for stage in ("train", "convert", "quantize"):
        entries = f"{stage}-*"
        kill_when(lambda entries=entries: [*cache.glob(entries)], start(*command, **quiet))
    shown = edgecv(*command, cwd=tmp_path)
    assert shown.returncode == 0, shown.stderr
    assert models(tmp_path / "out") == models(swept[0] / "out")
    assert not list((tmp_path / "out").rglob("*.partial*"))


def test_a_grid_is_all_combinations_with_names_that_tell_them_apart(tmp_path):
    text = """
    devices = ["host", "rpi4"]
    [model]
    resolution = 96
    [grid]
    model.arch = ["mobilenet_v1", "mobilenet_v2"]
    model.width = [0.25, 0.5]
    prune = [{}, { kind = "magnitude", sparsity = 0.5 }, { kind = "magnitude", sparsity = 0.75 }]
    seed = [0, 1]
    """
    found = grid.load(written(tmp_path, text))
    assert found.devices == ("host", "rpi4")
    assert len(found.cells) == 24
    assert len({each.name for each in found.cells}) == 24
    assert len({each.recipe for each in found.cells}) == 24
    assert {each.recipe.model.resolution for each in found.cells} == {96}
    names = [each.name for each in found.cells]
    assert names[0] == "mobilenet_v1_025_96_int8_seed0"
    assert "mobilenet_v2_050_96_int8_magnitude_sparsity0.75_seed1" in names


def test_cells_that_are_equal_are_built_once_and_odd_values_make_good_names(tmp_path):
    text = """
    [grid]
    model.arch = ["mobilenet", "mobilenet_v1"]
    quantize.calibration = ["../a b/c", "../a b!c"]
    """
    found = grid.load(written(tmp_path, text))
    assert len(found.cells) == 2
    for each in found.cells:
        assert Path(each.name).name == each.name and not each.name.startswith(".")
    assert len({each.name for each in found.cells}) == 2


def test_a_number_behind_a_name_makes_it_nobody_elses(tmp_path):
    text = "[grid]\nquantize.calibration = ['a/b', 'a-b', 'a-b_1']"
    found = grid.load(written(tmp_path, text))
    assert len({each.name for each in found.cells}) == 3


@pytest.mark.parametrize("folder", ["file", "file/below"])
def test_a_folder_that_cannot_be_used_is_one_line(tmp_path, folder):
    written(tmp_path, "", "file")
    path = written(tmp_path, SHARED + "[grid]\nseed = [0]")
    shown = CliRunner().invoke(main, ["sweep", str(path), "-o", str(tmp_path / folder)])
    assert shown.exit_code == 1 and f"{folder}: cannot be used" in shown.stderr
    assert isinstance(shown.exception, SystemExit)


def test_a_worker_elsewhere_sees_the_paths_of_a_recipe_from_where_the_sweep_began(
    tmp_path, monkeypatch
):
    for folder in ("photos/only one class", "elsewhere"):
        (tmp_path / folder).mkdir(parents=True)
    text = SHARED + "[data]\npath = 'photos'\n[grid]\nseed = [0]"
    [one] = grid.load(written(tmp_path, text)).cells
    monkeypatch.chdir(tmp_path / "elsewhere")
    for name in NAMES:  # the worker sets them for its process, which here is the tests'
        monkeypatch.setenv(name, "1")
    found = cell.build(cell.Task(one, tmp_path / "out", tmp_path / "cache", 1, tmp_path))
    assert "photos" in found.reason and "no such folder" not in found.reason


def test_a_reason_that_the_disk_has_no_room_for_is_told_all_the_same(tmp_path):
    written(tmp_path, "", "file")
    outcome = cell.record_failure(tmp_path / "file", "No space\nleft", "Traceback")
    assert outcome == ("file", "No space left")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "grid: must be a table"),
        ("[grid]\nmodel.width = 0.5", "grid.model.width: must be a list"),
        ("[grid]\nmodel.width = []", "grid.model.width: must be a list"),
        ("[grid]\nmodel.width = [0.5, 99]", "model.width"),
        ("[grid]\nmodel.breadth = [0.5]", "did you mean"),
        ("[grid]\nseed = ['a']", "seed"),
        ("devices = 'host'\n[grid]\nseed = [0]", "devices: must be a list"),
        ("[grid]\nseed = [" + ",".join(map(str, range(10_001))) + "]", "at most"),
        ("[grid]\nmodel.arch = ['mobilenet', 'mobilenot']", "grid.toml: .*'mobilenot'"),
        ("model = 3\n[grid]\nmodel.width = [0.5]", "model: must be a table"),
        ("seed = 3\n[grid]\nseed = [{}]", "seed: must be a whole number"),
        ("seed = 3\n[grid]\nseed.a = [1]", "seed: must be a whole number"),
        ("[grid.model]", "grid: must be a table of lists"),
        (
            "quantize.target = 'coral'\n[grid]\nquantize.scheme = ['int8', 'none']",
            "the cell of quantize.scheme = 'none': --target",
        ),
    ],
)
def test_what_is_wrong_in_a_sweep_file_is_named(tmp_path, text, words):
    with pytest.raises(RecipeError, match=words):
        grid.load(written(tmp_path, text))


def test_a_device_that_is_not_known_is_told_before_anything_is_built(tmp_path):
    path = written(tmp_path, "devices = ['rpi9']\n[grid]\nseed = [0]")
    shown = CliRunner().invoke(main, ["sweep", str(path), "-o", str(tmp_path / "out")])
    assert shown.exit_code == 2 and "rpi9" in shown.stderr
    assert not (tmp_path / "out").exists()


def test_a_dry_run_says_what_is_shared_and_leaves_nothing(tmp_path):
    text = SHARED + "[grid]\nquantize.method = ['minmax', 'mse']\nprune = [{}, {kind = '2:4'}]\n"
    arguments = ["sweep", str(written(tmp_path, text)), "-o", str(tmp_path / "out"), "--dry-run"]
    shown = json.loads(CliRunner().invoke(main, [*arguments, "--json"]).stdout)
    assert shown["stages"] == {
        **{"train": 1, "convert": 4, "quantize": 4},
        "evaluate": 4,
        "prune": 1,
    }
    assert shown["to_build"] == 4 and shown["seconds"] > 0
    assert [len(each) for each in shown["waves"]] == [1, 2, 1]
    assert not (tmp_path / "out").exists()


def test_workers_fit_into_the_memory_and_share_the_cores(monkeypatch):
    cores = len(os.sched_getaffinity(0))
    monkeypatch.setattr(workers, "free_bytes", lambda: 10**12)
    assert workers.local() == (cores, 1)
    monkeypatch.setattr(workers, "free_bytes", lambda: workers.WORKER_BYTES + 1)
    assert workers.local() == (1, cores)
    monkeypatch.setattr(workers, "free_bytes", lambda: 0)
    assert workers.local() == (1, cores)
    assert workers.local(2 * cores) == (2 * cores, 1)
    monkeypatch.undo()
    assert 10**8 < workers.free_bytes() < 10**13


def test_a_scheduler_that_does_not_answer_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(workers, "CONNECT_SECONDS", 0.5)
    path = written(tmp_path, SHARED + "[grid]\nseed = [0]")
    arguments = [
        "sweep",
        str(path),
        "-o",
        str(tmp_path / "out"),
        "--scheduler",
        "tcp://127.0.0.1:9",
    ]
    shown = CliRunner().invoke(main, arguments)
    assert shown.exit_code == 1 and "tcp://127.0.0.1:9" in shown.stderr
    assert "Traceback" not in shown.stderr


def test_what_trains_longer_is_estimated_longer(tmp_path):
    text = SHARED + "[grid]\nmodel.width = [0.25, 1.0]\ntrain.epochs = [1, 50]"
    cells = grid.load(written(tmp_path, text)).cells
    times = [estimate.seconds("train", each.recipe, 640) for each in cells]
    assert times[0] < times[1] and times[0] < times[2] < times[3]
    assert estimate.seconds("prune", cells[0].recipe, 0) > 0
