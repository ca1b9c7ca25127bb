"""Stages found again by what went into them, whoever else works on the same folder."""

import dataclasses
import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from edgecv.pipeline import keys
from edgecv.pipeline.cache import StageCache
from edgecv.recipe import ProfileOptions, PruneOptions, QuantizeOptions, Recipe

WORKER = """
import sys
from pathlib import Path
from edgecv.pipeline import cache as stagecache

def pause(moment):
    print(moment, flush=True)
    if moment == sys.argv[4]:
        sys.stdin.read()

copyfile = stagecache.shutil.copyfile
stagecache.shutil.copyfile = lambda *paths: (pause("keeping"), copyfile(*paths))
cache = stagecache.StageCache(Path(sys.argv[1]))
out, log = Path(sys.argv[2]), Path(sys.argv[3])
key = cache.key("train", {"seed": 1})
pause("starting")
with cache.lock(key):
    pause("locked")
    if cache.fetch(key, [out]) is None:
        with log.open("a") as lines:
            lines.write("made\\n")
        pause("making")
        out.write_bytes(b"weights" * 100_000)
        cache.keep(key, [out], 0.3)
    pause("kept")
"""


def worker(cache, out, log, stop_at="nowhere"):
    """A process that makes the stage's file, or finds it; it waits for its input at a moment."""
    command = [sys.executable, "-c", WORKER, cache.folder, out, log, stop_at]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def reach(process, moment):
    """Read what a worker says until it says this."""
    while (line := process.stdout.readline().strip()) != moment:
        assert line, f"ended before {moment}"


@pytest.fixture
def cache(tmp_path):
    return StageCache(tmp_path / "cache")


