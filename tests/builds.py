"""Runs of `edgecv build` for tests: as small as they can be, in this process or in their own."""

import json
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
from click.testing import CliRunner

from edgecv.cli import main
from edgecv.data import signs
from tests.shared import make_once

SHORT = ("--epochs", "1", "--images-per-epoch", "64", "--width", "0.25", "--res", "48")
QUICK = """
[model]
width = 0.25
resolution = 48
[train]
epochs = 1
images_per_epoch = 64
[quantize]
method = "minmax"
images = 16
[profile]
runs = 5
"""
FILES = {
    "calibration.json",
    "labels.txt",
    "model.keras",
    "model_float32.batchnorm.json",
    "model_float32.tflite",
    "model_int8.tflite",
    "recipe.toml",
    "report.html",
    "report.json",
    "report.md",
}


def recipe(folder: Path) -> Path:
    """A recipe file with the least of everything; flags go before what it says."""
    path = folder / "quick.toml"
    path.write_text(QUICK)
    return path


def quick(folder: Path, arch: str, *flags: object) -> tuple[object, ...]:
    """The arguments of a build by that recipe."""
    return ("build", arch, "--recipe", recipe(folder), *flags)


def command_line(*arguments: object) -> list[str]:
    return [sys.executable, "-m", "edgecv", *map(str, arguments)]


def edgecv(*arguments: object, **options):
    """A finished process of the command, as a user starts it."""
    return subprocess.run(command_line(*arguments), capture_output=True, text=True, **options)


def start(*arguments: object, **options):
    """A process of the command that goes on; what it says is read from `stderr`."""
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen(command_line(*arguments), **(quiet | options))


def invoke(*arguments: object):
    """The command in this process, where TensorFlow is loaded already: its result and output."""
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def built_mobilenet() -> Path:
    """The folder of a finished run of the smallest MobileNet with all defaults of `build`.

    Beside the run lie `stdout` and `stderr`: what the command printed.
    """
    return make_once("mobilenet", _build_mobilenet) / "run"


def _build_mobilenet(folder: Path) -> None:
    shown = edgecv("build", "mobilenet", *SHORT, "-o", folder / "run", "--json")
    assert shown.returncode == 0, shown.stderr
    (folder / "stdout").write_text(shown.stdout)
    (folder / "stderr").write_text(shown.stderr)


def report(folder: Path):
    return json.loads((folder / "report.json").read_text())


def photographs(folder: Path, count: int, labels=(0, 3)) -> Path:
    """Class folders of renders, as files."""
    rng = np.random.default_rng(0)
    for label in labels:
        (folder / str(label)).mkdir(parents=True)
        for index in range(count):
            image = signs.render(label, 64, rng)
            cv2.imwrite(str(folder / str(label) / f"{index}.png"), image[..., ::-1])
    return folder
