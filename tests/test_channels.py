"""Groups of channels, the table they make, and cutting them: the function stays that of silence."""

import numpy as np
import pytest

from edgecv import models
from edgecv.errors import RecipeError
from edgecv.models.channel_groups import coupling
from edgecv.prune.channel_search import best
from edgecv.prune.cost import ModelCost
from edgecv.prune.surgery import cut, silence_channels
from edgecv.recipe import ModelOptions
from edgecv.tflite import flatbuffer, operators
from tests.test_models import randomize

SIDE, CLASSES = 48, 5
FAMILIES = (
    "mobilenet_v1",
    "mobilenet_v2",
    "mobilenet_v3_small",
    "mobilenet_v3_large",
    "mobilenet_v3_large_minimalistic",
    "squeezenet_1_0",
    "squeezenet_1_1",
    "efficientnet_b0",
    "efficientnet_lite0",
)


def tiny(arch, channels=None):
    width, depth = 0.25, 0.5 if arch.startswith("efficientnet") else None
    return models.build(ModelOptions(arch, width, SIDE, depth, channels=channels), CLASSES)


def some(found, rng):
    """A random choice of channels of each group, one at least."""
    return [
        np.sort(rng.choice(count, rng.integers(1, count + 1), replace=False))
        for count in found.counts
    ]


@pytest.mark.parametrize("arch", FAMILIES)
def test_a_cut_network_computes_what_the_dense_one_does_with_those_channels_silent(arch):
    model = tiny(arch)
    randomize(model)
    found = coupling(model)
    rng = np.random.default_rng(1)
    images = rng.uniform(-1, 1, (2, SIDE, SIDE, 3)).astype(np.float32)
    dense = model(images).numpy()
    for _ in range(2):
        kept = some(found, rng)
        smaller = cut(model, found, kept)
        with silence_channels(model, found, kept):
            wanted = model(images).numpy()
        scores = smaller(images).numpy()
        assert np.abs(scores - wanted).max() < 1e-5
        assert np.abs(scores - dense).max() > 1e-3  # the channels do matter
        assert coupling(smaller).counts == tuple(map(len, kept))
        assert smaller.count_params() < model.count_params()
    np.testing.assert_array_equal(model(images).numpy(), dense)  # silence ends with the block


@pytest.mark.parametrize("arch", ("mobilenet_v3_small", "squeezenet_1_1", "efficientnet_b0"))
def test_the_table_of_a_cut_network_builds_it_again(arch):
    model = tiny(arch)
    found = coupling(model)
    kept = some(found, np.random.default_rng(2))
    smaller = cut(model, found, kept)
    again = tiny(arch, channels=tuple(map(len, kept)))
    assert [each.shape for each in again.weights] == [each.shape for each in smaller.weights]
    assert [each.name for each in again.layers] == [each.name for each in smaller.layers]


def test_groups_follow_streams_gates_and_concatenations():
    groups = {
        group.writers: group.channels for group in coupling(tiny("mobilenet_v3_small")).groups
    }
    assert groups[("stage1_0_project_conv", "stage2_0_project_conv")] == 8  # a residual sum
    assert ("stage4_0_expand_conv", "stage4_0_se_excite") in groups  # the gate follows
    assert ("stage4_0_se_squeeze",) in groups  # and has a width of its own
    fire = coupling(tiny("squeezenet_1_1"))
    assert fire.inputs["fire3_squeeze_conv"] == fire.outputs["fire2_concat"]
    assert len(fire.outputs["fire2_concat"]) == 2
    first = coupling(tiny("mobilenet_v1"))
    assert first.outputs["stem_bn"] == first.outputs["block1_depthwise_bn"]


def test_a_table_of_another_length_is_refused():
    with pytest.raises(RecipeError, match=r"model.channels: mobilenet_v1_0.25_48 has 14 groups"):
        tiny("mobilenet_v1", channels=(8, 8))


@pytest.mark.parametrize("arch", ("mobilenet_v2", "mobilenet_v3_small", "squeezenet_1_1"))
def test_the_cost_is_counted_as_the_file_has_it(arch, tmp_path):
    from edgecv.convert.keras import convert

    model = tiny(arch)
    found = coupling(model)
    kept = some(found, np.random.default_rng(3))
    flat = flatbuffer.read(convert(cut(model, found, kept), tmp_path / "cut.tflite").path)
    predicted = ModelCost(model, found).macs(tuple(map(len, kept)))
    assert predicted == operators.macs(flat)


def test_the_most_important_channels_stay_in_their_order():
    importance = np.array([0.2, 0.9, 0.0, 0.5, 0.9])
    assert best(importance, 3).tolist() == [1, 3, 4]
