"""Ranges without images: the record of batch norms, moments through the graph, and `bn`."""

import json
import shutil

import numpy as np
import pytest
from click.testing import CliRunner

from edgecv.artifacts import TFLiteModel
from edgecv.cli import main
from edgecv.convert.normals import record
from edgecv.errors import UnsupportedModelError
from edgecv.quantize.activations import activations
from edgecv.quantize.calibrate import calibrate
from edgecv.quantize.datafree import data_free
from edgecv.quantize.int8 import full_int8, quantize
from edgecv.quantize.moments import tables
from edgecv.tflite import batchnorm, flatbuffer, runtime
from edgecv.tflite.graph import Graph
from tests.live_models import SIZE, live_model, live_tflite, smooth_images

FAMILIES = ["mobilenet_v1", "mobilenet_v2", "mobilenet_v3_small", "efficientnet_b0"]


def run(*arguments):
    return CliRunner().invoke(main, list(map(str, arguments)))


@pytest.fixture(scope="module")
def recorded(tmp_path_factory):
    """Live models of every family with batch norms, each with its record beside it."""
    folder = tmp_path_factory.mktemp("recorded")
    found = {}
    for arch in FAMILIES:
        path = shutil.copy(live_tflite(arch).path, folder / f"{arch}.tflite")
        record(live_model(arch), path, batchnorm.record_path(path))
        found[arch] = TFLiteModel(path, "float32")
    return found


@pytest.fixture(scope="module")
def images():
    """The images that the models' batch-norm statistics are of."""
    return smooth_images(32, SIZE, seed=1)


def observed(model, images):
    """Each activation's values over the images [n, channels], by tensor."""
    flat = flatbuffer.read(model.path)
    graph = Graph(flat)
    made = [int(each.outputs[0]) for each in graph.operators]
    seen = {tensor: [] for tensor in made}
    for values in activations(flat, made, images):
        for tensor in made:
            found = values(tensor)
            seen[tensor].append(found.reshape(-1, found.shape[-1]).copy())
    return graph, {tensor: np.concatenate(each) for tensor, each in seen.items()}


@pytest.mark.parametrize("arch", FAMILIES)
def test_the_record_is_what_the_convolutions_make(arch, recorded, images):
    normals = batchnorm.read(recorded[arch].path)
    graph, seen = observed(recorded[arch], images)
    by_name = {graph.name(tensor): tensor for tensor in seen}
    clips = {graph.name(int(e.outputs[0])): graph.fused(e) for e in graph.operators}
    linear = [name for name in normals if clips[name] == "NONE"]
    assert len(normals) == sum("bn" in each.name for each in live_model(arch).layers)
    for name in linear[:4]:  # what is clipped is normal before the clip, and not kept
        values = seen[by_name[name]]
        np.testing.assert_allclose(normals[name].mean, values.mean(0), atol=0.05)
        np.testing.assert_allclose(normals[name].std, values.std(0), atol=0.05)


@pytest.mark.parametrize("arch", FAMILIES)
def test_moments_of_what_activations_make_are_near_what_images_show(arch, recorded, images):
    model = recorded[arch]
    graph, seen = observed(model, images)
    known = tables(graph, batchnorm.read(model.path), arch)
    first = [int(each.outputs[0]) for each in graph.operators[:3]]  # behind the stem's activation
    for tensor in first:
        spread = max(seen[tensor].std(), 1e-3)
        assert np.abs(known[tensor].mean - seen[tensor].mean(0)).mean() < 0.35 * spread
        deviation = np.sqrt(np.maximum(known[tensor].variance, 0))
        assert np.abs(deviation - seen[tensor].std(0)).mean() < 0.35 * spread


