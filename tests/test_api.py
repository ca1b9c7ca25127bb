"""What a script or a notebook uses: `import edgecv`, and no TensorFlow until it is needed."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import edgecv
from tests import tiny_models

PACKAGE = Path(edgecv.__file__).parent


def run(code):
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return shown.stdout.split()


def test_importing_loads_nothing_else():
    assert run("import edgecv, sys; print(*(m for m in sys.modules if 'edgecv.' in m))") == []


@pytest.mark.parametrize("name", edgecv.__all__)
def test_every_name_is_there_without_tensorflow(name):
    heavy = "{'tensorflow', 'tf_keras', 'scipy', 'matplotlib'}"
    code = f"import sys; from edgecv import {name}; print(*{heavy} & set(sys.modules))"
    assert run(code) == []
    assert getattr(edgecv, name).__doc__


def test_no_name_is_that_of_a_package_which_would_hide_it():
    inside = {path.stem for path in PACKAGE.iterdir()}
    assert not inside & set(edgecv.__all__)


def test_a_name_that_is_not_there_comes_with_those_that_are():
    with pytest.raises(AttributeError, match="has no 'train_model'; there are: Recipe, build"):
        getattr(edgecv, "train_model")  # noqa: B009
    assert set(edgecv.__all__) < set(dir(edgecv))


def test_a_script_quantizes_evaluates_and_profiles_a_file(tmp_path):
    tiny = tiny_models.tiny()
    photos = tiny_models.photos(tmp_path / "photos", tiny.samples[:40])
    model, out = tiny_models.with_labels(tmp_path / "known.tflite"), tmp_path / "int8.tflite"
    recipe = edgecv.Recipe()
    result = edgecv.quantize_file(tiny.float32.path, photos, out, recipe)
    assert result.path == out and result.to_dict()["full_int8"]
    assert result.images == 40 and np.isfinite(result.to_dict()["bytes"])
    figures = edgecv.evaluate_file(model, photos)
    assert figures["images"] == 40 and 0 < figures["model"]["top1"] <= 1
    latency = edgecv.profile_file(out)
    assert latency["model"] == "int8" and latency["p50_ms"] > 0


def test_a_script_plans_and_hears_of_a_mistake(tmp_path):
    plan = edgecv.plan(edgecv.Recipe().model)
    assert (plan.arch, plan.resolution) == ("mobilenet_v1", 224)
    with pytest.raises(edgecv.EdgecvError, match=r"gone\.tflite"):
        edgecv.quantize_file(tmp_path / "gone.tflite", tmp_path, tmp_path / "out.tflite")
