"""A run's folder: never mixed with another run's files, never half-written."""

import dataclasses
import errno
import json
import subprocess
import sys

import pytest

from edgecv.errors import RunFolderError
from edgecv.files import write_atomically, write_text
from edgecv.pipeline.run_folder import open_run
from edgecv.recipe import Recipe

RECIPE = Recipe()
OTHER = dataclasses.replace(RECIPE, seed=1)


def finish(run):
    write_text(run.path / "model.tflite", "")
    files = {"float32": {"path": "model.tflite"}}
    write_text(run.path / "report.json", json.dumps({"files": files}))


def test_a_finished_run_keeps_no_state_and_is_known_as_finished(tmp_path):
    with open_run(tmp_path / "run", RECIPE, force=False) as run, run.time_stage("train"):
        assert not run.finished
        finish(run)
    assert not (tmp_path / "run" / ".state").exists()
    with open_run(tmp_path / "run", RECIPE, force=False) as run:
        assert run.finished


def test_a_run_whose_files_are_gone_is_not_finished(tmp_path):
    with open_run(tmp_path / "run", RECIPE, force=False) as run:
        finish(run)
    (run.path / "model.tflite").unlink()
    with open_run(tmp_path / "run", RECIPE, force=False) as run:
        assert not run.finished


def test_a_run_that_made_nothing_leaves_nothing(tmp_path):
    with pytest.raises(ZeroDivisionError), open_run(tmp_path / "run", RECIPE, force=False):
        raise ZeroDivisionError
    assert not (tmp_path / "run").exists()


def test_an_unfinished_run_is_resumed_with_its_seconds(tmp_path):
    with open_run(tmp_path / "run", RECIPE, force=False) as run, run.time_stage("train"):
        (run.state / "training.npz").touch()
    (tmp_path / "run" / ".state" / "seconds.json").write_text(json.dumps({"train": 100.0}))
    with open_run(tmp_path / "run", RECIPE, force=False) as run, run.time_stage("train"):
        pass
    assert run.seconds["train"] >= 100.0


def test_another_recipe_is_refused_unless_forced(tmp_path):
    with open_run(tmp_path / "run", RECIPE, force=False) as run:
        finish(run)
    with pytest.raises(RunFolderError, match="another recipe"), open_run(run.path, OTHER, False):
        pass
    with open_run(run.path, OTHER, force=True) as run:
        assert not run.finished


@pytest.mark.parametrize("force", [False, True])
def test_a_folder_of_something_else_is_never_touched(tmp_path, force):
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(RunFolderError, match="holds no run"), open_run(tmp_path, RECIPE, force):
        pass
    assert (tmp_path / "thesis.txt").read_text() == "years of work"


def test_a_file_is_no_folder(tmp_path):
    (tmp_path / "run").write_text("")
    with (
        pytest.raises(RunFolderError, match="is a file"),
        open_run(tmp_path / "run", RECIPE, False),
    ):
        pass


def test_two_builds_in_one_folder_are_refused(tmp_path):
    with open_run(tmp_path / "run", RECIPE, force=False) as run:
        code = (
            "import sys; from pathlib import Path; from edgecv.recipe import Recipe;"
            "from edgecv.pipeline.run_folder import open_run\n"
            "with open_run(Path(sys.argv[1]), Recipe(), False): pass"
        )
        other = subprocess.run(
            [sys.executable, "-c", code, str(run.path)], capture_output=True, text=True
        )
    assert "another edgecv is building here" in other.stderr


def test_a_write_that_fails_leaves_the_old_file_and_nothing_else(tmp_path):
    path = write_text(tmp_path / "report.json", "old")
    with pytest.raises(RunFolderError, match="No space left"), write_atomically(path) as partial:
        partial.write_text("half")
        raise OSError(errno.ENOSPC, "No space left on device")
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]
