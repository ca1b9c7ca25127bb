"""The constraints of operators on the Edge TPU, one function for each.

Its docstring is what the user reads where it does not hold, and what `edgecv coral rules` prints:
the reason, what to do, and on a line of their own the grade and the source of the rule.
"""

import math
from typing import Any, NamedTuple

import numpy as np

from edgecv.coral.rule_tables import costs
from edgecv.tflite.graph import Graph, OperatorT, indices

BYTES = ("int8", "uint8")
POINTS = 32_768  # of a map whose mean was refused; 33 x 33 was taken
SOFTMAX_LENGTH = 16_000
LARGE_CONCATENATION = 800_000  # elements; 60 x 152 x 90 was refused
OUTPUTS = 100_000  # of a fully connected layer


class Node(NamedTuple):
    """An operator in its graph."""

    graph: Graph
    operator: OperatorT

    @property
    def code(self) -> str:
        """Its name in the schema."""
        return self.graph.code(self.operator)

    @property
    def inputs(self) -> list[int]:
        """Its inputs that are there, constants among them."""
        return [index for index in indices(self.operator.inputs) if index >= 0]

    @property
    def outputs(self) -> list[int]:
        """Its outputs."""
        return indices(self.operator.outputs)

    @property
    def edges(self) -> list[int]:
        """The tensors read and written at run time: no constants, no states."""
        return [
            tensor
            for tensor in (*self.inputs, *self.outputs)
            if not self.graph.is_constant(tensor) and not self.graph.tensors[tensor].isVariable
        ]

    def option(self, name: str, default: Any = 0) -> Any:
        """One of its options, or the default where it has none."""
        return getattr(self.operator.builtinOptions, name, default)

    def shape(self, place: int = 0) -> tuple[int, ...]:
        """The shape of an input; () where there is no such input."""
        return self.graph.shape(self.inputs[place]) if place < len(self.inputs) else ()

    @property
    def output_shape(self) -> tuple[int, ...]:
        """The shape of the first output."""
        return self.graph.shape(self.outputs[0]) if self.outputs else ()

    def axes(self, place: int = 1) -> list[int]:
        """A constant input that lists axes, each counted from the front; empty if unknown."""
        values = self.graph.constant(self.inputs[place]) if place < len(self.inputs) else None
        rank = len(self.shape())
        if values is None or not np.issubdtype(values.dtype, np.integer):
            return []
        return [int(axis) % rank if rank else 0 for axis in values.ravel()]


def eight_bits(node: Node) -> bool:
    """Works on numbers that are not 8-bit integers.

    Quantize the whole model to int8; let it begin and end in uint8 or int8: --output-type uint8.

    documented: coral.ai/docs/edgetpu/models-intro, and 'unsupported data type' in compiler logs
    """
    return all(node.graph.dtype(edge) in BYTES for edge in node.edges)


def three_axes(node: Node) -> bool:
    """Has a tensor with more than three axes that are not 1 in front.

    Keep to [1, height, width, channels].

    documented: coral.ai/docs/edgetpu/models-intro, google-coral/edgetpu#75, #274
    """
    return all(math.prod(node.graph.shape(edge)[:-3]) == 1 for edge in node.edges)


def constant_parameters(node: Node) -> bool:
    """Has weights or a bias that are computed while the model runs.

    Freeze them before converting.

    documented: coral.ai/docs/edgetpu/models-intro, and 'not constant at compile-time' in compiler
    logs
    """
    return all(node.graph.is_constant(tensor) for tensor in node.inputs[1:3])


def no_fused_activation(node: Node) -> bool:
    """Has an activation fused into it.

    Put the activation before it, behind a convolution.

    documented: coral.ai/docs/edgetpu/models-intro
    """
    return node.graph.fused(node.operator) == "NONE"


def one_dilation(node: Node) -> bool:
    """Is dilated differently in height and width.

    Use the same dilation for both.

    documented: coral.ai/docs/edgetpu/models-intro
    """
    height, width = (max(1, int(node.option(f"dilation{axis}Factor"))) for axis in "HW")
    return height == width


