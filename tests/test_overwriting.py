"""No output is an input: by the same path, another one, a hard link or a symbolic one."""

import hashlib
import os
import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner

from edgecv.cli import main
from edgecv.errors import RecipeError
from edgecv.files import check_cleared, check_outputs
from edgecv.pipeline.run_folder import check_kept, open_run
from edgecv.recipe import Recipe, override
from edgecv.tflite import flatbuffer
from tests import coral_models, foreign_files
from tests.many_runs import leave, report


def linked(path, link):
    other = path.with_name("other.tflite")
    link(path, other)
    return other


def in_linked_folder(path):
    folder = path.parent.with_name("elsewhere")
    folder.symlink_to(path.parent)
    return folder / path.name


WAYS = {
    "itself": lambda path: path,
    "another path": lambda path: path.parent / ".." / path.parent.name / path.name,
    "symbolic link": lambda path: linked(path, os.symlink),
    "hard link": lambda path: linked(path, os.link),
    "folder of the same": in_linked_folder,
}
ways = pytest.mark.parametrize("way", WAYS.values(), ids=[name.replace(" ", "_") for name in WAYS])


def snapshot(folder):
    """Every file below a folder, with what is in it."""
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def folder(tmp_path):
    """A model and photographs of two classes: names are what counts, no command reads them."""
    folder = tmp_path / "work"
    for label in ("a", "b"):
        (folder / "photos" / label).mkdir(parents=True)
        (folder / "photos" / label / "1.png").write_bytes(b"a photograph")
    (folder / "model.tflite").write_bytes(flatbuffer.serialized(foreign_files.classifier()))
    return folder


def refused(folder, *arguments):
    """What a command that must not write anything says."""
    before = snapshot(folder)
    shown = CliRunner().invoke(main, [*map(str, arguments)])
    assert snapshot(folder) == before
    assert (shown.exit_code, shown.output.count("\n")) == (2, 1), shown.output
    return shown.output


@ways
def test_quantize_does_not_write_over_its_model(folder, way):
    model = folder / "model.tflite"
    out = way(model)
    said = refused(folder, "quantize", model, "--calibration", folder / "photos", "-o", out)
    assert said == f"Error: --out: {out}: is a file that is read, {model}; choose another file\n"


@ways
def test_the_model_may_be_named_by_its_link_just_as_well(folder, way):
    model = folder / "model.tflite"
    other = way(model)
    said = refused(folder, "quantize", other, "--calibration", folder / "photos", "-o", model)
    assert f"is a file that is read, {other}" in said


def test_quantize_does_not_write_over_a_photograph(folder):
    photo, arguments = folder / "photos" / "a" / "1.png", ("--calibration", folder / "photos")
    model = folder / "model.tflite"
    said = refused(folder, "quantize", model, *arguments, "-o", photo)
    assert f"is one of the files in {folder / 'photos'}" in said
    os.link(photo, folder / "linked.png")
    refused(folder, "quantize", model, *arguments, "-o", folder / "linked.png")
    said = refused(folder, "quantize", model, *arguments, "-o", folder / "photos")
    assert "is a folder; name a file in it" in said


@pytest.mark.parametrize("flag", ["--labels", "--validation"])
def test_quantize_does_not_write_over_what_its_other_flags_name(folder, flag):
    held = {"--labels": folder / "labels.txt", "--validation": folder / "photos"}[flag]
    (folder / "labels.txt").write_text("a\nb\nc\n")
    more = ("--max-drop", 1) if flag == "--validation" else ()
    (folder / "images").mkdir()
    arguments = ("--calibration", folder / "images", flag, held, *more)
    out = held if held.is_file() else held / "a" / "1.png"
    refused(folder, "quantize", folder / "model.tflite", *arguments, "-o", out)


def test_what_is_written_beside_the_int8_file_is_no_input_either(folder):
    model = folder / "model.tflite"
    (folder / "int8.calibration.json").symlink_to(model)
    arguments = ("--calibration", folder / "photos", "-o", folder / "int8.tflite")
    assert "int8.calibration.json: is a file" in refused(folder, "quantize", model, *arguments)


@ways
def test_profile_does_not_keep_its_samples_in_a_model(folder, way):
    model = folder / "model.tflite"
    assert "is a file that is read" in refused(folder, "profile", model, "-o", way(model))


