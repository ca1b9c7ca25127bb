"""A Keras file and a mistake beside it: the mistake is said first, before TensorFlow is there."""

import subprocess
import sys
import warnings

import cv2
import numpy as np
import pytest
from click.testing import CliRunner

from edgecv.cli import main
from tests.keras_files import saved


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A Keras file that scales pixels itself, images of two classes, and what is none of that."""
    root = tmp_path_factory.mktemp("order")
    with warnings.catch_warnings(action="ignore"):
        saved(root, "flowers", 2)
    for label in ("a", "b"):
        (root / "photos" / label).mkdir(parents=True)
        cv2.imwrite(str(root / "photos" / label / "1.png"), np.full((8, 8, 3), 9, np.uint8))
    (root / "empty").mkdir()
    (root / "other.tflite").write_bytes(b"none of it")
    (root / "bad.txt").write_text("a\n\nb\n")
    (root / "runs" / "kept").mkdir(parents=True)
    (root / "runs" / "kept" / "letter.txt").write_text("dear")
    return root


MODEL = "flowers.keras"
QUANTIZE = f"quantize {MODEL} --calibration photos -o int8.tflite"
MISTAKES = {  # words of the command, and of the line that it ends in
    f"quantize {MODEL} --calibration gone -o int8.tflite": "gone: no such folder",
    f"quantize {MODEL} --calibration bn -o int8.tflite": "--calibration bn: needs a .tflite",
    f"quantize {MODEL} --calibration photos -o {MODEL}": "is a file that is read",
    f"{QUANTIZE} --labels bad.txt": "bad.txt: line 2 is empty",
    f"{QUANTIZE} --max-drop 1 --validation gone": "gone: no such folder",
    f"{QUANTIZE} --target coral --output-type float32": "--target: coral takes",
    f"{QUANTIZE} --mean 0 --std 255": "leave --mean and --std out",
    f"evaluate {MODEL} --data gone": "gone: no such folder",
    f"evaluate {MODEL} --data empty": "empty: no class folders",
    f"evaluate {MODEL} --data photos --labels gone.txt": "gone.txt: not a readable file of labels",
    f"evaluate {MODEL} --data photos --against gone.tflite": "gone.tflite: cannot be read",
    f"evaluate {MODEL} --data photos --against other.tflite": "other.tflite: not a TFLite file",
    f"evaluate other.tflite --data photos --against {MODEL}": "other.tflite: not a TFLite file",
    f"evaluate {MODEL} --data photos --device nowhere": "nowhere",
    f"evaluate {MODEL} --data photos --mean 0 --std 255": "leave --mean and --std out",
    f"convert {MODEL} -o {MODEL}": "is a file that is read",
    f"convert {MODEL} -o bad.txt --labels bad.txt": "is a file that is read",
    f"convert {MODEL} -o float.tflite --labels gone.txt": "gone.txt: not a readable file of labels",
    f"convert {MODEL} -o float.tflite --std 255": "leave --mean and --std out",
    f"prune {MODEL} --data gone --prune 2:4": "gone: no such folder",
    f"prune {MODEL} --data photos": "needs an architecture of edgecv",
    f"prune {MODEL} --data photos --prune 2:4 --macs 0.5": "only with --prune channels",
    f"prune {MODEL} --data photos --prune 2:4 -o runs/kept": "runs/kept",
    f"demo {MODEL}": f"edgecv convert {MODEL}",
    f"demo {MODEL} --labels gone.txt": "gone.txt: not a readable file of labels",
    f"profile {MODEL}": f"edgecv convert {MODEL}",
    f"export {MODEL}": f"edgecv convert {MODEL}",
    f"inspect {MODEL}": f"edgecv convert {MODEL}",
    f"coral inspect {MODEL}": f"edgecv convert {MODEL}",
}


@pytest.fixture(scope="module")
def answers(folder):
    """By command: its exit code, whether TensorFlow was imported, what it said."""
    code = (
        "import sys; from click.testing import CliRunner; from edgecv.cli import main\n"
        f"for words in {[*MISTAKES]!r}:\n"
        "    shown = CliRunner().invoke(main, words.split())\n"
        "    said = ' | '.join(shown.stderr.strip().splitlines())\n"
        "    print(shown.exit_code, 'tensorflow' in sys.modules, said, sep='\\t')\n"
    )
    command = [sys.executable, "-c", code]
    shown = subprocess.run(command, capture_output=True, text=True, check=True, cwd=folder)
    rows = [line.split("\t") for line in shown.stdout.splitlines()]
    return dict(zip(MISTAKES, rows, strict=True))


@pytest.mark.parametrize("command", MISTAKES)
def test_a_mistake_beside_a_keras_file_is_said_before_tensorflow_is_imported(answers, command):
    exit_code, imported, said = answers[command]
    assert exit_code in "12", said
    assert imported == "False", said
    assert said.startswith("Error: ")
    assert " | " not in said  # one line
    assert MISTAKES[command] in said


def test_a_saved_model_is_named_as_such_where_a_tflite_is_needed(folder):
    model = folder / "saved model"
    model.mkdir()
    (model / "saved_model.pb").write_bytes(b"\n")
    for command in ("inspect", "profile", "demo", "export"):
        shown = CliRunner().invoke(main, [command, str(model)])
        assert shown.exit_code == 1, shown.output
        assert "SavedModel" in shown.stderr
        assert "edgecv convert '" in shown.stderr
