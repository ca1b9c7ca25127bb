"""The engine of post-training quantization, stage by stage, and what it refuses."""

import re

import numpy as np
import pytest
import tf_keras
from tf_keras import layers

from edgecv.artifacts import Range, TFLiteModel
from edgecv.convert.keras import convert
from edgecv.errors import DataError, UnsupportedModelError
from edgecv.quantize import equalize, fitting, judge, rounding
from edgecv.quantize.calibrate import calibrate, observed, usable
from edgecv.quantize.engine import Stages, equalized, post_training
from edgecv.quantize.int8 import full_int8, int8_twin
from edgecv.quantize.judge import held_out, pays, spread
from edgecv.quantize.reconstruct import Steps, reconstruct
from edgecv.quantize.select import cut_ranges
from edgecv.quantize.statistics import Statistics
from edgecv.tflite import flatbuffer, lowering, operators, runtime
from edgecv.tflite.graph import Graph
from tests.live_models import SIZE, live_tflite, smooth_images


@pytest.fixture(scope="module")
def images():
    return list(smooth_images(16, SIZE))


def scores(model, images):
    return runtime.run(runtime.load(model.path), np.stack(images))


def difference(found, wanted):
    """Squared error as a share of the variance."""
    return float(np.square(found - wanted).mean() / wanted.var())


def uneven(folder, activation):
    """conv, depthwise, convs; what the first one makes reaches very differently far."""
    tf_keras.utils.set_random_seed(3)
    image = layers.Input((SIZE, SIZE, 3))
    x = activation(layers.Conv2D(16, 3, 2, name="first")(image))
    x = layers.ReLU(6.0)(layers.DepthwiseConv2D(3, name="second")(x))
    x = layers.ReLU(6.0)(layers.Conv2D(32, 1)(x))
    x = layers.ReLU(6.0)(layers.Conv2D(32, 3, 2)(x))
    decided = tf_keras.initializers.RandomNormal(0, 20)  # scores that a softmax tells apart
    x = layers.Dense(10, kernel_initializer=decided)(layers.GlobalAveragePooling2D()(x))
    model = tf_keras.Model(image, x)
    factor = np.exp(np.linspace(-2, 2, 16))
    kernel, bias = model.get_layer("first").get_weights()
    model.get_layer("first").set_weights([kernel * factor, bias])
    kernel, bias = model.get_layer("second").get_weights()
    model.get_layer("second").set_weights([kernel / factor[:, np.newaxis], bias])
    return convert(model, folder / "uneven.tflite")


def test_statistics_are_exact_at_the_ends_and_close_between():
    seen = Statistics()
    random = np.random.default_rng(0)
    parts = [random.normal(0, scale, (1, 40, 40, 4)).astype(np.float32) for scale in (1, 5, 30)]
    for part in parts:
        seen.see(part)
    whole = np.concatenate(parts)
    assert seen.range() == Range(float(whole.min()), float(whole.max()))
    np.testing.assert_array_equal(seen.highs, whole.max((0, 1, 2)))
    low, high = np.percentile(whole, [1, 99])
    assert seen.without_tails(0.01) == pytest.approx((low, high), abs=0.5)


@pytest.mark.parametrize("method", ["percentile", "mse", "entropy"])
def test_each_method_cuts_what_is_alone_far_out(method, images):
    flat = flatbuffer.read(live_tflite("mobilenet_v2").path)
    graph = Graph(flat)
    seen = observed(flat, images[:2])
    ranges = usable(graph, seen)
    linear = next(name for name, each in ranges.items() if each.low < -1e-3 and name in seen)
    values = np.random.default_rng(1).normal(size=30_000)
    values[:2] = 300
    seen[linear] = Statistics()
    seen[linear].see(values)
    found = cut_ranges(graph, seen, ranges | {linear: Range(-5.0, 300.0)}, method)
    assert 1 < found[linear].high < 297