def written(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def test_what_was_kept_is_found_again(cache, tmp_path):
    key = cache.key("train", {"width": 0.5})
    assert cache.fetch(key, [tmp_path / "a.keras"]) is None
    files = [written(tmp_path / "one" / "a.json", "{}"), written(tmp_path / "one" / "b.keras", "b")]
    cache.keep(key, files, 12.5)
    again = [tmp_path / "two" / "a.json", tmp_path / "two" / "b.keras"]
    assert cache.fetch(key, again).seconds == 12.5
    assert [each.read_text() for each in again] == ["{}", "b"]
    assert cache.fetch(cache.key("train", {"width": 0.75}), again) is None


def test_a_file_that_a_stage_did_not_make_is_not_made_up(cache, tmp_path):
    there = written(tmp_path / "b.tflite", "b")
    cache.keep("convert-1", [tmp_path / "never.json", there], 1.0)
    places = [tmp_path / "two" / "never.json", tmp_path / "two" / "b.tflite"]
    assert cache.fetch("convert-1", places)
    assert not places[0].exists() and places[1].read_text() == "b"


@pytest.mark.parametrize(
    "damage",
    [
        lambda entry: (entry / "0.keras").write_text("otherwise"),
        lambda entry: (entry / "0.keras").unlink(),
        lambda entry: (entry / "manifest.json").write_text("{"),
        lambda entry: (entry / "manifest.json").write_text('{"files": [], "seconds": 1}'),
        lambda entry: (entry / "manifest.json").write_text('{"files": {}, "seconds": 1}'),
    ],
)
def test_a_damaged_entry_is_none_and_is_made_anew(cache, tmp_path, damage):
    file = written(tmp_path / "a.keras", "weights")
    cache.keep("train-1", [file], 1.0)
    damage(cache.folder / "train-1")
    target = tmp_path / "two.keras"
    assert cache.fetch("train-1", [target]) is None
    assert not target.exists()
    cache.keep("train-1", [file], 1.0)
    assert cache.fetch("train-1", [target])
    assert target.read_text() == "weights"


def test_of_many_processes_one_works_and_all_have_it(cache, tmp_path):
    log = tmp_path / "log"
    outs = [tmp_path / f"out{number}.keras" for number in range(5)]
    first = worker(cache, outs[0], log, stop_at="making")
    reach(first, "making")
    others = [worker(cache, out, log) for out in outs[1:]]
    for process in others:
        reach(process, "starting")
    processes = [first, *others]
    for process in processes:
        process.communicate()
    assert [process.returncode for process in processes] == [0] * 5
    assert log.read_text() == "made\n"
    assert {each.read_bytes() for each in outs} == {b"weights" * 100_000}
    assert not list(cache.folder.glob(".new-*"))


@pytest.mark.parametrize("moment", ["locked", "making", "keeping", "kept"])
def test_a_process_that_is_killed_leaves_nothing_half_there(cache, tmp_path, moment):
    log, out = tmp_path / "log", tmp_path / "out.keras"
    killed = worker(cache, out, log, stop_at=moment)
    reach(killed, moment)
    assert len(list(cache.folder.glob(".new-*"))) == (moment == "keeping")
    killed.kill()
    killed.communicate()
    entries = list(cache.folder.glob("train-*"))
    assert len(entries) == (moment == "kept")
    assert all((entry / "manifest.json").exists() for entry in entries)
    out.unlink(missing_ok=True)
    following = worker(cache, out, log)
    following.communicate()
    assert following.returncode == 0
    assert out.read_bytes() == b"weights" * 100_000
    assert not list(cache.folder.glob(".new-*"))


RECIPE = Recipe()
CHANGES = {
    "seed": (dataclasses.replace(RECIPE, seed=1), {"train", "prune", "quantize", "convert", "qat"}),
    "model.width": ({"model": {"width": 0.5}}, {"train", "prune", "quantize", "convert", "qat"}),
    "train.epochs": ({"train": {"epochs": 3}}, {"train", "prune", "qat"}),
    "train.qat": ({"train": {"qat": True}}, set()),
    "train.qat_epochs": ({"train": {"qat_epochs": 3}}, {"qat"}),
    "prune.sparsity": ({"prune": {"sparsity": 0.5}}, {"prune", "qat"}),
    "quantize.method": ({"quantize": {"method": "mse"}}, {"quantize"}),
    "data.sha256": ({"data": {"sha256": "0"}}, {"train", "prune", "quantize", "qat"}),
    "data.path": ({"data": {"path": "elsewhere"}}, set()),
    "data.crop": ({"data": {"crop": 0.5}}, {"train", "prune", "quantize", "convert", "qat"}),
    "quantize.images": ({"quantize": {"images": 8}}, {"quantize"}),
    "quantize.input": ({"quantize": {"input": "int8"}}, {"quantize"}),
    "quantize.output": ({"quantize": {"output": "int8"}}, {"quantize"}),
    "quantize.target": ({"quantize": {"target": "coral"}}, {"quantize"}),
    "profile.runs": ({"profile": {"runs": 3}}, set()),
}


@pytest.mark.parametrize("name", CHANGES)
def test_a_stage_is_made_anew_exactly_when_it_would_come_out_otherwise(name):
    changed, wanted = CHANGES[name]
    if isinstance(changed, dict):
        parts = {
            section: dataclasses.replace(getattr(RECIPE, section), **keys)
            for section, keys in changed.items()
        }
        changed = dataclasses.replace(RECIPE, **parts)
    different = {
        stage
        for stage in keys.STAGES
        if keys.inputs(stage, RECIPE, ("a",)) != keys.inputs(stage, changed, ("a",))
    }
    assert different == wanted


def test_a_budget_in_milliseconds_depends_on_how_and_where_it_is_measured(tmp_path):
    def key(device, runs):
        prune = PruneOptions("channels", latency_ms=5, device=str(device))
        return keys.inputs("prune", Recipe(prune=prune, profile=ProfileOptions(runs)), ("a",))

    device = written(tmp_path / "board.toml", 'host = "pi@pi"\n')
    before = key(device, 50)
    assert key(device, 60) != before
    device.write_text('host = "pi@pi"\nthreads = 2\n')
    assert key(device, 50) != before


def test_calibration_images_count_by_what_they_are(tmp_path):
    options = QuantizeOptions(calibration=str(tmp_path))
    image = written(tmp_path / "a.png", "1")
    before = keys.inputs("quantize", Recipe(quantize=options), ("a",))
    image.write_text("2")
    assert keys.inputs("quantize", Recipe(quantize=options), ("a",)) != before


@pytest.fixture(scope="module")
def package(tmp_path_factory):
    """A copy of edgecv's sources, whose files may be changed."""
    copy = tmp_path_factory.mktemp("sources") / "edgecv"
    return shutil.copytree(keys.PACKAGE, copy, ignore=shutil.ignore_patterns("__pycache__"))


@pytest.mark.parametrize("stage", keys.STAGES)
def test_every_file_of_edgecv_that_a_stage_loads_counts(stage, package):
    """What Python itself imports for a stage's module is the measure."""
    code = (
        f"import edgecv.pipeline.{keys.STAGES[stage]}, sys;"
        "print(*(m.__file__ for m in sys.modules.values() if m.__name__.startswith('edgecv.')))"
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = {Path(file).relative_to(keys.PACKAGE) for file in shown.stdout.split()}
    counted = {file.relative_to(package) for file in keys.source_files(stage, package)}
    plain = {Path(keys.HERE) / "__init__.py"}  # which holds no code
    assert loaded - plain <= counted


@pytest.mark.parametrize(
    ("file", "stages"),
    [
        ("train/fit.py", {"train", "prune", "qat"}),
        ("models/mobilenet_v1.py", set(keys.STAGES)),  # imported by its name alone
        ("convert/keras.py", {"convert", "prune"}),
        ("quantize/select.py", {"quantize", "prune"}),
        ("pipeline/quantize.py", {"quantize"}),
        ("pipeline/prune.py", {"prune"}),
        ("recipe.py", set(keys.STAGES)),
        ("report/page.py", set()),
        ("cli/build.py", set()),
        ("demo/server.py", set()),
    ],
)
def test_a_changed_file_is_another_key_of_the_stages_that_run_it(file, stages, package):
    def codes():
        keys.code.cache_clear()
        return {stage: keys.code(stage, package) for stage in keys.STAGES}

    before, text = codes(), (package / file).read_text()
    (package / file).write_text(text + "# changed\n")
    after = codes()
    (package / file).write_text(text)
    assert {stage for stage in before if before[stage] != after[stage]} == stages


def test_weights_count_by_what_they_are_not_where_they_lie():
    def known(path, sha256):
        model = dataclasses.replace(RECIPE.model, weights=path, sha256=sha256)
        return keys.inputs("train", dataclasses.replace(RECIPE, model=model), ("a",))

    assert known("/a/model.keras", "1") == known("/b/model.keras", "1")
    assert known("/a/model.keras", "1") != known("/a/model.keras", "2")
    assert known("imagenet", "") != known("random", "")


def test_sources_and_labels_count(tmp_path):
    source = written(tmp_path / "model.keras", "1")
    before = keys.inputs("convert", RECIPE, ("a",), [source])
    assert keys.inputs("convert", RECIPE, ("b",), [source]) != before
    source.write_text("2")
    assert keys.inputs("convert", RECIPE, ("a",), [source]) != before
    assert json.dumps(before)  # as a key is made of it