def one_group(node: Node) -> bool:
    """Is a convolution of several groups.

    Use one group, or a depthwise convolution.

    reported: google-coral/edgetpu#631; converters write them as CONV_2D version 6
    """
    return node.shape()[-1:] == node.shape(1)[-1:]


def zero_constant_of_two(node: Node) -> bool:
    """Concatenates a constant that is not all zeros, or more than one tensor with it.

    Compute what is constant outside of the model.

    documented: coral.ai/docs/edgetpu/models-intro
    """
    constants = [tensor for tensor in node.inputs if node.graph.is_constant(tensor)]
    if not constants:
        return True
    values = [node.graph.constant(constant) for constant in constants]
    zeros = not any(bool(np.any(value)) for value in values if value is not None)
    return zeros and len(node.inputs) == 2


def default_weights(node: Node) -> bool:
    """Has its weights in a shuffled format.

    Convert it without optimizations for a special runtime.

    documented: coral.ai/docs/edgetpu/models-intro
    """
    return not node.option("weightsFormat")


def flat_output(node: Node) -> bool:
    """Gives more than one axis of numbers.

    Give it two axes, [1, channels], or use a 1x1 convolution.

    documented: coral.ai/docs/edgetpu/models-intro; 'Operation version not supported' in a compiler
    log
    """
    return math.prod(node.output_shape[:-1]) == 1 and not node.option("keepNumDims", False)


def one_weight_scale(node: Node) -> bool:
    """Has a scale for each output of a fully connected layer, as converters write since 2024.

    Quantize for the Edge TPU: --target coral.

    unverified: a converter change of 2024; tensorflow#73946 is open, and nobody reports what
    compiler 16 does
    """
    if len(node.inputs) < 2 or node.graph.dtype(node.inputs[1]) != "int8":
        return True
    grid = node.graph.tensors[node.inputs[1]].quantization
    return grid is None or grid.scale is None or len(grid.scale) <= 1


def batch_stays(node: Node) -> bool:
    """Reduces the batch.

    Reduce height, width or channels only.

    documented: coral.ai/docs/edgetpu/models-intro
    """
    return len(node.shape()) < 2 or 0 not in node.axes()


def depth_of_fours(node: Node) -> bool:
    """Averages over channels whose number is no multiple of 4.

    Make their number a multiple of 4.

    documented: coral.ai/docs/edgetpu/models-intro
    """
    rank, channels = len(node.shape()), node.shape()[-1:]
    return rank - 1 not in node.axes() or all(channel % 4 == 0 for channel in channels)


def mean_of_a_small_map(node: Node) -> bool:
    """Averages over a map as large as those that the compiler refused.

    Pool it in two steps, or lower the resolution.

    reported: google-coral/edgetpu#183 (256x256x32), #461 (256x128x3)
    """
    return math.prod(node.shape()[1:-1]) < POINTS


def not_along_batch(node: Node) -> bool:
    """Packs along the batch.

    Pack along another axis.

    documented: coral.ai/docs/edgetpu/models-intro
    """
    return int(node.option("axis")) != 0


def not_split_along_batch(node: Node) -> bool:
    """Splits the batch.

    Split along another axis.

    unverified: an older copy of coral.ai/docs/edgetpu/models-intro
    """
    values = node.graph.constant(node.inputs[0]) if node.inputs else None
    return values is None or values.size != 1 or int(values.ravel()[0]) != 0


def batch_not_padded(node: Node) -> bool:
    """Pads the batch.

    Pad height, width or channels only.

    documented: coral.ai/docs/edgetpu/models-intro
    """
    values = node.graph.constant(node.inputs[1]) if len(node.inputs) > 1 else None
    return values is None or len(node.shape()) < 4 or not np.any(values.ravel()[:2])


def one_slope_a_channel(node: Node) -> bool:
    """Has slopes for every pixel.

    Share them: PReLU(shared_axes=[1, 2]).

    documented: coral.ai/docs/edgetpu/models-intro
    """
    return math.prod(node.shape(1)[:-1]) == 1


