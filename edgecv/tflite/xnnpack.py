"""The limits of XNNPACK's delegate on int8 models: the ratios of scales that its kernels take.

tflite-runtime 2.14 has no XNNPACK for int8; its built-in kernels took every ratio from 2^-40 to
2^12 that was tried.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from edgecv.tflite.graph import Graph, OperatorT


class Limit(NamedTuple):
    """The ratios of scales that a kernel is for: from `least` on, below `end`."""

    least: float
    end: float
    product: bool = False  # both inputs' scales over the output's; else every input's alone
    refuses: bool = False  # beyond it the whole model is refused, not the operator alone


# ADD, SUB, MUL: VisitAddNode, VisitSubNode and VisitMulNode in TensorFlow's
# tensorflow/lite/delegates/xnnpack/xnnpack_delegate.cc, and the assertions of XNNPACK's
# src/microparams-init.c. Convolutions: "requantization scale is greater or equal to 256.0" in
# src/operators/convolution-nhwc.c and fully-connected-nc.c (75db3c09). QUANTIZE: VisitQuantizeNode.
# Tried on LiteRT 2.3.0, just within and just beyond: tests/test_xnnpack.py.
LIMITS = {
    "ADD": Limit(2**-10, 2**8),
    "SUB": Limit(2**-10, 2**8),
    "MUL": Limit(2**-16, 2**8, product=True),
    "QUANTIZE": Limit(2**-8, 2**7),
    "CONV_2D": Limit(0, 2**8, product=True, refuses=True),
    "DEPTHWISE_CONV_2D": Limit(0, 2**8, product=True, refuses=True),
    "FULLY_CONNECTED": Limit(0, 2**8, product=True, refuses=True),
}


class Excess(NamedTuple):
    """A ratio of scales that an operator's kernel is not for."""

    place: int  # of the operator
    ratio: float
    limit: Limit
    narrow: tuple[int, ...]  # the tensors of which wider ranges would do, the narrowest first

    @property
    def shortfall(self) -> float:
        """By how much one of the narrow tensors' ranges must grow at least."""
        low = self.ratio < self.limit.least
        return self.limit.least / self.ratio if low else self.ratio / self.limit.end

    def __str__(self) -> str:
        inputs = "product of the inputs' scales" if self.limit.product else "input scale"
        allowed = f"{self.limit.least:.2g} to {self.limit.end:g}"
        return f"{inputs} / output scale is {self.ratio:.2g}, {allowed} is allowed"


def excesses(graph: Graph) -> list[Excess]:
    """The ratios of scales beyond LIMITS, in the order the operators run."""
    return [
        excess
        for place, operator in enumerate(graph.operators)
        for excess in _excesses(graph, place, operator)
    ]


def scale(graph: Graph, tensor: int) -> float:
    """The largest scale of an int8 tensor; 0 for one that is stored otherwise."""
    parameters = graph.tensors[tensor].quantization
    if graph.dtype(tensor) != "int8" or parameters is None or parameters.scale is None:
        return 0.0
    return float(np.max(parameters.scale, initial=0.0))


def _excesses(graph: Graph, place: int, operator: OperatorT) -> Iterator[Excess]:
    limit = LIMITS.get(graph.code(operator))
    if limit is None or not len(operator.outputs):
        return
    inputs, output = [int(tensor) for tensor in operator.inputs[:2]], int(operator.outputs[0])
    scales = [scale(graph, tensor) for tensor in inputs]
    made = scale(graph, output)
    if not made or not all(scales):
        return
    terms = [(inputs, scales)] if limit.product else zip(([t] for t in inputs), scales, strict=True)
    for tensors, values in terms:
        ratio = float(np.prod(values)) / made
        if ratio < limit.least:
            narrow = sorted(tensors, key=lambda tensor: scale(graph, tensor))
            yield Excess(place, ratio, limit, tuple(narrow))
        elif ratio >= limit.end:
            yield Excess(place, ratio, limit, (output,))
