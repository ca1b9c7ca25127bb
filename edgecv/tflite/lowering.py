"""Hard-swish and hard-sigmoid as operators that int8 kernels have, the float function unchanged.

HARD_SWISH(x) becomes ADD(x, 3) with a fused RELU6, times x. That is six times too much, and
the 1/6 goes into the weights of whatever reads it. So what is stored is a true value times a
factor. Linear operators hand factors on or, where they have weights, take them in; what can do
neither gets the true value back from a MUL by the factor's inverse.
"""

from collections import Counter
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from edgecv.tflite.flatbuffer import ModelT, schema
from edgecv.tflite.graph import Graph, OperatorT

HOMOGENEOUS = {  # f(k * x) = k * f(x) for every k > 0, in their first input
    "AVERAGE_POOL_2D",
    "DEPTH_TO_SPACE",
    "EXPAND_DIMS",
    "LEAKY_RELU",
    "MAX_POOL_2D",
    "MEAN",
    "PAD",
    "RELU",
    "RESHAPE",
    "RESIZE_BILINEAR",
    "RESIZE_NEAREST_NEIGHBOR",
    "SLICE",
    "SPACE_TO_DEPTH",
    "SQUEEZE",
    "STRIDED_SLICE",
    "SUM",
    "TRANSPOSE",
}
HOMOGENEOUS_ACTIVATIONS = {"NONE", "RELU"}


def lower_hard_swish(model: ModelT) -> int:
    """Rewrite each hard-swish and each MUL by a constant in place; returns how many there were.

    A constant that no weights can take in stays a MUL.
    """
    graph = Graph(model)
    count = sum(
        graph.code(operator) == "HARD_SWISH" or _scaled_input(graph, operator) is not None
        for operator in graph.operators
    )
    if count:
        _Lowering(graph).run()
        graph.tidy()
    return count


class _Value(NamedTuple):
    """Where a tensor of the old graph is kept in the new one: its true value times `factor`."""

    tensor: int
    factor: float


