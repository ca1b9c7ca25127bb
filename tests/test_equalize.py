"""How far the channels of an activation are scaled, by what images showed of them."""

import numpy as np
import pytest

from edgecv.quantize import equalize
from edgecv.quantize.statistics import Statistics


def seen_of(*images):
    statistics = Statistics()
    for image in images:
        statistics.see(np.array(image, np.float32))
    return statistics


def factors(statistics, gated):
    gates = [object()] if gated else []  # only whether there is one is asked for
    return equalize.factors(equalize.Pair(None, [], gates, set()), statistics)


def test_channels_are_brought_to_the_reach_of_the_largest():
    found = factors(seen_of([[-8, -2], [8, 2]]), gated=False)
    assert found == pytest.approx([1, 4])


def test_behind_a_hard_swish_most_of_the_range_is_above_zero():
    reach = [[-20, -20, -20, -20], [9, 9, 9, 0.5]]  # read from -3 on
    wide, narrow = factors(seen_of(reach), gated=True)[[0, 3]]
    assert wide == 1
    assert 1 <= narrow < 1.5  # 3 if as much of the range were below zero as above


def test_one_position_is_measured_by_its_extremes_over_the_images():
    statistics = seen_of([[1, -4]], [[7, 2]])
    assert statistics.usual_high == pytest.approx([7, 2])
    assert statistics.usual_low == pytest.approx([1, -4])


def test_several_positions_are_measured_by_the_mean_of_their_extremes():
    statistics = seen_of([[0], [2]], [[0], [6]])
    assert statistics.usual_high == pytest.approx([4])


def test_a_dead_activation_is_left_alone():
    assert factors(seen_of([[0, 0], [0, 0]]), gated=False) == pytest.approx([1, 1])
