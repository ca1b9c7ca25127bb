"""Accuracies that are poor evidence: uneven classes, few images, chance, one answer for all."""

import json

import numpy as np
import pytest
from click.testing import CliRunner

from edgecv.artifacts import Report
from edgecv.cli import main
from edgecv.cli.build import summary
from edgecv.data.balance import uneven_classes
from edgecv.report import accuracy_lint
from edgecv.report.markdown import markdown
from tests import many_runs, tiny_models
from tests.test_data import opened, photo
from tests.test_folders import built, evaluated


def accuracy(confusion, scheme="int8"):
    """A report's accuracy, of the images that a matrix counts: true classes down."""
    names = [f"class {n}" for n in range(len(confusion))]
    counts = np.array(confusion)
    mistakes = counts - np.diag(np.diag(counts))
    pairs = sorted(zip(*np.nonzero(mistakes), strict=True), key=lambda pair: -mistakes[pair])
    return {
        "data": "photos",
        "images": int(counts.sum()),
        scheme: {"top1": round(float(np.trace(counts) / counts.sum()), 6)},
        "per_class": [
            {
                "label": name,
                "images": int(row.sum()),
                **({scheme: round(float(row[n] / row.sum()), 6)} if row.sum() else {}),
            }
            for n, (name, row) in enumerate(zip(names, counts, strict=True))
        ],
        "confusions": [
            {"label": names[row], "predicted": names[column], "images": int(mistakes[row, column])}
            for row, column in pairs[:25]
        ],
    }


def warned(confusion):
    return accuracy_lint.accuracy_warnings(accuracy(confusion), "do this")


def test_a_good_result_on_enough_images_is_no_matter():
    assert warned([[18, 2, 0], [1, 19, 0], [0, 3, 17]]) == []
    assert warned([[5, 0], [1, 4]]) == []


@pytest.mark.parametrize(
    ("largest", "smallest", "is_uneven"), [(40, 40, False), (40, 10, False), (41, 10, True)]
)
def test_uneven_classes_are_named(largest, smallest, is_uneven):
    found = uneven_classes("photos", {"cat": largest, "dog": smallest, "eel": 20, "fox": 0})
    assert bool(found) == is_uneven
    if found:
        assert "'cat' has 41 images, 'dog' 10" in found[0] and "add images of 'dog'" in found[0]


def test_uneven_folders_are_said_by_build_and_evaluate(tmp_path):
    for name, count in (("cat", 50), ("dog", 8)):
        for number in range(count):
            photo(tmp_path / name / f"{number}.jpg")
    for warnings in (built(tmp_path)[1], evaluated(tmp_path)[1]):
        assert "'cat' has 50 images, 'dog' 8" in warnings[-1]


def test_classes_with_few_images_are_counted():
    (warning,) = warned([[9, 0, 0], [0, 4, 0], [0, 0, 2]])
    assert "fewer than 5 images of 'class 1' 4, 'class 2' 2 are evaluated on" in warning
    (warning,) = warned(np.diag([9, 4, 4, 4, 4, 4, 4]).tolist())
    assert "'class 3' 4 and 3 more" in warning
    assert warned([[9, 0, 0], [0, 9, 0], [0, 0, 0]]) == [], "a class without images is none of few"


@pytest.mark.parametrize(
    ("confusion", "words"),
    [
        (
            [[6, 7, 7], [7, 6, 7], [6, 6, 8]],
            "within 2 standard errors of chance (33.3 %): guessing may do as well; do this",
        ),
        ([[13, 7], [8, 12]], "(int8 62.5 ± 7.7 %) is within 2 standard errors of chance (50.0 %)"),
        ([[0, 20], [20, 0]], "far below chance (50.0 %): the labels may be in another order"),
        ([[90, 5], [9, 1]], "of chance"),  # top-1 of 87 %, of which nine tenths are one
    ],
)
def test_a_result_near_chance_or_below_it_is_said(confusion, words):
    (warning,) = warned(confusion)
    assert words in warning


def test_a_result_two_standard_errors_from_chance_is_one():
    assert warned([[17, 3], [4, 16]]) == []
    assert warned([[95, 5], [2, 8]]) == [], "uneven, but better than its largest class"


