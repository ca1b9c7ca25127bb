"""Parts of a model as models: together they compute what the whole does, bit for bit."""

import numpy as np
import pytest

from edgecv.artifacts import CENTERED
from edgecv.errors import UnsupportedModelError
from edgecv.tflite import flatbuffer, operators, pixels, runtime
from edgecv.tflite.slice import part, single_sum, steps
from tests.live_models import SIZE, live_tflite, smooth_images


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """A MobileNetV3 as float32, int8 and float16: branches, constants, and unpacking of them."""
    import tensorflow as tf

    from edgecv.quantize.calibrate import calibrate
    from edgecv.quantize.int8 import quantize
    from tests.live_models import live_model

    folder = tmp_path_factory.mktemp("slice")
    float32 = live_tflite("mobilenet_v3_small")
    ranges = calibrate(float32, smooth_images(8, SIZE))
    half = tf.lite.TFLiteConverter.from_keras_model(live_model("mobilenet_v3_small"))
    half.optimizations = [tf.lite.Optimize.DEFAULT]
    half.target_spec.supported_types = [tf.float16]
    (folder / "half.tflite").write_bytes(half.convert())
    return {
        "float32": float32.path,
        "int8": quantize(float32, ranges, folder / "int8.tflite").path,
        "float16": folder / "half.tflite",
    }


def invoked(model, given):
    """The outputs of a model for its inputs, both by the tensors' names."""
    interpreter = runtime.load(flatbuffer.serialized(model))
    for each in interpreter.get_input_details():
        interpreter.set_tensor(each["index"], given[each["name"]])
    interpreter.invoke()
    outputs = interpreter.get_output_details()
    return {each["name"]: interpreter.get_tensor(each["index"]) for each in outputs}


def image(model):
    """Something to look at, by the name of the input."""
    entry = runtime.load(flatbuffer.serialized(model)).get_input_details()[0]
    images, grid = smooth_images(1, SIZE, seed=5), pixels.grid_of(entry)
    return {
        entry["name"]: pixels.encode(images, grid, pixels.usual_normalization(grid) or CENTERED)
    }


@pytest.mark.parametrize("scheme", ["float32", "int8", "float16"])
def test_the_operators_one_by_one_compute_what_the_whole_does(models, scheme):
    whole = flatbuffer.read(models[scheme])
    tensors = image(whole)
    expected = invoked(whole, tensors)
    for step in steps(whole):
        one = part(whole, [step])
        assert len(operators.operators(one)) == 1 + len(step.constants)
        tensors |= invoked(one, tensors)
    for name, values in expected.items():
        np.testing.assert_allclose(tensors[name], values, rtol=0 if scheme == "int8" else 1e-4)
        assert len(np.unique(values)) > 5


def test_the_two_halves_compute_what_the_whole_does(models):
    whole = flatbuffer.read(models["int8"])
    cuts = steps(whole)
    middle = next(  # inside a block, whose skip goes past it
        place
        for place in range(len(cuts) // 2, len(cuts))
        if len(part(whole, cuts[:place]).subgraphs[0].outputs) == 2
    )
    tensors = image(whole)
    expected = invoked(whole, tensors)
    for half in (cuts[:middle], cuts[middle:]):
        tensors |= invoked(part(whole, half), tensors)
    for name, values in expected.items():
        np.testing.assert_array_equal(tensors[name], values)


def test_a_part_keeps_its_quantization_and_no_weights_of_others(models):
    whole = flatbuffer.read(models["int8"])
    grids = {bytes(each.name): each.quantization for each in whole.subgraphs[0].tensors}
    sizes = 0
    for step in steps(whole):
        one = part(whole, [step])
        sizes += operators.weight_bytes(one)
        for tensor in one.subgraphs[0].tensors:
            assert tensor.quantization is grids[bytes(tensor.name)]
    assert sizes < 1.05 * operators.weight_bytes(whole)


def test_cutting_leaves_the_model_as_it_was(models):
    whole = flatbuffer.read(models["int8"])
    before = flatbuffer.serialized(whole)
    part(whole, steps(whole)[3:7])
    assert flatbuffer.serialized(whole) == before


def test_what_runs_once_is_no_step(models):
    whole = flatbuffer.read(models["float16"])
    counts = operators.counts(whole)
    assert len(steps(whole)) == sum(counts.values()) - counts["DEQUANTIZE"]


@pytest.mark.parametrize(("dtype", "delegated"), [("float32", True), ("int32", False)])
def test_the_sum_of_two_numbers_is_theirs_and_taken_by_what_is_said(dtype, delegated):
    interpreter = runtime.load(flatbuffer.serialized(single_sum(dtype)))
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], np.array([41], dtype))
    interpreter.invoke()
    assert interpreter.get_tensor(interpreter.get_output_details()[0]["index"]) == 42
    names = {each["op_name"] for each in interpreter._get_ops_details()}
    assert ("DELEGATE" in names) is delegated


def test_a_model_of_several_subgraphs_is_refused(models):
    whole = flatbuffer.read(models["float32"])
    whole.subgraphs.append(whole.subgraphs[0])
    with pytest.raises(UnsupportedModelError, match="2 subgraphs; 1 can be cut"):
        steps(whole)
