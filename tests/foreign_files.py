"""Float .tflite files as other tools write them, made operator by operator, without TensorFlow."""

import numpy as np

from edgecv.tflite import flatbuffer
from edgecv.tflite.graph import Graph

CLASSES = 3


class Network:
    """A float model that grows at its end."""

    def __init__(self, shape):
        model = flatbuffer.schema().ModelT()
        model.version, model.operatorCodes = 3, []
        model.buffers, model.subgraphs = (
            [flatbuffer.schema().BufferT()],
            [flatbuffer.schema().SubGraphT()],
        )
        self.graph = Graph(model)
        self.graph.subgraph.tensors, self.graph.subgraph.operators = [], []
        self.random = np.random.default_rng(1)
        self.at = self.image = self.activation(shape, name="image")

    def activation(self, shape, dtype="float32", name=""):
        values = np.zeros(1, dtype)
        place = self.graph.add_constant(values, name or f"t{len(self.graph.tensors)}")
        tensor = self.graph.tensors[place]
        tensor.shape, tensor.buffer = np.array(shape, np.int32), 0
        return place

    def constant(self, values, dtype="int32"):
        return self.graph.add_constant(np.asarray(values, dtype), f"c{len(self.graph.tensors)}")

    def weights(self, *shape):
        return self.constant(self.random.normal(0, 0.3, shape), "float32")

    def then(self, code, shape, *others, kind=None, source=None, dtype="float32", **options):
        """An operator on what is at the end, or on `source`; it makes a tensor of that shape."""
        made = getattr(flatbuffer.schema(), f"{kind}T")() if kind else None
        for name, value in options.items():
            setattr(made, name, value)
        output = self.activation(shape, dtype)
        inputs = [self.at if source is None else source, *others]
        made = made or flatbuffer.schema().AddOptionsT()
        operator = self.graph.new_operator(code, inputs, [output], made)
        if kind is None:
            operator.builtinOptions, operator.builtinOptionsType = None, 0
        self.graph.subgraph.operators.append(operator)
        self.at = output
        return self

    def conv(self, channels):
        batch, height, width, before = self.graph.shape(self.at)
        filters, bias = self.weights(channels, 3, 3, before), self.weights(channels)
        shape = (batch, -(-height // 2), -(-width // 2), channels)
        options = {"strideH": 2, "strideW": 2, "fusedActivationFunction": 1}
        return self.then("CONV_2D", shape, filters, bias, kind="Conv2DOptions", **options)

    def dense(self, classes=CLASSES):
        batch, width = self.graph.shape(self.at)
        weights, bias = self.weights(classes, width), self.weights(classes)
        kind = "FullyConnectedOptions"
        return self.then("FULLY_CONNECTED", (batch, classes), weights, bias, kind=kind)

    def softmax(self):
        shape = self.graph.shape(self.at)
        return self.then("SOFTMAX", shape, kind="SoftmaxOptions", beta=1.0)

    def mean(self):
        batch, _, _, channels = self.graph.shape(self.at)
        return self.then("MEAN", (batch, channels), self.constant([1, 2]), kind="ReducerOptions")

    def done(self):
        """The model; its input is the image, its output what is at the end."""
        self.graph.subgraph.inputs = np.array([self.image], np.int32)
        self.graph.subgraph.outputs = np.array([self.at], np.int32)
        return self.graph.model


def classifier(side=16):
    """A convolution, the mean, scores: float, batch 1, pixels as they are fed."""
    return Network((1, side, side, 3)).conv(8).mean().dense().softmax().done()


def moved_outside(data, behind=b"", shared=False):
    """A .tflite file with its constants behind the flatbuffer, each at a multiple of 16.

    `behind` follows them. With `shared`, a second buffer takes the place of the last constant.
    """
    model = flatbuffer.parse(data)
    held = [each for each in model.buffers if each.data is not None and len(each.data)]
    contents = [bytes(each.data) for each in held]
    for each in held:
        each.data, each.offset, each.size = None, 2, 1
    if shared:
        model.buffers.append(held[-1])
    start = len(flatbuffer.serialized(model))
    file = bytearray()
    for each, content in zip(held, contents, strict=True):
        file += bytes(-(start + len(file)) % 16)
        each.offset, each.size = start + len(file), len(content)
        file += content
    return flatbuffer.serialized(model) + bytes(file) + behind


def opened(model):
    """The model with an open batch in every activation's signature, as converters leave it."""
    graph = Graph(model)
    for tensor in graph.activations():
        shape = graph.shape(tensor)
        if graph.dtype(tensor) != "int32" and shape:
            graph.tensors[tensor].shapeSignature = np.array([-1, *shape[1:]], np.int32)
    return model


def flattened(side=16):
    """A classifier that flattens by a shape it works out at run time, as of an open batch."""
    network = Network((1, side, side, 3)).conv(4)
    pixels = network.at
    size = int(np.prod(network.graph.shape(pixels)))
    numbers = [network.constant([each]) for each in (0, 1, 1)]
    network.then("SHAPE", (4,), kind="ShapeOptions", dtype="int32", outType=2)
    network.then("STRIDED_SLICE", (), *numbers, kind="StridedSliceOptions", dtype="int32")
    network.graph.operators[-1].builtinOptions.shrinkAxisMask = 1
    rest = network.constant(size)
    network.then("PACK", (2,), rest, kind="PackOptions", dtype="int32", valuesCount=2)
    shape, network.at = network.at, pixels
    network.then("RESHAPE", (1, size), shape, kind="ReshapeOptions")
    flat = opened(network.dense().softmax().done())
    graph = Graph(flat)
    reshape = next(each for each in graph.operators if graph.code(each) == "RESHAPE")
    output = graph.tensors[int(reshape.outputs[0])]
    output.shape, output.shapeSignature = np.array([1, 1], np.int32), np.array([-1, -1], np.int32)
    return flat
