"""The float .tflite that conversion would make of a network, but for the values of its weights.

The converter's own steps, on shapes: batch normalization is folded into the convolution before it,
ReLU and ReLU6 are fused, swish is two operators, hard-swish is lowered as by `tflite.lowering`.
`tests/test_shapes.py` holds this to files that were really converted.
"""

from collections.abc import Callable

import numpy as np

from edgecv.models.shapes import Layer, Network
from edgecv.tflite.graph import Graph, OperatorT, new_graph
from edgecv.tflite.schema import ModelT, schema

FUSED = {"relu": "RELU", "relu6": "RELU6", "hard_sigmoid": "RELU6"}  # times 6, which goes on


def float_model(network: Network) -> ModelT:
    """The converted network; its weights are zeros that take no memory until they are touched."""
    return _Conversion(network).run()


class _Conversion:
    """One pass over a network's layers."""

    def __init__(self, network: Network) -> None:
        self.network = network
        self.graph: Graph = new_graph()
        self.tensors: dict[str, int] = {}  # what each layer makes
        self.makers: dict[int, OperatorT] = {}
        self.constants: dict[str, int] = {}

    def run(self) -> ModelT:
        """Every layer as its operators, or as nothing of its own."""
        for layer in self.network.layers:
            self.tensors[layer.name] = RULES[layer.kind](self, layer)
        last = self.tensors[self.network.layers[-1].name]
        self.graph.tensors[last].name = b"scores"
        self.graph.subgraph.inputs = np.array([self.tensors["image"]], np.int32)
        self.graph.subgraph.outputs = np.array([last], np.int32)
        return self.graph.model

    def read(self, layer: Layer, place: int = 0) -> int:
        """The tensor of one of a layer's inputs."""
        return self.tensors[layer.inputs[place]]

    def emit(
        self,
        code: str,
        inputs: list[int],
        shape: tuple[int, ...],
        name: str,
        **options: object,
    ) -> int:
        """A new operator behind all others; returns the tensor that it makes."""
        output = self.graph.add_tensor(shape, "float32", name)
        made = getattr(schema(), OPTIONS[code])() if code in OPTIONS else None
        for key, value in options.items():
            setattr(made, key, value)
        operator = self.graph.new_operator(code, inputs, [output], made)
        self.graph.subgraph.operators.append(operator)
        self.makers[output] = operator
        return output

    def constant(self, name: str, values: object, dtype: str) -> int:
        """A small constant of that name, of which a model needs but one."""
        if name not in self.constants:
            self.constants[name] = self.graph.add_constant(np.array(values, dtype), name)
        return self.constants[name]

    def image(self, layer: Layer) -> int:
        return self.graph.add_tensor(layer.shape, "float32", layer.name)

    def same(self, layer: Layer) -> int:
        """Dropout, which inference leaves out."""
        return self.read(layer)

    def weighted(self, layer: Layer) -> int:
        """A convolution; its bias is its own or what batch normalization leaves."""
        source = self.read(layer)
        read, made = self.graph.shape(source)[-1], layer.shape[-1]
        depthwise = layer.kind == "DepthwiseConv2D"
        shape = (1, *layer.kernel, made) if depthwise else (made, *layer.kernel, read)
        weights = self.graph.add_zeros(shape, "float32", layer.name)
        bias = self.graph.add_zeros((made,), "float32", f"{layer.name}/bias")
        padding = getattr(schema().Padding, layer.padding.upper())
        options = {"padding": padding, "strideW": layer.stride, "strideH": layer.stride}
        code = "DEPTHWISE_CONV_2D" if depthwise else "CONV_2D"
        multiplier = {"depthMultiplier": 1} if depthwise else {}
        inputs = [source, weights, bias]
        return self.emit(code, inputs, layer.shape, layer.name, **options, **multiplier)

    def dense(self, layer: Layer) -> int:
        """A fully connected layer and its softmax."""
        source, classes = self.read(layer), layer.shape[-1]
        shape = (classes, self.graph.shape(source)[-1])
        weights = self.graph.add_zeros(shape, "float32", f"{layer.name}/kernel")
        bias = self.graph.add_zeros((classes,), "float32", f"{layer.name}/bias")
        inputs, name = [source, weights, bias], f"{layer.name}/MatMul"
        logits = self.emit("FULLY_CONNECTED", inputs, layer.shape, name)
        return self.emit("SOFTMAX", [logits], layer.shape, layer.name, beta=1.0)

    def renamed(self, layer: Layer) -> int:
        """The output of the operator before, which takes this layer in and gets its name."""
        tensor = self.read(layer)
        self.graph.tensors[tensor].name = layer.name.encode()
        return tensor

    def activation(self, layer: Layer) -> int:
        """Fused into the operator before, or operators of its own."""
        source, shape, name = self.read(layer), layer.shape, layer.name
        if layer.act in FUSED:
            kinds = schema().ActivationFunctionType
            options = self.makers[source].builtinOptions
            options.fusedActivationFunction = getattr(kinds, FUSED[layer.act])
            return self.renamed(layer)
        if layer.act == "softmax":
            return self.emit("SOFTMAX", [source], shape, name, beta=1.0)
        if layer.act == "hard_swish":
            three = self.constant("constant_3", 3, "float32")
            relu6 = schema().ActivationFunctionType.RELU6
            inputs, gate_name = [source, three], f"{name}/gate"
            gate = self.emit("ADD", inputs, shape, gate_name, fusedActivationFunction=relu6)
            return self.emit("MUL", [source, gate], shape, name)
        sigmoid = self.emit("LOGISTIC", [source], shape, name)
        if layer.act == "sigmoid":
            return sigmoid
        return self.emit("MUL", [source, sigmoid], shape, f"{name}/mul_1")

    def join(self, layer: Layer) -> int:
        """A sum, a product, or channels side by side."""
        code = {"Add": "ADD", "Multiply": "MUL"}.get(layer.kind, "CONCATENATION")
        inputs = [self.read(layer, place) for place in range(len(layer.inputs))]
        axis = {"axis": 3} if code == "CONCATENATION" else {}
        return self.emit(code, inputs, layer.shape, layer.name, **axis)

    def mean(self, layer: Layer) -> int:
        """A mean over height and width; over a single pixel, the converter leaves it out."""
        source, keepdims = self.read(layer), len(layer.shape) == 4
        if self.graph.shape(source) == layer.shape:
            return source
        axes = self.constant("reduction_indices", (1, 2), "int32")
        return self.emit("MEAN", [source, axes], layer.shape, layer.name, keepDims=keepdims)

    def max_pool(self, layer: Layer) -> int:
        height, width = layer.kernel
        window = {"filterHeight": height, "filterWidth": width}
        strides = {"strideH": layer.stride, "strideW": layer.stride}
        source, padding = [self.read(layer)], getattr(schema().Padding, layer.padding.upper())
        options = {"padding": padding, **window, **strides}
        return self.emit("MAX_POOL_2D", source, layer.shape, layer.name, **options)

    def zeros(self, layer: Layer) -> int:
        """Zeros around an image, as an operator of its own."""
        rows = ((0, 0), layer.zeros, layer.zeros, (0, 0))
        paddings = self.constant("paddings_{}_{}".format(*layer.zeros), rows, "int32")
        return self.emit("PAD", [self.read(layer), paddings], layer.shape, layer.name)

    def flatten(self, layer: Layer) -> int:
        shape = self.constant("shape", layer.shape, "int32")
        return self.emit("RESHAPE", [self.read(layer), shape], layer.shape, layer.name)


