"""From float .tflite and images to int8: ranges, and files that run everywhere."""

import json
import subprocess
import sys
import zipfile

import numpy as np
import pytest
import tf_keras
from ai_edge_litert.interpreter import Interpreter
from tf_keras import layers

from edgecv.artifacts import CENTERED, Range, TFLiteModel
from edgecv.convert.keras import convert
from edgecv.errors import DataError, RunFolderError, UnsupportedModelError
from edgecv.quantize.calibrate import calibrate
from edgecv.quantize.int8 import float_operators, full_int8, quantize
from edgecv.quantize.manifest import read_ranges, write_manifest
from edgecv.quantize.ranges import refined
from edgecv.tflite import flatbuffer, metadata, operators, pixels, runtime
from edgecv.tflite.graph import Graph
from tests.live_models import SIZE, live_tflite, smooth_images
from tests.old_runtime import need_tflite

FAMILIES = [
    "mobilenet_v1",
    "mobilenet_v2",
    "mobilenet_v3_small",
    "mobilenet_v3_large",
    "squeezenet_1_1",
    "efficientnet_b0",
    "efficientnet_lite0",
]


@pytest.fixture(scope="module")
def images():
    return smooth_images(16, SIZE)


@pytest.fixture(scope="module")
def quantized(tmp_path_factory, images):
    """The int8 twins of all families, with their ranges."""
    folder = tmp_path_factory.mktemp("int8")
    ranges = {arch: calibrate(live_tflite(arch), images) for arch in FAMILIES}
    return {
        arch: (quantize(live_tflite(arch), ranges[arch], folder / f"{arch}.tflite"), ranges[arch])
        for arch in FAMILIES
    }


def scores(model, images):
    return runtime.run(runtime.load(model.path), images)


# -- ranges -----------------------------------------------------------------------------------


def test_ranges_hold_what_the_interpreter_itself_sees(images):
    model = live_tflite("mobilenet_v2")
    with pytest.warns(UserWarning, match="debugging"):
        interpreter = Interpreter(str(model.path), experimental_preserve_all_tensors=True)
    interpreter.allocate_tensors()
    entry = interpreter.get_input_details()[0]["index"]
    graph = Graph(flatbuffer.read(model.path))
    linear = [
        int(operator.outputs[0])
        for operator in graph.operators
        if graph.code(operator) in {"CONV_2D", "ADD"} and graph.fused(operator) == "NONE"
    ]
    seen = []
    for image in images:
        interpreter.set_tensor(entry, (image[np.newaxis].astype(np.float32) - 127.5) / 127.5)
        interpreter.invoke()
        values = [interpreter.get_tensor(tensor) for tensor in linear]
        seen.append([(value.min(), value.max()) for value in values])
    ranges = calibrate(model, images)
    for tensor, low, high in zip(linear, *np.array(seen).T, strict=True):
        found = ranges[graph.name(tensor)]
        assert found == pytest.approx((low.min(), high.max()), rel=1e-4)
        assert found.low < 0 < found.high


def clipped(folder, gain, activation):
    """A model of one clipped convolution, and its range for images that reach from -1 to 1."""
    image = layers.Input((8, 8, 3))
    weights = tf_keras.initializers.Constant(np.eye(3)[None, None] * gain)
    x = layers.Conv2D(3, 1, kernel_initializer=weights)(image)
    x = activation(x) if activation else x
    scores = layers.Dense(2)(layers.GlobalMaxPooling2D()(x))
    model = convert(tf_keras.Model(image, scores), folder / "model.tflite")
    ends = np.zeros((1, 8, 8, 3), np.uint8)
    ends[:, :4] = 255
    graph = Graph(flatbuffer.read(model.path))
    convolution = next(each for each in graph.operators if graph.code(each) == "CONV_2D")
    return calibrate(model, ends)[graph.name(int(convolution.outputs[0]))]


