"""Every family, from the command line to an int8 file; three of them trained for int8, too."""

import json

import numpy as np
import pytest

from edgecv.tflite import runtime
from tests.builds import invoke, quick

SHAPE = ("--images-per-epoch", "320", "--width", "0.35", "--res", "64")
QAT = ("mobilenet", "mobilenet_v3_small", "efficientnet")
PLAIN = ("mobilenet_v2", "mobilenet_v3_large", "squeezenet", "efficientnet_lite0")


def build(arch, folder, *flags):
    """The report of a small build, and the scores of its int8 file for one image."""
    depth = ("--depth", "0.5") if arch.startswith("efficientnet") else ()  # a block less of a kind
    shown = invoke(*quick(folder, arch, *SHAPE, *depth, *flags, "-o", folder / "run", "--json"))
    assert shown.exit_code == 0, shown.stderr
    interpreter = runtime.load(folder / "run" / "model_int8.tflite")
    assert interpreter.get_input_details()[0]["dtype"] == np.uint8
    image = np.random.default_rng(0).integers(0, 256, (1, 64, 64, 3)).astype(np.uint8)
    assert runtime.run(interpreter, image).sum() == pytest.approx(1, abs=0.05)
    table = json.loads(shown.stdout)
    assert table["quantization"]["full_int8"] is True
    return table


@pytest.mark.slow
@pytest.mark.parametrize("arch", PLAIN)
def test_a_family_builds(arch, tmp_path):
    assert build(arch, tmp_path)["accuracy"]["agreement"] > 0.2


@pytest.mark.slow
@pytest.mark.parametrize("arch", QAT)
def test_a_family_builds_with_the_int8_model_trained_and_the_one_not(arch, tmp_path):
    table = build(arch, tmp_path, "--qat", "--qat-epochs", "1")
    assert list(table["files"]) == ["float32", "int8_ptq", "int8"]
    assert table["files"]["int8"]["sha256"] != table["files"]["int8_ptq"]["sha256"]
    assert "quanti" in table["quantization"]["method"]
    assert "aware" in table["quantization"]["method"]
    assert "qat" in table["seconds"]
    accuracy = table["accuracy"]
    assert {"top1", "top5", "agreement"} == accuracy["int8_ptq"].keys()
    assert {"top1", "top5"} == accuracy["int8"].keys()
    assert accuracy["int8_ptq"]["agreement"] > 0.2
    assert all({"float32", "int8_ptq", "int8"} <= row.keys() for row in accuracy["per_class"])
    for page in ("report.md", "report.html"):
        text = (tmp_path / "run" / page).read_text()
        assert "int8_ptq against float32" in text
        assert "int8 against float32" in text
