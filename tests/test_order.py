"""The order of checks: what is wrong with paths and flags is said before TensorFlow is imported."""

import json
import subprocess
import sys

import pytest

from edgecv.tflite import flatbuffer
from tests import foreign_files

HEAVY = ("tensorflow", "tf_keras")
GONE = "{folder}/gone"
COMMANDS = {
    "build data": ["build", "mobilenet", "--data", GONE],
    "build weights": ["build", "mobilenet", "--weights", f"{GONE}.keras", "--data", "{photos}"],
    "build weights of another kind": ["build", "mobilenet", "--weights", "{model}"],
    "build calibration": ["build", "mobilenet", "--calibration", GONE],
    "build width": ["build", "mobilenet", "--width", "0"],
    "build minutes": ["build", "mobilenet", "--minutes", "0"],
    "build class": ["build", "mobilenet", "--data", "{photos}"],
    "prune model": ["prune", f"{GONE}.keras", "--data", "{photos}"],
    "prune data": ["prune", "{folder}/empty.keras", "--data", GONE],
    "quantize model": ["quantize", GONE, "--calibration", "{photos}", "-o", "{out}"],
    "quantize text": ["quantize", "{text}", "--calibration", "{photos}", "-o", "{out}"],
    "quantize calibration": ["quantize", "{model}", "--calibration", GONE, "-o", "{out}"],
    "quantize labels": [
        *("quantize", "{model}", "--calibration", "{photos}", "-o", "{out}", "--labels", GONE)
    ],
    "quantize validation": [
        *("quantize", "{model}", "--calibration", "{photos}", "-o", "{out}"),
        *("--validation", GONE, "--max-drop", "1"),
    ],
    "quantize scale": ["quantize", "{model}", "--calibration", GONE, "-o", "{out}", "--std", "0"],
    "evaluate model": ["evaluate", GONE, "--data", "{photos}"],
    "evaluate data": ["evaluate", "{model}", "--data", GONE],
    "evaluate against": ["evaluate", "{model}", "--against", GONE, "--data", "{photos}"],
    "evaluate device": ["evaluate", "{model}", "--data", "{photos}", "--device", "gone"],
    "profile model": ["profile", GONE],
    "demo model": ["demo", GONE, "--headless"],
    "inspect model": ["inspect", GONE],
    "coral plan model": ["coral", "plan", GONE],
    "coral inspect model": ["coral", "inspect", GONE],
    "export run": ["export", GONE],
    "report run": ["report", GONE],
    "choose run": ["choose", GONE],
    "check run": ["check", GONE, "--baseline", GONE],
    "sweep recipe": ["sweep", GONE],
    "sweep data": ["sweep", "{grid}"],
    "search recipe": ["search", GONE, "--device", "rpi4"],
    "search data": ["search", "{grid}", "--device", "rpi4"],
    "plan arch": ["plan", "gone"],
    "plan device": ["plan", "mobilenet", "--device", "gone"],
}
RUN_ALL = """
import json, sys
from click.testing import CliRunner
from edgecv.cli import main
told = {}
for name, words in json.load(sys.stdin).items():
    shown = CliRunner().invoke(main, words)
    last, kind = shown.stderr.strip().splitlines()[-1:], shown.exc_info[0].__name__
    heavy = [each for each in HEAVY if each in sys.modules]
    told[name] = [shown.exit_code, last, kind, heavy]
print(json.dumps(told))
"""


@pytest.fixture(scope="module")
def told(tmp_path_factory):
    """What each command said in one process that never needed TensorFlow."""
    folder = tmp_path_factory.mktemp("order")
    photos = folder / "photos"
    for name in ("cat", "dog"):
        (photos / name).mkdir(parents=True)
    model = folder / "model.tflite"
    model.write_bytes(flatbuffer.serialized(foreign_files.classifier()))
    (folder / "text.tflite").write_text("eggs, milk")
    (folder / "empty.keras").write_bytes(b"")
    (folder / "grid.toml").write_text(
        f'[data]\npath = "{folder}/gone"\n[grid]\nmodel.width = [0.5, 0.75]\n'
    )
    places = {
        **{"folder": folder, "photos": photos, "model": model, "text": folder / "text.tflite"},
        **{"out": folder / "out.tflite", "grid": folder / "grid.toml"},
    }
    words = {name: [word.format(**places) for word in each] for name, each in COMMANDS.items()}
    shown = subprocess.run(
        [sys.executable, "-c", f"HEAVY = {HEAVY}\n{RUN_ALL}"],
        input=json.dumps(words),
        capture_output=True,
        text=True,
        cwd=folder,
    )
    assert shown.returncode == 0, shown.stderr
    return json.loads(shown.stdout.splitlines()[-1])


@pytest.mark.parametrize("name", COMMANDS)
def test_a_wrong_path_or_flag_is_said_before_tensorflow_is_imported(told, name):
    code, last, error, heavy = told[name]
    assert heavy == [], "TensorFlow was imported"
    assert code in (1, 2), last
    assert error == "SystemExit"
    assert last and last[0].startswith("Error: ")