OPTIONS = {  # what the schema calls the options of each operator that has any
    "CONV_2D": "Conv2DOptionsT",
    "DEPTHWISE_CONV_2D": "DepthwiseConv2DOptionsT",
    "FULLY_CONNECTED": "FullyConnectedOptionsT",
    "SOFTMAX": "SoftmaxOptionsT",
    "ADD": "AddOptionsT",
    "MUL": "MulOptionsT",
    "CONCATENATION": "ConcatenationOptionsT",
    "MEAN": "ReducerOptionsT",
    "MAX_POOL_2D": "Pool2DOptionsT",
    "PAD": "PadOptionsT",
}
RULES: dict[str, Callable[[_Conversion, Layer], int]] = {
    "InputLayer": _Conversion.image,
    "Conv2D": _Conversion.weighted,
    "DepthwiseConv2D": _Conversion.weighted,
    "Dense": _Conversion.dense,
    "BatchNormalization": _Conversion.renamed,
    "ReLU": _Conversion.activation,
    "Activation": _Conversion.activation,
    "Add": _Conversion.join,
    "Multiply": _Conversion.join,
    "Concatenate": _Conversion.join,
    "GlobalAveragePooling2D": _Conversion.mean,
    "MaxPooling2D": _Conversion.max_pool,
    "ZeroPadding2D": _Conversion.zeros,
    "Dropout": _Conversion.same,
    "Flatten": _Conversion.flatten,
}