@pytest.mark.parametrize("arch", FAMILIES)
def test_ranges_and_answers_are_near_those_from_images(arch, recorded, images, tmp_path):
    model = recorded[arch]
    found = data_free(model, tmp_path / "int8.tflite", "float32")
    assert full_int8(found.file.path)
    from_images = calibrate(model, images)
    assert set(found.ranges) == set(from_images)
    widths = [
        (found.ranges[name].high - found.ranges[name].low) / (each.high - each.low)
        for name, each in from_images.items()
        if each.high - each.low > 0.01
    ]
    assert 0.5 < np.median(widths) < 2
    fresh = smooth_images(60, SIZE, seed=7)
    plain = quantize(model, from_images, tmp_path / "plain.tflite", "float32")
    wanted, got, usual = (
        runtime.run(runtime.load(each.path), fresh).argmax(1) for each in (model, found.file, plain)
    )
    assert (wanted == got).mean() >= (wanted == usual).mean() - 0.15
    assert (wanted == got).mean() >= 0.5


def test_a_clip_that_is_reached_is_pinned_and_one_that_is_not_is_cut(recorded, tmp_path):
    model = recorded["mobilenet_v1"]
    normals = batchnorm.read(model.path)
    near, far = list(normals)[:2]
    changed = {
        **normals,
        near: normals[near]._replace(mean=normals[near].mean * 0, std=normals[near].std * 0 + 0.5),
        far: normals[far]._replace(std=normals[far].std * 0 + 2.0),
    }
    path = shutil.copy(model.path, tmp_path / "model.tflite")
    digest = json.loads(batchnorm.record_path(model.path).read_text())["sha256"]
    batchnorm.write(batchnorm.record_path(path), changed, digest)
    ranges = data_free(TFLiteModel(path, "float32"), tmp_path / "int8.tflite").ranges
    assert ranges[near] == pytest.approx((0, 3.0))
    assert ranges[far] == (0, 6)


def test_the_command_needs_no_image(recorded, tmp_path):
    model, out = recorded["mobilenet_v2"].path, tmp_path / "int8.tflite"
    shown = run("quantize", model, "--calibration", "bn", "-o", out, "--json")
    assert shown.exit_code == 0, shown.stderr
    result = json.loads(shown.stdout)
    assert (result["images"], result["full_int8"], result["warnings"]) == (0, True, [])
    manifest = json.loads((tmp_path / "int8.calibration.json").read_text())
    assert [each["file"] for each in manifest["files"]] == ["mobilenet_v2.batchnorm.json"]
    refused = run("quantize", model, "--calibration", "bn", "-o", out, "--sensitivity")
    assert (refused.exit_code, "needs --validation" in refused.stderr) == (2, True)


def test_a_model_without_a_record_is_told_which_have_one(tmp_path):
    path = shutil.copy(live_tflite("squeezenet_1_1").path, tmp_path / "squeezenet.tflite")
    assert record(live_model("squeezenet_1_1"), path, batchnorm.record_path(path)) is None
    shown = run("quantize", path, "--calibration", "bn", "-o", tmp_path / "int8.tflite")
    assert shown.exit_code == 1
    assert "no squeezenet.batchnorm.json beside it" in shown.stderr.splitlines()[-1]
    assert "SqueezeNet has none" in shown.stderr
    assert not (tmp_path / "int8.tflite").exists()


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda record: {**record, "sha256": "0" * 64}, "is of another model"),
        (lambda record: {**record, "tensors": [1]}, "not a readable record"),
        (lambda _: {}, "not a readable record"),
        (lambda record: {**record, "tensors": {"x": {"mean": [1], "std": [-1]}}}, "not a readable"),
        (lambda record: {**record, "tensors": {"x": {"mean": [1], "std": []}}}, "not a readable"),
    ],
)
def test_a_record_that_does_not_fit_is_refused(spoil, message, recorded, tmp_path):
    model = recorded["mobilenet_v2"].path
    path = shutil.copy(model, tmp_path / "model.tflite")
    given = json.loads(batchnorm.record_path(model).read_text())
    batchnorm.record_path(path).write_text(json.dumps(spoil(given)))
    with pytest.raises(UnsupportedModelError, match=message):
        batchnorm.read(path)


def test_build_leaves_the_record_of_its_float_file(tmp_path):
    out = tmp_path / "run"
    shape = ["--width", 0.25, "--res", 32, "--weights", "random", "--quantize", "none"]
    shown = run("build", "mobilenet_v1", *shape, "-o", out)
    assert shown.exit_code == 0, shown.stderr
    assert len(batchnorm.read(out / "model_float32.tflite")) == 27