@pytest.mark.parametrize(
    ("gain", "activation", "expected"),
    [
        pytest.param(50.0, layers.ReLU(6.0), (0, 6), id="saturated RELU6 is pinned"),
        pytest.param(6.0, layers.ReLU(6.0), (0, 6), id="just saturated"),
        pytest.param(5.2, layers.ReLU(6.0), (0, 5.2), id="RELU6 that nothing reaches is cut"),
        pytest.param(50.0, layers.ReLU(), (0, 50), id="RELU has no upper end"),
        pytest.param(5.2, None, (-5.2, 5.2), id="linear keeps its sign"),
        pytest.param(1e-9, layers.ReLU(), (0, 1e-3), id="dead"),
    ],
)
def test_a_range_ends_where_the_clip_does(tmp_path, gain, activation, expected):
    assert clipped(tmp_path, gain, activation) == pytest.approx(expected)


def test_a_range_from_before_the_clip_is_cut_at_its_ends():
    graph = Graph(flatbuffer.read(live_tflite("mobilenet_v1").path))
    wide = dict.fromkeys(graph.unique_names().values(), Range(-3.0, 7.9))
    ranges = refined(graph, wide)
    assert ranges["block1_pointwise_relu6"] == Range(0.0, 6.0)
    assert ranges["logits"] == Range(-3.0, 7.9)


def test_image_and_scores_have_the_ranges_that_their_bytes_have(quantized):
    for _, ranges in quantized.values():
        assert ranges["image"] == Range(-1.0, 127 / 128)
        assert ranges["scores"] == Range(0.0, 1.0)


def test_what_is_concatenated_or_copied_shares_one_range(quantized):
    graph = Graph(flatbuffer.read(live_tflite("squeezenet_1_1").path))
    _, ranges = quantized["squeezenet_1_1"]
    joined = [each for each in graph.operators if graph.code(each) == "CONCATENATION"]
    assert len(joined) == 8
    for operator in joined:
        names = [graph.name(int(each)) for each in [*operator.inputs, *operator.outputs]]
        assert len({ranges[name] for name in names}) == 1
    assert operators.counts(flatbuffer.read(quantized["squeezenet_1_1"][0].path))["QUANTIZE"] == 2


def test_no_images_one_of_another_size_and_values_without_end_are_refused(tmp_path, images):
    model = live_tflite("mobilenet_v1")
    with pytest.raises(DataError, match="no images"):
        calibrate(model, [])
    with pytest.raises(DataError, match=f"image 1: must be {SIZE}x{SIZE}x3, got 8x8x3"):
        calibrate(model, [images[0], np.zeros((8, 8, 3), np.uint8)])
    flat = flatbuffer.read(model.path)
    graph = Graph(flat)
    weights = graph.constant(int(graph.operators[3].inputs[1])).copy()
    weights.flat[0] = np.nan
    flat.buffers[graph.tensors[graph.operators[3].inputs[1]].buffer].data = weights.view(
        np.uint8
    ).ravel()
    broken = TFLiteModel(flatbuffer.write(flat, tmp_path / "nan.tflite"), "float32")
    with pytest.raises(UnsupportedModelError, match="not finite"):
        calibrate(broken, images[:1])


# -- int8 files -------------------------------------------------------------------------------


@pytest.mark.parametrize("arch", FAMILIES)
def test_every_family_is_int8_throughout_and_as_small_as_foretold(quantized, arch):
    int8, _ = quantized[arch]
    assert full_int8(int8.path)
    flat = flatbuffer.read(int8.path)
    found, before = (
        operators.counts(flat),
        operators.counts(flatbuffer.read(live_tflite(arch).path)),
    )
    assert found.pop("QUANTIZE") == 2
    assert found == before
    foretold = operators.int8_bytes(flatbuffer.read(live_tflite(arch).path))
    assert int8.path.stat().st_size == pytest.approx(foretold, rel=0.15)


