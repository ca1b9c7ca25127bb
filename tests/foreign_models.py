"""Models as other people's tools write them: other scales of pixels, TFLite's standard metadata."""

import cv2
import flatbuffers
import numpy as np

from edgecv.artifacts import CENTERED, TFLiteModel
from edgecv.tflite import flatbuffer
from edgecv.tflite.graph import Graph
from tests.foreign_files import Network


def expecting(model, normalization, path):
    """The same float function for pixels of another scale: its first weights take that in."""
    flat = flatbuffer.read(model.path)
    graph = Graph(flat)
    first = graph.operators[0]
    weights, bias = (graph.constant(int(each)).astype(float) for each in first.inputs[1:])
    mean, std = np.array(normalization)
    bias += (weights * ((mean - 127.5) / 127.5)).sum((1, 2, 3))
    inputs = [weights * (std / 127.5), bias]
    first.inputs = np.array(
        [first.inputs[0], *(graph.add_constant(each.astype(np.float32), "") for each in inputs)],
        np.int32,
    )
    return TFLiteModel(flatbuffer.write(flat, path), "float32", normalization)


def declared(model, mean, std, path, labels_file="", stats=False):
    """The model with TFLite's own metadata, as other tools write them (metadata_schema.fbs)."""
    flat = flatbuffer.read(model.path)
    entry, buffer = flatbuffer.schema().MetadataT(), flatbuffer.schema().BufferT()
    buffer.data = np.frombuffer(standard_metadata(mean, std, labels_file, stats), np.uint8)
    flat.buffers.append(buffer)
    entry.name, entry.buffer = b"TFLITE_METADATA", len(flat.buffers) - 1
    flat.metadata = [*(flat.metadata or []), entry]
    return flatbuffer.write(flat, path)


def standard_metadata(mean, std, labels_file="", stats=False):
    """The bytes of the metadata's own flatbuffer."""
    builder = flatbuffers.Builder()

    def floats(values):
        builder.StartVector(4, len(values), 4)
        for each in reversed(values):
            builder.PrependFloat32(each)
        return builder.EndVector()

    def table(count, **slots):
        builder.StartObject(count)
        for slot, (add, value) in slots.items():
            add(int(slot[1:]), value, 0)
        return builder.EndObject()

    def tables(offset):
        builder.StartVector(4, 1, 4)
        builder.PrependUOffsetTRelative(offset)
        return builder.EndVector()

    offset, byte = builder.PrependUOffsetTRelativeSlot, builder.PrependUint8Slot
    stds, means = floats(std), floats(mean)
    options = table(2, f0=(offset, means), f1=(offset, stds))
    units = tables(table(2, f1=(offset, options), f0=(byte, 1)))
    limits = table(2, f0=(offset, floats([255.0])), f1=(offset, floats([0.0]))) if stats else 0
    image = tables(table(7, f4=(offset, units), **({"f5": (offset, limits)} if stats else {})))
    name = builder.CreateString(labels_file)
    files = tables(table(5, f0=(offset, name), f2=(byte, 2)))
    scores = tables(table(7, **({"f6": (offset, files)} if labels_file else {})))
    subgraph = table(9, f2=(offset, image), f3=(offset, scores))
    root = table(8, f3=(offset, tables(subgraph)))
    builder.Finish(root, b"M001")
    return bytes(builder.Output())


CENTERS = (-0.6, 0.0, 0.6)  # brightness of the classes, in [-1, 1]
BRIGHTNESS = ("dark", "medium", "bright")


def brightness(
    normalization=CENTERED, grid=None, shape=(12, 16, 3), ends="softmax", with_operators=False
):
    """A classifier of brightness that takes pixels so normalized, or on an integer grid.

    `ends` is softmax, logits, sigmoid (dark or bright) or embedding. With operators, it normalizes
    pixels of 0..255 itself.
    """
    network = Network((1, *shape))
    if grid:
        stored = network.graph.tensors[network.image]
        parameters = flatbuffer.schema().QuantizationParametersT()
        parameters.scale = np.array([grid.scale], np.float32)
        parameters.zeroPoint = np.array([grid.zero_point], np.int64)
        stored.quantization = parameters
        stored.type = getattr(flatbuffer.schema().TensorType, grid.dtype.upper())
        network.then("DEQUANTIZE", (1, *shape), kind="DequantizeOptions")
    mean, std = (np.array(each[: shape[2]], np.float32) for each in normalization)
    if with_operators:
        for code, kind, values in (
            ("MUL", "MulOptions", 1 / std),
            ("SUB", "SubOptions", mean / std),
        ):
            network.then(code, (1, *shape), network.constant(values, "float32"), kind=kind)
    share = std / 127.5 / shape[2]
    weights = network.constant(share.reshape(1, 1, 1, -1), "float32")
    bias = network.constant([((mean - 127.5) / 127.5).mean()], "float32")
    gray = (1, *shape[:2], 1)
    options = {"kind": "Conv2DOptions", "strideH": 1, "strideW": 1}
    network.then("CONV_2D", gray, weights, bias, **options).mean()
    return _scored(network, ends).done()


def _scored(network, ends):
    """What a brightness in [-1, 1] becomes at the end of a model."""
    centers = np.array(CENTERS if ends != "sigmoid" else [0.5], np.float32)[:, np.newaxis]
    gain = 30.0
    weights = network.constant(2 * gain * centers, "float32")
    offset = -gain * centers[:, 0] ** 2 if ends != "sigmoid" else np.zeros(1)
    shape = (1, len(centers))
    bias = network.constant(offset, "float32")
    network.then("FULLY_CONNECTED", shape, weights, bias, kind="FullyConnectedOptions")
    if ends == "softmax":
        network.softmax()
    elif ends == "sigmoid":
        network.then("LOGISTIC", shape)
    elif ends == "embedding":
        network.then("L2_NORMALIZATION", shape, kind="L2NormOptions")
    return network


def scenes(count, shape=(24, 32), seed=1):
    """RGB images of the three classes in turn, some of them hard, and their labels."""
    random = np.random.default_rng(seed)
    labels = np.arange(count) % 3
    levels = 127.5 + 127.5 * (np.array(CENTERS)[labels] + random.normal(0, 0.15, count))
    noise = random.normal(0, 20, (count, *shape, 3))
    images = np.clip(levels[:, None, None, None] + noise, 0, 255).astype(np.uint8)
    return images, labels


def scene_folder(folder, count=30, classes=BRIGHTNESS, shape=(24, 32)):
    """The scenes as files in class folders."""
    images, labels = scenes(count, shape)
    for number, (image, label) in enumerate(zip(images, labels, strict=True)):
        if BRIGHTNESS[label] in classes:
            file = folder / BRIGHTNESS[label] / f"{number}.png"
            file.parent.mkdir(parents=True, exist_ok=True)
            cv2.imwrite(str(file), image[..., ::-1])
    return folder
