"""Small int8 models made operator by operator, without TensorFlow: what the planner looks at."""

import numpy as np

from edgecv.tflite import flatbuffer
from edgecv.tflite.graph import Graph

VERSIONS = {"CONV_2D": 3, "DEPTHWISE_CONV_2D": 3, "FULLY_CONNECTED": 4, "MEAN": 2, "SOFTMAX": 2}


class Model:
    """A model that grows at its end; `at` is the tensor there."""

    def __init__(self, *shape, dtype="uint8"):
        model = flatbuffer.schema().ModelT()
        model.version, model.operatorCodes = 3, []
        model.buffers = [flatbuffer.schema().BufferT()]
        model.subgraphs = [flatbuffer.schema().SubGraphT()]
        self.graph = Graph(model)
        self.graph.subgraph.tensors, self.graph.subgraph.operators = [], []
        self.at = self.activation(shape, dtype, "image")
        self.inputs = [self.at]

    def activation(self, shape, dtype="int8", name=""):
        """A tensor that is made while the model runs."""
        constant = self.graph.add_constant(
            np.zeros(1, dtype), name or f"t{len(self.graph.tensors)}"
        )
        tensor = self.graph.tensors[constant]
        tensor.shape, tensor.buffer = np.array(shape, np.int32), 0
        return self.scaled(constant, 1)

    def scaled(self, tensor, scales, axis=0):
        """The tensor, with that many scales along an axis."""
        grid = flatbuffer.schema().QuantizationParametersT()
        grid.scale = np.full(scales, 0.1, np.float32)
        grid.zeroPoint, grid.quantizedDimension = np.zeros(scales, np.int64), axis
        self.graph.tensors[tensor].quantization = grid
        return tensor

    def constant(self, values, dtype, scales=0, axis=0):
        place = self.graph.add_constant(np.asarray(values, dtype), f"c{len(self.graph.tensors)}")
        return self.scaled(place, scales, axis) if scales else place

    def then(self, code, shape, *others, dtype="int8", version=None, source=None, **options):
        """An operator on what is at the end (or on `source`), and on other tensors."""
        output = self.activation(shape, dtype)
        kind = options.pop("kind", "")
        made = getattr(flatbuffer.schema(), f"{kind}T")() if kind else None
        for name, value in options.items():
            setattr(made, name, value)
        inputs = [self.at if source is None else source, *others]
        operator = (
            self.graph.new_operator(code, inputs, [output], made)
            if made
            else self.bare(code, inputs, output)
        )
        self.graph.subgraph.operators.append(operator)
        used = self.graph.model.operatorCodes[operator.opcodeIndex]
        used.version = version or VERSIONS.get(code, 1)
        self.at = output
        return self

    def bare(self, code, inputs, output):
        """An operator without options."""
        options = flatbuffer.schema().AddOptionsT()
        operator = self.graph.new_operator(code, inputs, [output], options)
        operator.builtinOptions, operator.builtinOptionsType = None, 0
        return operator

    def conv(self, out, kernel=1, code="CONV_2D", scales=None, **options):
        """A convolution with bias at stride 1, or a depthwise one."""
        *front, channels = self.graph.shape(self.at)
        depthwise = code == "DEPTHWISE_CONV_2D"
        shape = (1, kernel, kernel, out) if depthwise else (out, kernel, kernel, channels)
        kind = "DepthwiseConv2DOptions" if depthwise else "Conv2DOptions"
        weights = self.constant(np.ones(shape), "int8", scales or out, axis=3 * depthwise)
        bias = self.bias(out, scales or out)
        options = {"strideH": 1, "strideW": 1, "kind": kind, **options}
        if depthwise:
            options["depthMultiplier"] = 1
        return self.then(code, (*front, out), weights, bias, **options)

    def bias(self, out, scales):
        place = self.constant(np.zeros(out), "int32", scales)
        grid = self.graph.tensors[place].quantization
        grid.scale = grid.scale * np.float32(0.1)  # the input's times the weights'
        return place

    def dense(self, out, scales=1, **options):
        taps = self.graph.shape(self.at)[-1]
        weights = self.constant(np.ones((out, taps)), "int8", scales)
        bias = self.bias(out, scales)
        kind = "FullyConnectedOptions"
        return self.then("FULLY_CONNECTED", (1, out), weights, bias, kind=kind, **options)

    def mean(self, *axes):
        shape = self.graph.shape(self.at)
        kept = tuple(size for axis, size in enumerate(shape) if axis not in (axes or (1, 2)))
        return self.then(
            "MEAN", kept, self.constant(axes or (1, 2), "int32"), kind="ReducerOptions"
        )

    def softmax(self):
        self.then("SOFTMAX", self.graph.shape(self.at), kind="SoftmaxOptions", beta=1.0)
        grid = self.graph.tensors[self.at].quantization
        grid.scale, grid.zeroPoint = np.float32([1 / 256]), np.int64([-128])
        return self

    def quantize(self, dtype="int8"):
        return self.then("QUANTIZE", self.graph.shape(self.at), dtype=dtype)

    def done(self, *outputs):
        """The model, whole."""
        self.graph.subgraph.inputs = np.array(self.inputs, np.int32)
        self.graph.subgraph.outputs = np.array(outputs or [self.at], np.int32)
        return flatbuffer.parse(flatbuffer.serialized(self.graph.model))


def classifier(scales=1):
    """Bytes in, a convolution, a depthwise one, the mean, scores out: eight operators."""
    model = Model(1, 16, 16, 3).quantize().conv(16, 3)
    model.conv(16, 3, "DEPTHWISE_CONV_2D").conv(24).mean().dense(10, scales).softmax()
    return model.quantize("uint8").done()