def test_weights_are_symmetric_per_channel_and_operators_have_int8_versions(quantized):
    flat = flatbuffer.read(quantized["mobilenet_v2"][0].path)
    graph = Graph(flat)
    versions = {"CONV_2D": 3, "DEPTHWISE_CONV_2D": 3, "ADD": 2, "MEAN": 2, "SOFTMAX": 2}
    for operator in graph.operators:
        code = graph.code(operator)
        if code in versions:
            assert flat.operatorCodes[operator.opcodeIndex].version == versions[code]
        if code in {"CONV_2D", "DEPTHWISE_CONV_2D"}:
            parameters = graph.tensors[operator.inputs[1]].quantization
            assert len(parameters.scale) == graph.shape(int(operator.outputs[0]))[-1]
            assert not parameters.zeroPoint.any()


@pytest.mark.parametrize(
    ("arch", "alike"),
    [
        ("mobilenet_v3_small", 0.9),
        ("mobilenet_v3_large", 0.9),
        ("squeezenet_1_1", 0.9),
        ("efficientnet_b0", 0.6),
    ],
)
def test_int8_scores_follow_the_float_ones(quantized, images, arch, alike):
    found = [
        np.log(scores(each, images) + 1e-3) for each in (live_tflite(arch), quantized[arch][0])
    ]
    found = [each - each.mean(axis=0) for each in found]
    assert np.corrcoef(found[0].ravel(), found[1].ravel())[0, 1] > alike


def test_camera_bytes_go_in_as_they_are(quantized):
    entry = runtime.load(quantized["mobilenet_v1"][0].path).get_input_details()[0]
    assert entry["dtype"] == np.uint8
    scale, zero_point = entry["quantization"]
    every = np.arange(256)
    real = (every - 127.5) / 127.5
    assert np.abs(scale * (every - zero_point) - real).max() <= 1 / 127.4
    gray = np.repeat(every[:, np.newaxis], 3, axis=1).astype(np.uint8)
    grid = pixels.grid_of(entry)
    np.testing.assert_array_equal(pixels.encode(gray, grid, CENTERED), gray)
    rounded = real / scale + zero_point  # by someone who reads the file's grid
    assert (np.abs(rounded % 1 - 0.5) > 1e-3).mean() > 0.9  # and meets no ties


@pytest.mark.parametrize("output", ["uint8", "int8", "float32"])
def test_scores_come_out_in_the_type_asked_for(images, tmp_path, output):
    model = live_tflite("squeezenet_1_1")
    int8 = quantize(model, calibrate(model, images), tmp_path / "int8.tflite", output)
    assert runtime.load(int8.path).get_output_details()[0]["dtype"] == np.dtype(output)
    assert full_int8(int8.path)
    np.testing.assert_allclose(scores(int8, images), scores(model, images), atol=0.1)


def test_operators_left_in_float_are_listed(images, tmp_path):
    model = live_tflite("mobilenet_v1")
    assert len(float_operators(model.path)) == 31
    assert float_operators(model.path)[-1] == "SOFTMAX (scores)"
    ranges = calibrate(model, images)
    unknown = next(name for name in ranges if "block3" in name and "pointwise" in name)
    del ranges[unknown]
    partly = quantize(model, ranges, tmp_path / "partly.tflite")
    assert not full_int8(partly.path)
    assert len(float_operators(partly.path)) <= 2


def test_labels_come_along(images, tmp_path):
    model = TFLiteModel(tmp_path / "float.tflite", "float32")
    model.path.write_bytes(live_tflite("squeezenet_1_1").path.read_bytes())
    said = metadata.Metadata(tuple("abcdefghij"), "squeezenet_1_1", 0.9)
    metadata.attach(model.path, said)
    int8 = quantize(model, calibrate(model, images), tmp_path / "int8.tflite")
    assert metadata.read(int8.path) == said
    assert zipfile.ZipFile(int8.path).read("labels.txt").decode().split() == list("abcdefghij")