class _Lowering:
    """One pass over a graph's operators that builds their new list."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.values: dict[int, _Value] = {}  # by tensor of the old graph; itself when absent
        self.undone: dict[_Value, int] = {}
        self.constants: dict[tuple[int, float], int] = {}
        self.three = -1
        self.operators: list[OperatorT] = []
        self.makers: dict[int, OperatorT] = {}
        self.reads: Counter[int] = Counter()  # by operators built so far

    def run(self) -> None:
        """Build every operator anew, then give the model's outputs their true values."""
        for operator in self.graph.operators:
            rule = RULES.get(self.graph.code(operator), _Lowering.from_true_values)
            rule(self, operator)
        outputs = [self.true(int(tensor)) for tensor in self.graph.subgraph.outputs]
        self.graph.subgraph.outputs = np.array(outputs, np.int32)
        self.graph.subgraph.operators = self.operators

    def value(self, tensor: int) -> _Value:
        """Where a tensor of the old graph is kept."""
        return self.values.get(tensor, _Value(tensor, 1.0))

    def emit(self, operator: OperatorT, inputs: list[int], factor: float = 1.0) -> None:
        """Append an operator that reads `inputs`; its outputs hold true values times `factor`."""
        operator.inputs = np.array(inputs, np.int32)
        self.operators.append(operator)
        self.reads.update(inputs)
        for output in map(int, operator.outputs):
            self.makers[output] = operator
            self.values[output] = _Value(output, factor)

    def true(self, tensor: int) -> int:
        """A tensor that holds the true value of one of the old graph."""
        value = self.value(tensor)
        if value.factor == 1.0:
            return value.tensor
        if value not in self.undone:
            restored = self.graph.add_activation(tensor, f"{self.graph.name(tensor)}/unscaled")
            inverse = self.scalar(1.0 / value.factor)
            options = schema().MulOptionsT()
            multiply = self.graph.new_operator("MUL", [], [restored], options)
            self.emit(multiply, [value.tensor, inverse])
            self.undone[value] = restored
        return self.undone[value]

    def scalar(self, value: float) -> int:
        """A constant tensor without dimensions."""
        return self.graph.add_constant(np.float32(value).reshape(()), f"constant_{value:g}")

    def is_weights(self, tensor: int) -> bool:
        """Whether a tensor is a float constant, which can be scaled."""
        return self.graph.dtype(tensor) == "float32" and self.graph.is_constant(tensor)

    def scaled(self, constant: int, scale: float) -> int:
        """A float constant times `scale`, made once however many operators ask for it."""
        key = (constant, scale)
        if key not in self.constants:
            values = np.asarray(self.graph.constant(constant), np.float32)
            name = f"{self.graph.name(constant)}/scaled"
            self.constants[key] = self.graph.add_constant(values * np.float32(scale), name)
        return self.constants[key]

    def from_true_values(self, operator: OperatorT) -> None:
        """An operator of any kind, which takes the true values of its inputs."""
        self.emit(operator, [self.true(int(tensor)) for tensor in operator.inputs])

    def hard_swish(self, operator: OperatorT) -> None:
        """HARD_SWISH(x) as x * RELU6(x + 3), six times as large."""
        x = self.true(int(operator.inputs[0]))
        if self.three < 0:
            self.three = self.scalar(3.0)
        output = int(operator.outputs[0])
        gate = self.graph.add_activation(output, f"{self.graph.name(output)}/gate")
        options = schema().AddOptionsT()
        options.fusedActivationFunction = schema().ActivationFunctionType.RELU6
        self.emit(self.graph.new_operator("ADD", [], [gate], options), [x, self.three])
        multiply = self.graph.new_operator("MUL", [], [output], schema().MulOptionsT())
        self.emit(multiply, [x, gate], 6.0)

    def multiply(self, operator: OperatorT) -> None:
        """MUL: by a positive constant it vanishes into the factor, else factors multiply."""
        scaled = _scaled_input(self.graph, operator)
        if scaled:
            value = self.value(scaled[0])
            self.values[int(operator.outputs[0])] = value._replace(factor=value.factor / scaled[1])
        elif self.graph.fused(operator) in HOMOGENEOUS_ACTIVATIONS:
            a, b = (self.value(int(tensor)) for tensor in operator.inputs)
            self.emit(operator, [a.tensor, b.tensor], a.factor * b.factor)
        else:
            self.from_true_values(operator)

    def weighted(self, operator: OperatorT) -> None:
        """A convolution or fully connected layer: its weights take the input's factor in."""
        value = self.value(int(operator.inputs[0]))
        weights, *bias = (int(tensor) for tensor in operator.inputs[1:])
        if value.factor == 1.0 or not self.is_weights(weights):
            self.from_true_values(operator)
        else:
            self.emit(operator, [value.tensor, self.scaled(weights, 1 / value.factor), *bias])

    def homogeneous(self, operator: OperatorT) -> None:
        """An operator that hands its first input's factor on."""
        value = self.value(int(operator.inputs[0]))
        if self.graph.fused(operator) in HOMOGENEOUS_ACTIVATIONS:
            rest = [int(tensor) for tensor in operator.inputs[1:]]
            self.emit(operator, [value.tensor, *rest], value.factor)
        else:
            self.from_true_values(operator)

    def same_factor(self, operator: OperatorT) -> None:
        """ADD, SUB or CONCATENATION: one factor for all inputs, which the output carries too."""
        inputs = [int(tensor) for tensor in operator.inputs]
        factors = [self.value(tensor).factor for tensor in inputs]
        wanted = next((factor for factor in factors if factor != 1.0), 1.0)
        linear = self.graph.fused(operator) in HOMOGENEOUS_ACTIVATIONS
        if linear and all(self.can_carry(tensor, wanted) for tensor in inputs):
            self.emit(operator, [self.carrying(tensor, wanted) for tensor in inputs], wanted)
        else:
            self.from_true_values(operator)

    def can_carry(self, tensor: int, factor: float) -> bool:
        """Whether a tensor has this factor, or can be given it without a new operator."""
        value = self.value(tensor)
        if value.factor == factor or self.is_weights(tensor):
            return True
        maker = self.makers.get(value.tensor)
        return (
            maker is not None
            and RULES.get(self.graph.code(maker)) is _Lowering.weighted
            and self.graph.fused(maker) in HOMOGENEOUS_ACTIVATIONS
            and not self.reads[value.tensor]
            and all(self.is_weights(int(tensor)) for tensor in maker.inputs[1:])
        )

    def carrying(self, tensor: int, factor: float) -> int:
        """A tensor's values times `factor`, by scaling a constant or the weights behind it."""
        value = self.value(tensor)
        if value.factor == factor:
            return value.tensor
        scale = factor / value.factor
        if self.is_weights(tensor):
            return self.scaled(tensor, scale)
        maker = self.makers[value.tensor]
        for place in range(1, len(maker.inputs)):
            maker.inputs[place] = self.scaled(int(maker.inputs[place]), scale)
        for old, other in self.values.items():
            if other.tensor == value.tensor:
                self.values[old] = other._replace(factor=other.factor * scale)
        return value.tensor


def _scaled_input(graph: Graph, operator: OperatorT) -> tuple[int, float] | None:
    """The tensor and the positive constant that a plain MUL multiplies, if that is what it is."""
    if graph.code(operator) != "MUL" or graph.fused(operator) != "NONE":
        return None
    for tensor, other in (operator.inputs, operator.inputs[::-1]):
        values = graph.constant(int(other))
        if values is None or values.size != 1 or values.dtype != np.float32:
            continue
        if graph.shape(int(tensor)) == graph.shape(int(operator.outputs[0])) and values.item() > 0:
            return int(tensor), values.item()
    return None


RULES: dict[str, Callable[[_Lowering, OperatorT], None]] = {
    "HARD_SWISH": _Lowering.hard_swish,
    "MUL": _Lowering.multiply,
    "ADD": _Lowering.same_factor,
    "SUB": _Lowering.same_factor,
    "CONCATENATION": _Lowering.same_factor,
    "CONV_2D": _Lowering.weighted,
    "DEPTHWISE_CONV_2D": _Lowering.weighted,
    "FULLY_CONNECTED": _Lowering.weighted,
    **dict.fromkeys(HOMOGENEOUS, _Lowering.homogeneous),
}