def test_one_answer_for_every_image_is_named():
    chance, always = warned([[20, 0, 0], [20, 0, 0], [20, 0, 0]])
    assert "of chance (33.3 %)" in chance
    assert "int8 names 'class 0' for every image; do this" in always
    assert not any("every image" in each for each in warned([[20, 0, 0], [19, 1, 0], [20, 0, 0]]))
    many = np.zeros((60, 60), int)
    many[:, 7] = 6
    assert any("names 'class 7' for every image" in each for each in warned(many.tolist()))


def test_the_mean_over_classes_is_that_of_those_with_images():
    found = accuracy([[90, 0, 0], [5, 5, 0], [0, 0, 0]])
    assert accuracy_lint.mean_over_classes(found) == {"int8": 0.75}
    assert found["int8"]["top1"] == 0.95
    assert (
        accuracy_lint.mean_over_classes({"data": "x", "int8": {"top1": 1.0}, "per_class": []}) == {}
    )


def report(confusion, weights="", path="photos", epochs=None, folder=None):
    """A report of such an accuracy, and its run's folder."""
    table = many_runs.report()
    found = accuracy(confusion)
    found = {"float32": found["int8"], **found, "agreement": 1.0}
    for row in found["per_class"]:
        row["float32"] = row["int8"]
    means = {"mean_over_classes": accuracy_lint.mean_over_classes(found)}
    made = Report(**{**table, "accuracy": {**found, **means}})
    folder.mkdir()
    lines = [f'[model]\narch = "mobilenet_v1"\nwidth = 0.25\nweights = "{weights}"']
    lines += [f'[data]\npath = "{path}"', *([f"[train]\nepochs = {epochs}"] if epochs else [])]
    (folder / "recipe.toml").write_text("\n".join(lines) + "\n")
    return made, folder


CHANCE = [[10, 10], [10, 10]]


@pytest.mark.parametrize(
    ("options", "command"),
    [
        ({}, "--weights imagenet -o {0}_imagenet"),
        ({"weights": "imagenet", "epochs": 2}, "--epochs 6 -o {0}_longer"),
        ({"path": "", "epochs": 5}, "--epochs 15 -o {0}_longer"),
        ({"path": ""}, "--epochs 100 -o {0}_longer"),
    ],
)
def test_the_next_command_after_a_poor_build_is_a_better_build(tmp_path, options, command):
    found, folder = report(CHANCE, folder=tmp_path / "run", **options)
    last = summary(found, folder).splitlines()[-1]
    recipe = f"Next: edgecv build --recipe {folder / 'recipe.toml'} "
    assert last == recipe + command.format(folder)


def test_the_mean_stands_beside_top1_in_summary_and_report(tmp_path):
    found, folder = report([[90, 0], [5, 5]], folder=tmp_path / "run")
    shown = summary(found, folder)
    assert "mean           75.0%       75.0%   top-1 over classes" in shown
    assert shown.splitlines()[-1].startswith("Next: edgecv profile ")
    text = markdown(found, "run")
    assert "mean over classes" in text and "75.0 %" in text


def test_evaluate_warns_of_a_model_that_always_says_the_same(tmp_path):
    model = tiny_models.undecided(tmp_path, classes=3)
    for name in ("a", "b", "c"):
        for number in range(6):
            photo(tmp_path / "photos" / name / f"{number}.png")
    command = ["evaluate", str(model.path), "--data", str(tmp_path / "photos")]
    shown = CliRunner().invoke(main, [*command, "--json"])
    assert shown.exit_code == 0, shown.stderr
    found = json.loads(shown.stdout)
    assert found["mean_over_classes"] == {"model": pytest.approx(1 / 3, abs=1e-6)}
    assert any("names 'a' for every image" in each for each in found["warnings"])
    assert "mean over classes 33.3%" in CliRunner().invoke(main, command).stdout


def test_images_are_told_apart_by_their_content_and_classes(tmp_path):
    from edgecv.data.identity import images_sha256

    first = images_sha256(["cat", "dog"], ["1", "2"])
    assert first == images_sha256(["dog", "cat"], ["2", "1", "1"])
    assert (
        len({first, images_sha256(["cat"], ["1", "2"]), images_sha256(["cat", "dog"], ["1"])}) == 3
    )
    for name in ("cat", "dog"):
        for number in range(10):
            photo(tmp_path / name / f"{number}.jpg")
    assert len(opened(tmp_path).held_out) == 4
