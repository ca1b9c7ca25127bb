"""data_free(): an int8 model without any image, from what its batch norms say of its activations.

Ranges reach so many deviations around the means, as in Nagel et al., Data-Free Quantization through
Weight Equalization and Bias Correction, 2019. That paper's bias correction has nothing left to do
where weights have a scale for each channel.
"""

from collections.abc import Mapping
from pathlib import Path

from edgecv.artifacts import Range, TFLiteModel
from edgecv.progress import QUIET
from edgecv.quantize.checks import check_quantizable
from edgecv.quantize.engine import Prepared, Quantized, Stages, finish
from edgecv.quantize.moments import tables
from edgecv.quantize.ranges import refined
from edgecv.tflite import batchnorm, flatbuffer, lowering
from edgecv.tflite.batchnorm import Normal
from edgecv.tflite.graph import Graph

# Of road signs, 5 lose up to a point of agreement with the float model; 6 to 8 are alike.
DEVIATIONS = 6.0
WITHOUT_IMAGES = Stages(equalize=False, correct=False)


def data_free(
    model: TFLiteModel, path: Path, output: str = "uint8", dense_per_tensor: bool = False
) -> Quantized:
    """Write the int8 twin of a float model to `path`, from the record of batch norms beside it.

    Raises UnsupportedModelError when there is no such record, or the model is not a float one that
    `edgecv build` could have made.
    """
    flat = flatbuffer.read(model.path)
    check_quantizable(flat, str(model.path))
    recorded = batchnorm.read(model.path)
    lowering.lower_hard_swish(flat)
    ranges = expected_ranges(Graph(flat), recorded, str(model.path))
    notes = [f"ranges from {len(recorded)} batch norms, {DEVIATIONS:g} deviations wide"]
    prepared = Prepared(model, flat, ranges, notes)
    stages = WITHOUT_IMAGES._replace(dense_per_tensor=dense_per_tensor)
    return finish(prepared, [], path, output, QUIET, stages)


def expected_ranges(graph: Graph, recorded: Mapping[str, Normal], name: str) -> dict[str, Range]:
    """The range to quantize each activation to, by its name, as its batch norms let one expect.

    Messages call the model `name`.
    """
    names = graph.unique_names()
    expected = tables(graph, recorded, name)
    return refined(graph, {names[t]: table.range(DEVIATIONS) for t, table in expected.items()})
