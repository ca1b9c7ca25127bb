"""Parts of a model that share packed tables are the parts that are packed anew."""

import numpy as np
import pytest

from edgecv.quantize.activations import part
from edgecv.tflite import flatbuffer
from edgecv.tflite.graph import Graph, indices
from edgecv.tflite.packing import PackedTables
from tests.tiny_models import tiny


@pytest.fixture
def graph():
    return Graph(flatbuffer.read(tiny().float32.path))


def behind(graph, place, packed=None):
    """The object tree of the part from the operator at a place on."""
    inputs, outputs = indices(graph.operators[place].inputs)[:1], indices(graph.subgraph.outputs)
    data = part(graph, place, len(graph.operators), inputs, outputs, packed)
    return flatbuffer.serialized(flatbuffer.parse(data))


def test_shared_tables_give_the_same_parts(graph):
    packed, places = PackedTables(), range(len(graph.operators))
    assert len({behind(graph, place, packed) for place in places}) == len(places)
    for place in places:
        assert behind(graph, place, packed) == behind(graph, place)


def test_an_operator_with_other_inputs_is_packed_anew(graph):
    packed = PackedTables()
    before = behind(graph, 0, packed)
    operator = graph.operators[0]
    kernel = graph.constant(int(operator.inputs[1]))
    operator.inputs = np.array(operator.inputs)
    operator.inputs[1] = graph.add_constant(2 * kernel, "doubled")
    changed = behind(graph, 0, packed)
    assert changed == behind(graph, 0) != before
