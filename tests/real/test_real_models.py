"""Real ImageNet weights on real photographs, which the repository does not hold.

They are looked for in EDGECV_REAL, or in `../shared/real` beside the repository.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from edgecv.artifacts import TFLiteModel
from edgecv.quantize.engine import post_training
from edgecv.quantize.int8 import full_int8
from edgecv.tflite import flatbuffer, lowering, operators, runtime

REPOSITORY = Path(__file__).parents[2]
REAL = Path(os.environ.get("EDGECV_REAL", REPOSITORY.parent / "shared" / "real"))
pytestmark = pytest.mark.skipif(
    not (REAL / "float").is_dir(), reason=f"no real models in {REAL}; set EDGECV_REAL"
)
SCORES = Path(__file__).parents[1] / "score_images.py"
LEAST = {  # agreement with the float model, some two standard errors below what was measured
    "mobilenet_v1_0.25_128": 0.89,
    "mobilenet_v1_0.5_160": 0.92,
    "mobilenet_v2_1.0_224": 0.95,
    "mobilenet_v3_small_1.0_224": 0.87,
    "squeezenet_v1_1_224": 0.93,
}


def photographs(names, size):
    """The central 87.5 % of each photograph, as score.py takes it; uint8 RGB."""
    found = []
    for name in names:
        pixels = Image.open(REAL / "imagenet" / name).convert("RGB")
        dx, dy = (round(side * 0.0625) for side in pixels.size)
        cropped = pixels.crop((dx, dy, pixels.width - dx, pixels.height - dy))
        found.append(np.asarray(cropped.resize((size, size), Image.BILINEAR)))
    return np.stack(found)


def lowered(name, folder):
    """The real float model with its hard-swishes lowered."""
    flat = flatbuffer.read(REAL / "float" / f"{name}.tflite")
    lowering.lower_hard_swish(flat)
    return TFLiteModel(flatbuffer.write(flat, folder / "float.tflite"), "float32")


def test_lowering_leaves_a_trained_mobilenet_v3_as_it_was(tmp_path):
    name = "mobilenet_v3_small_1.0_224"
    model = lowered(name, tmp_path)
    images = photographs((REAL / "evaluation.txt").read_text().split()[:20], 224)
    before = runtime.run(runtime.load(REAL / "float" / f"{name}.tflite"), images)
    after = runtime.run(runtime.load(model.path), images)
    assert np.abs(after - before).max() < 1e-4 * np.abs(before).max()
    assert "HARD_SWISH" not in operators.counts(flatbuffer.read(model.path))


@pytest.mark.slow
@pytest.mark.parametrize("name", LEAST)
def test_int8_agrees_with_float_and_runs_on_xnnpack(name, tmp_path):
    size = int(name.split("_")[-1])
    images = photographs((REAL / "calibration.txt").read_text().split(), size)
    model = TFLiteModel(REAL / "float" / f"{name}.tflite", "float32")
    int8 = post_training(model, list(images), tmp_path / "int8.tflite").file
    assert full_int8(int8.path)
    found = scored(name, int8.path)
    assert found["int8_runs_on_xnnpack"]
    assert found["agreement"] >= LEAST[name]
    new, old = top1_on_both(int8.path, size, tmp_path)
    assert abs(new - old) < 0.03


def top1_on_both(int8, size, folder):
    """Share of the first 200 photographs named rightly, on LiteRT and on tflite-runtime."""
    names = (REAL / "evaluation.txt").read_text().split()[:200]
    np.save(folder / "images.npy", photographs(names, size))
    found = []
    for name in ("litert", "tflite"):
        out = folder / f"{name}.npy"
        command = [sys.executable, SCORES, name, folder / "images.npy", int8, out]
        subprocess.run(command, check=True)
        scores = np.load(out)
        classes = [int(each.split("_")[0]) + scores.shape[1] - 1000 for each in names]
        found.append(float((scores.argmax(1) == classes).mean()))
    return found


def scored(name, int8):
    """What score.py says of an int8 file on the 400 photographs that LEAST was measured on."""
    command = [sys.executable, REAL / "score.py"]
    done = subprocess.run(
        [*command, REAL / "float" / f"{name}.tflite", int8, "--list", REAL / "evaluation.txt"],
        capture_output=True,
        text=True,
        check=True,
    )
    return json.loads(done.stdout)