def test_equalizing_evens_the_channels_and_leaves_the_float_function(images, tmp_path):
    flat = flatbuffer.read(uneven(tmp_path, layers.ReLU()).path)
    seen = observed(flat, images)
    name = Graph(flat).unique_names()[equalize.pairs(Graph(flat))[0].layer.output]
    changed, scaled = equalized(flat, seen, dict.fromkeys(seen, 1.0))
    assert name in scaled
    before, after = seen[name].highs, observed(changed, images)[name].highs
    assert after.max() / after.min() < 0.5 * before.max() / before.min()
    fresh = smooth_images(8, SIZE, seed=11)
    np.testing.assert_allclose(judge.scores(changed, fresh), judge.scores(flat, fresh), atol=1e-3)


def test_no_channel_is_equalized_past_a_clip(images, tmp_path):
    """A margin below RELU6's clip that held on some images does not hold on others (issue 17)."""
    flat = flatbuffer.read(uneven(tmp_path, layers.ReLU(6.0)).path)
    seen = observed(flat, images)
    assert equalized(flat, seen, dict.fromkeys(seen, 1.0))[1] == set()


def test_equalizing_passes_a_lowered_hard_swish(images):
    flat = flatbuffer.read(live_tflite("mobilenet_v3_small").path)
    lowering.lower_hard_swish(flat)
    seen = observed(flat, images)
    before = operators.counts(flat)
    changed, _ = equalized(flat, seen, dict.fromkeys(seen, 1.0))
    after = operators.counts(changed)
    gates = after["DEPTHWISE_CONV_2D"] - before["DEPTHWISE_CONV_2D"]
    assert before["ADD"] - after["ADD"] == gates > 0


def test_rounding_on_outputs_beats_rounding_to_the_nearest():
    random = np.random.default_rng(2)
    inputs = random.normal(size=(1, 2000, 48)) @ random.normal(size=(48, 48))
    weights = random.normal(size=(1, 20, 48))
    scales = np.abs(weights).max(2) / 7
    moments = inputs.transpose(0, 2, 1) @ inputs / 2000
    nearest, chosen = (
        np.square(inputs @ (found * scales[..., None] - weights).transpose(0, 2, 1)).sum()
        for found in (
            rounding.nearest(weights, scales),
            rounding.rounded(weights, scales, moments, weights != 0),
        )
    )
    assert chosen < 0.5 * nearest


def test_weights_that_were_on_a_grid_before_are_found_there_again():
    random = np.random.default_rng(5)
    levels = random.integers(-64, 65, (1, 12, 40))
    levels[..., 0] = 66 + 5 * np.arange(12)  # the largest of each channel
    weights = 0.0173 * levels
    moments = np.eye(40)[np.newaxis]
    scales = rounding.scales(weights, moments, np.zeros((1, 12)))
    np.testing.assert_allclose(scales, 0.0173)
    np.testing.assert_array_equal(rounding.nearest(weights, scales), levels)


def test_fitting_takes_what_is_linear_and_little_of_noise():
    random = np.random.default_rng(3)
    inputs = random.normal(size=(1, 600, 8))
    image_of = np.repeat(np.arange(30), 20)
    true = random.normal(size=(1, 8, 4))
    noise = random.normal(size=(1, 600, 4))
    kept = np.ones((1, 4, 8), bool)
    found = fitting.fit(inputs, inputs @ true + 0.1 * noise, image_of, kept)
    np.testing.assert_allclose(found, true.transpose(0, 2, 1), atol=0.05)
    assert np.abs(fitting.fit(inputs, noise, image_of, kept)).max() < 0.15


def test_a_large_output_does_not_decide_for_the_others():
    random = np.random.default_rng(5)
    inputs = random.normal(size=(1, 800, 24))
    residual = random.normal(size=(1, 800, 8))  # noise, but for one output
    residual[..., 3] = 100 * inputs[..., 0]
    images = np.repeat(np.arange(40), 20)
    found = fitting.fit(inputs, residual, images, np.ones((1, 8, 24), bool))[0]
    assert found[3, 0] == pytest.approx(100, rel=0.01)
    assert not np.delete(found, 3, 0).any()