@ways
def test_coral_compile_does_not_write_over_its_model(folder, way):
    model = folder / "model.tflite"
    model.write_bytes(flatbuffer.serialized(coral_models.classifier()))
    out = way(model)
    said = refused(folder, "coral", "compile", model, "-o", out, "--compiler", "/bin/true")
    assert "is a file that is read" in said
    (folder / "x.log").symlink_to(model)
    refused(folder, "coral", "compile", model, "-o", folder / "x.tflite")


@pytest.fixture
def run(tmp_path):
    """A finished run, as far as export, check and report look before they write."""
    data = flatbuffer.serialized(foreign_files.classifier())
    table = report()
    for entry in table["files"].values():
        entry["sha256"] = hashlib.sha256(data).hexdigest()
    run = leave(tmp_path / "work" / "run", table)
    for entry in table["files"].values():
        (run / entry["path"]).write_bytes(data)
    (run / "labels.txt").write_text("".join(f"{number}\n" for number in range(10)))
    return run


def test_export_does_not_write_into_its_run(run):
    assert "is a file that is read" in refused(run, "export", run, "-o", run)


def test_a_baseline_is_no_file_of_the_run(run):
    for name in ("report.json", "recipe.toml"):
        said = refused(run, "check", run, "--baseline", run / name, "--write")
        assert f"{name}: is a file that is read" in said


def test_a_report_does_not_write_over_a_run(run):
    (run.parent / "page").mkdir()
    (run.parent / "page" / "tradeoff.json").symlink_to(run / "report.json")
    said = refused(run.parent, "report", run, "-o", run.parent / "page")
    assert "tradeoff.json: is a file that is read" in said


def as_run(folder):
    """The folder with a run's recipe in it, so that --force would empty it."""
    (folder / "recipe.toml").write_text(Recipe().to_toml())
    return folder


@pytest.mark.parametrize(
    "arguments",
    [
        ("build", "mobilenet", "--data", "photos"),
        ("build", "mobilenet", "--weights", "model.keras"),
        ("build", "mobilenet", "--weights", "imagenet", "--calibration", "photos"),
        ("prune", "model.keras", "--data", "elsewhere"),
        ("prune", "nowhere.keras", "--data", "photos"),
    ],
)
def test_force_does_not_empty_a_folder_that_holds_what_is_read(folder, monkeypatch, arguments):
    (folder / "model.keras").write_bytes(b"weights")
    as_run(folder)
    monkeypatch.chdir(folder)
    said = refused(folder, *arguments, "-o", ".", "--force")
    assert said.startswith("Error: --force: .: would be emptied with ")
    (folder.parent / "link").symlink_to(folder)
    refused(folder, *arguments, "-o", folder.parent / "link", "--force")


def test_force_does_not_remove_a_recipe_that_somebody_wrote(folder):
    recipe = as_run(folder) / "recipe.toml"
    recipe.write_text("# mine\n" + recipe.read_text())
    said = refused(folder, "build", "--recipe", recipe, "-o", folder, "--force")
    assert f"would be emptied with {recipe}" in said
    check_kept(folder, Recipe(), True)
    recipe.write_text(Recipe().to_toml())
    check_kept(folder, Recipe(), True, recipe)


def test_profile_does_not_keep_its_samples_in_the_file_of_its_device(folder):
    device = folder / "board.toml"
    device.write_text('host = "local"\n')
    model = folder / "model.tflite"
    assert "is a file that is read" in refused(
        folder, "profile", model, "--device", device, "-o", device
    )


def test_the_library_does_not_empty_it_either(folder):
    as_run(folder)
    recipe = override(Recipe(), {}, {"data": {"path": str(folder / "photos")}})
    before = snapshot(folder)
    with pytest.raises(RecipeError, match="would be emptied"), open_run(folder, recipe, True):
        pass
    assert snapshot(folder) == before


def test_a_recipe_that_lay_there_before_survives_a_run_that_fails(tmp_path):
    (tmp_path / "recipe.toml").write_text("# mine\n" + Recipe().to_toml())
    with pytest.raises(ZeroDivisionError), open_run(tmp_path, Recipe(), False):
        raise ZeroDivisionError
    assert (tmp_path / "recipe.toml").read_text().startswith("# mine\n")


def test_files_and_folders_beside_are_free(folder):
    model, photos = folder / "model.tflite", folder / "photos"
    shutil.copy(model, folder / "copy.tflite")
    check_outputs([folder / "new.tflite", folder / "copy.tflite"], [model, photos, Path("nowhere")])
    check_outputs([photos / "new.tflite"], [model, photos])
    check_cleared(folder / "runs", [model, photos])
    (folder / "photos2").mkdir()
    check_cleared(folder / "photos2", [photos, model])