def test_dead_and_nearly_dead_channels_do_no_harm(images, tmp_path):
    """A filter of zeros, one near zero with a bias, and a layer behind which all is dark."""
    image = layers.Input((SIZE, SIZE, 3))
    x = layers.ReLU(6.0)(layers.Conv2D(8, 3, 2, name="holed")(image))
    dark = layers.ReLU(6.0)(layers.Conv2D(8, 1, bias_initializer=constant(-9))(x))
    x = layers.Conv2D(8, 1, bias_initializer=constant(1))(layers.Concatenate()([x, dark]))
    scores_ = layers.Dense(4, "softmax")(layers.GlobalAveragePooling2D()(x))
    keras = tf_keras.Model(image, scores_)
    kernel, bias = keras.get_layer("holed").get_weights()
    kernel[..., 0], kernel[..., 1], bias[:2] = 0, 1e-12, 3
    keras.get_layer("holed").set_weights([kernel, bias])
    model = convert(keras, tmp_path / "float.tflite")
    int8 = quantize(model, calibrate(model, images), tmp_path / "int8.tflite")
    np.testing.assert_allclose(scores(int8, images), scores(model, images), atol=0.02)
    run_on_both([int8.path])


def constant(value):
    return tf_keras.initializers.Constant(value)


RUN_ON_BOTH = """
import sys
from pathlib import Path
import numpy as np
from edgecv.tflite import runtime
sys.path.insert(0, sys.argv[1])
steps = np.random.default_rng(5).normal(size=(8, 64, 64, 3))
walk = np.cumsum(np.cumsum(steps, 1), 2)
images = np.round((walk / np.abs(walk).max((1, 2, 3), keepdims=True) + 1) * 127.5).astype(np.uint8)
for path in map(Path, sys.argv[2:]):
    new, old = (runtime.run(runtime.load(path, 1, name), images) for name in ("litert", "tflite"))
    # an untrained net magnifies the +-1 in which kernels differ, and the deepest drowns in it
    alike = np.corrcoef(new.ravel(), old.ravel())[0, 1]
    assert alike > 0.6 or (path.stem == "efficientnet_b0" and np.ptp(old) > 0.1), (path, alike)
    delegated = [each["op_name"] for each in runtime.load(path)._get_ops_details()]
    assert delegated.count("DELEGATE") == 1, (path, delegated)
"""


def run_on_both(paths):
    """Each file runs on LiteRT, in one piece on XNNPACK, and on tflite-runtime, to the same end."""
    need_tflite()
    done = subprocess.run(
        [sys.executable, "-c", RUN_ON_BOTH, "tests", *map(str, paths)],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr


def test_int8_files_run_on_xnnpack_and_on_tflite_runtime(quantized):
    run_on_both([int8.path for int8, _ in quantized.values()])


def test_quantizing_is_quiet(images, tmp_path, capfd):
    model = live_tflite("squeezenet_1_1")
    quantize(model, calibrate(model, images), tmp_path / "int8.tflite")
    assert capfd.readouterr() == ("", "")


# -- calibration.json -------------------------------------------------------------------------


def test_the_manifest_says_what_the_ranges_were_taken_from(tmp_path):
    ranges = {"image": Range(-1.0, 1.0), "stem": Range(0.0, 5.1230001)}
    rows = [{"file": "a/1.jpg", "sha256": "00ff"}]
    path = write_manifest(tmp_path / "calibration.json", rows, 7, {"crop": 0.875}, ranges)
    assert json.loads(path.read_text()) == {
        "files": rows,
        "seed": 7,
        "preprocessing": {"crop": 0.875},
        "ranges": {"image": [-1.0, 1.0], "stem": [0.0, 5.1230001]},
    }
    assert read_ranges(path) == ranges


@pytest.mark.parametrize("text", ["", "{}", '{"ranges": 3}', '{"ranges": {"a": [1]}}'])
def test_a_manifest_without_ranges_is_refused(tmp_path, text):
    (tmp_path / "calibration.json").write_text(text)
    with pytest.raises(RunFolderError, match=r"not a readable calibration\.json"):
        read_ranges(tmp_path / "calibration.json")