def test_what_only_pruned_weights_could_explain_is_left():
    random = np.random.default_rng(6)
    inputs = random.normal(size=(1, 600, 2))
    inputs[..., 1] = inputs[..., 0] + 0.1 * inputs[..., 1]
    residual = np.stack([inputs[..., 0] - inputs[..., 1], inputs[..., 1]], 2)
    kept = np.array([[[False, True], [False, True]]])
    found = fitting.fit(inputs, residual, np.repeat(np.arange(30), 20), kept)[0]
    assert abs(found[0, 1]) < 0.05  # half of the answer would be worse than none
    assert found[1, 0] == 0
    assert found[1, 1] == pytest.approx(1, rel=0.1)


@pytest.mark.parametrize("arch", ["mobilenet_v1", "squeezenet_1_1"])
def test_correction_brings_the_int8_scores_nearer(tmp_path, arch):
    model = live_tflite(arch)
    images = list(smooth_images(48, SIZE))
    flat = flatbuffer.read(model.path)
    fresh = list(smooth_images(24, SIZE, seed=9))
    exact = judge.scores(flat, fresh)
    twin = int8_twin(flat, calibrate(model, images), "float32", arch)
    plain = difference(judge.scores(twin, fresh), exact)
    assert reconstruct(flat, twin, images) > 20  # layers
    assert difference(judge.scores(twin, fresh), exact) < plain
    path = flatbuffer.write(twin, tmp_path / "corrected.tflite")
    assert full_int8(path)


@pytest.mark.parametrize("stage", ["equalize", "correct"])
def test_each_stage_brings_the_int8_scores_nearer(tmp_path, stage):
    model = uneven(tmp_path, layers.ReLU())
    images = list(smooth_images(64, SIZE))
    fresh = list(smooth_images(48, SIZE, seed=9))
    wanted = scores(model, fresh)
    less, more = (
        difference(scores(done.file, fresh), wanted)
        for done in (
            post_training(model, images, tmp_path / "q.tflite", "float32", stages=stages)
            for stages in (Stages(**{stage: False}), Stages())
        )
    )
    assert more < 0.8 * less


def test_weights_are_rounded_on_outputs_unless_that_is_switched_off(images):
    flat = flatbuffer.read(live_tflite("mobilenet_v1").path)
    ranges = calibrate(live_tflite("mobilenet_v1"), images)
    integers = []
    for rounded in (True, False):
        twin = int8_twin(flat, ranges, "float32", "V1")
        reconstruct(flat, twin, images, Steps(round=rounded))
        graph = Graph(twin)
        first = next(operator for operator in graph.operators if len(operator.inputs) > 2)
        integers.append(graph.constant(int(first.inputs[1])).astype(int))
    steps = np.abs(np.subtract(*integers))
    assert 0 < (steps > 0).mean() < 0.5
    assert steps.max() == 1