def not_from_a_point(node: Node) -> bool:
    """Enlarges a single pixel, which the compiler refused.

    Leave the resizing out: multiply or add, which broadcast.

    compiled: compiled files of google-coral/test_data (DeepLab: 1x1 to 33x33)
    """
    return math.prod(node.shape()[1:-1]) > 1 or math.prod(node.output_shape[1:-1]) == 1


def output_fits(node: Node) -> bool:
    """Makes a map that is larger than the memory for activations.

    End the model before it, and resize outside.

    compiled: compiled files of google-coral/test_data (DeepLab: 33x33 to 513x513x19)
    """
    return math.prod(node.output_shape) <= int(costs()["cache"]["activation_bytes"])


def one_softmax(node: Node) -> bool:
    """Is a softmax over more than 16,000 numbers, or over several rows of them.

    End the model at the logits.

    documented: an older copy of coral.ai/docs/edgetpu/models-intro
    """
    shape = node.shape()
    return math.prod(shape[:-1]) == 1 and math.prod(shape) <= SOFTMAX_LENGTH


def leading_ones(node: Node) -> bool:
    """Removes an axis that is not in front.

    Use a reshape, or leave the axis.

    documented: an older copy of coral.ai/docs/edgetpu/models-intro
    """
    shape = node.shape()
    kept = shape[len(shape) - len(node.output_shape) :]
    return kept == node.output_shape


def plain_slice(node: Node) -> bool:
    """Takes every n-th element, or adds axes.

    Slice with strides of 1.

    documented: an older copy of coral.ai/docs/edgetpu/models-intro
    """
    strides = node.graph.constant(node.inputs[3]) if len(node.inputs) > 3 else None
    masked = node.option("ellipsisMask") or node.option("newAxisMask")
    return not masked and strides is not None and bool(np.all(strides == 1))


def large_concatenation(node: Node) -> bool:
    """Joins tensors as large as those that the compiler refused.

    Lower the resolution if the compiler leaves it on the processor.

    reported: google-coral/edgetpu#309 (60x152x90)
    """
    return math.prod(node.output_shape) < LARGE_CONCATENATION


def flattened_fours(node: Node) -> bool:
    """Flattens channels whose number is no multiple of 4, which costs a matrix of permutations.

    Use a global average pooling, or a multiple of 4 channels.

    reported: one compiler log (23.40 MiB for 4,860 numbers)
    """
    shape, output = node.shape(), node.output_shape
    flat = math.prod(shape) == math.prod(output[-1:])
    return not flat or len(shape) < 4 or math.prod(shape[1:3]) == 1 or shape[-1] % 4 == 0


def terms_without_padding(node: Node) -> bool:
    """Adds a map that was padded just before, which was seen to break the mapping.

    Pad inside of a convolution: padding="same".

    reported: google-coral/edgetpu#690
    """
    if not node.graph.uses("PAD"):
        return True
    pads = [operator for operator in node.graph.operators if node.graph.code(operator) == "PAD"]
    padded = {int(tensor) for operator in pads for tensor in operator.outputs}
    return padded.isdisjoint(node.inputs)


def precision_of_resizing(node: Node) -> bool:  # noqa: ARG001
    """Resizes, which the compiler leaves on the processor where it would lose precision.

    Look at the compiler's log; resize outside of the model if it does.

    documented: coral.ai/docs/edgetpu/models-intro, google-coral/edgetpu#31
    """
    return False


def transposing(node: Node) -> bool:  # noqa: ARG001
    """Transposes, which compilers before 16 refuse, and this one often does.

    Keep to [1, height, width, channels] throughout.

    reported: google-coral/edgetpu#193, #242, #433
    """
    return False


def many_outputs(node: Node) -> bool:
    """Has as many outputs as a layer that did not compile.

    Split it into several layers.

    documented: libcoral CHANGES (split_fc)
    """
    return math.prod(node.output_shape) < OUTPUTS


def transposed_convolution(node: Node) -> bool:  # noqa: ARG001
    """Is a transposed convolution, which several people found left on the processor.

    Use a resizing and a convolution.

    reported: google-coral/edgetpu#684, #686, #845
    """
    return False
