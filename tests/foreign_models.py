"""Models as other people's tools write them: other scales of pixels, TFLite's standard metadata."""

import flatbuffers
import numpy as np

from edgecv.artifacts import TFLiteModel
from edgecv.tflite import flatbuffer
from edgecv.tflite.graph import Graph


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