@pytest.mark.parametrize("count", [2, 10, 30, 100, 301])
@pytest.mark.parametrize("split", [spread, held_out])
def test_what_judges_a_step_took_no_part_in_it(split, count):
    made_on, judges = split(range(count))
    assert sorted([*made_on, *judges]) == [*range(count)]
    assert made_on
    assert len(judges) >= min(4, count // 2)


def test_a_step_pays_when_it_gains_more_than_chance():
    losses = np.random.default_rng(8).exponential(0.01, 40)
    noise = np.random.default_rng(9).normal(0, 0.002, 40)
    assert pays(losses, losses - 0.002 + noise)
    assert not pays(losses, losses + noise - noise.mean())
    assert not pays(losses, losses + 0.002 + noise)
    assert not pays(losses[:1], losses[:1] - 0.01)  # one image says nothing about the next


def test_steps_that_nothing_can_judge_are_undone_and_said_so(images, tmp_path):
    model = live_tflite("mobilenet_v1")
    plain = Stages(equalize=False, correct=False)
    least = post_training(model, images[:2], tmp_path / "a.tflite", "uint8", "minmax", stages=plain)
    done = post_training(model, images[:2], tmp_path / "b.tflite")
    assert done.file.path.read_bytes() == least.file.path.read_bytes()
    assert [note for note in done.notes if "undone, too few images" in note] == done.notes


def test_notes_say_what_a_step_brought(images, tmp_path):
    model = uneven(tmp_path, layers.ReLU())
    notes = post_training(model, images, tmp_path / "q.tflite").notes
    said = re.compile(r".*: (kept|undone), loss (\S+) to (\S+) on \d+ images not used for it")
    verdicts = [said.fullmatch(note) for note in notes]
    assert len(verdicts) == 3  # ranges, channels, weights
    for verdict in verdicts:
        done, before, after = verdict.groups()
        assert (done == "kept") <= (float(after) < float(before))


def test_one_image_is_enough_to_get_a_file_and_none_is_refused(images, tmp_path):
    model = live_tflite("mobilenet_v1")
    assert full_int8(post_training(model, images[:1], tmp_path / "q.tflite").file.path)
    with pytest.raises(DataError, match="no images"):
        post_training(model, [], tmp_path / "none.tflite")


def quantized_already(flat):
    graph = Graph(flat)
    for tensor in graph.activations():
        graph.tensors[tensor].type = 9


def dynamic(flat):
    graph = Graph(flat)
    graph.tensors[int(graph.subgraph.inputs[0])].shapeSignature = np.array([1, -1, -1, 3])


def two_inputs(flat):
    graph = Graph(flat)
    graph.subgraph.inputs = np.repeat(graph.subgraph.inputs, 2)


def two_outputs(flat):
    graph = Graph(flat)
    graph.subgraph.outputs = np.append(graph.subgraph.outputs, graph.operators[0].outputs[0])


def computed_nowhere(flat):
    graph = Graph(flat)
    graph.subgraph.outputs = graph.subgraph.inputs


def four_channels(flat):
    graph = Graph(flat)
    graph.tensors[int(graph.subgraph.inputs[0])].shape = np.array([1, 64, 64, 4], np.int32)


def other_shapes_than_the_input_gives(flat):
    graph = Graph(flat)
    tensor = graph.tensors[int(graph.operators[1].outputs[0])]
    tensor.shape = tensor.shape + np.array([0, 0, 1, 0], np.int32)


def half_precision_weights(flat):
    graph = Graph(flat)
    weights = int(graph.operators[0].inputs[1])
    values = graph.constant(weights).astype(np.float16)
    graph.tensors[weights].type = 1
    flat.buffers[graph.tensors[weights].buffer].data = values.view(np.uint8).ravel()


def enormous(flat):
    graph = Graph(flat)
    weights = graph.constant(int(graph.operators[3].inputs[1])).copy()
    weights.flat[0] = 1e30
    buffer = graph.tensors[graph.operators[3].inputs[1]].buffer
    flat.buffers[buffer].data = weights.view(np.uint8).ravel()


def custom(flat):
    code = flat.operatorCodes[0]
    code.builtinCode, code.deprecatedBuiltinCode, code.customCode = 32, 32, b"MyOwn"


def not_a_number(flat):
    graph = Graph(flat)
    weights = graph.constant(int(graph.operators[3].inputs[1])).copy()
    weights.flat[0] = np.nan
    buffer = graph.tensors[graph.operators[3].inputs[1]].buffer
    flat.buffers[buffer].data = weights.view(np.uint8).ravel()


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (quantized_already, "already; give the float model"),
        (dynamic, "dynamic shape"),
        (two_inputs, "2 inputs"),
        (two_outputs, "2 outputs"),
        (computed_nowhere, "output that no operator makes"),
        (four_channels, "is 1x64x64x4; 1 x height x width x 3 or 1 is allowed"),
        (other_shapes_than_the_input_gives, "in the file, but not when it runs"),
        (half_precision_weights, "float16 weights"),
        (enormous, "values beyond 1e\\+09"),
        (custom, "custom operator MyOwn"),
        (not_a_number, "not finite"),
    ],
)
def test_a_model_that_cannot_be_quantized_is_named(images, tmp_path, spoil, message):
    flat = flatbuffer.read(live_tflite("mobilenet_v1").path)
    spoil(flat)
    model = TFLiteModel(flatbuffer.write(flat, tmp_path / "spoilt.tflite"), "float32")
    with pytest.raises(UnsupportedModelError, match=message) as caught:
        post_training(model, images, tmp_path / "q.tflite")
    assert "\n" not in str(caught.value)
    assert str(model.path) in str(caught.value)
    assert not (tmp_path / "q.tflite").exists()
