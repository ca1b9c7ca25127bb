"""How many cycles the compiler would book for a model, by a fit to what it did book for twelve.

The Edge TPU is taken as 16 tiles in a square, each with 8 x 8 multiplications a cycle at best:
rows are filled up to whole tiles, channels to eights. 4 TOPS would be 4,096 multiply-accumulates a
cycle; the compiler books some 1,100 for convolutions and 140 for depthwise ones.
"""

from collections.abc import Iterable
from typing import NamedTuple

from edgecv.coral.layers import CONVOLUTION, DEPTHWISE, FULLY_CONNECTED, Layer, round_up
from edgecv.coral.rule_tables import costs

SIDE, ATOM = 4, 8
ELEMENTWISE = frozenset(
    {"ADD", "SUB", "MUL", "LOGISTIC", "TANH", "MAXIMUM", "MINIMUM", "PRELU", "SQUARED_DIFFERENCE"}
)


class Work(NamedTuple):
    """The work of a model's layers by kind: the features of the fit."""

    convolution: float = 0.0
    depthwise: float = 0.0
    elementwise: float = 0.0
    fully_connected: float = 0.0

    def cycles(self) -> float:
        """Cycles of all of it."""
        constants = costs()["cycles"]
        return float(sum(constants[name] * value for name, value in self._asdict().items()))


def work(layers: Iterable[Layer]) -> Work:
    """The work of these layers; pooling, concatenation and the like count as nothing."""
    sums = dict.fromkeys(Work._fields, 0.0)
    for layer in layers:
        kind = _kind(layer)
        if kind:
            sums[kind] += _amount(layer)
    return Work(**sums)


def _kind(layer: Layer) -> str:
    if layer.kind == FULLY_CONNECTED or (layer.kind == CONVOLUTION and _is_point(layer)):
        return "fully_connected"
    if layer.kind in ELEMENTWISE:
        return "elementwise"
    return {CONVOLUTION: "convolution", DEPTHWISE: "depthwise"}.get(layer.kind, "")


def _amount(layer: Layer) -> float:
    """Filter taps times eights of channels, on this many of the 16 tiles."""
    places = 1 if _is_point(layer) else round_up(layer.height, SIDE) * layer.width
    channels = round_up(layer.outputs, ATOM)
    if layer.kind in (CONVOLUTION, FULLY_CONNECTED):
        channels *= round_up(layer.inputs, ATOM)
    return places * layer.taps * channels / (SIDE * SIDE * ATOM * ATOM)


def _is_point(layer: Layer) -> bool:
    return layer.height == layer.width == 1
