"""Edge TPU packages that tests make, field by field: no compiler made them, no TPU runs them."""

import flatbuffers
import numpy as np
from flatbuffers import flexbuffers

from edgecv.tflite import flatbuffer

MADE_BY = "made by a test"


def table(builder, fields):
    """A table of (slot, kind, value); kinds are builder methods' names without their prefix."""
    builder.StartObject(1 + max([slot for slot, _, _ in fields], default=0))
    for slot, kind, value in fields:
        if kind == "Offset":
            builder.PrependUOffsetTRelativeSlot(slot, value, 0)
        else:
            getattr(builder, f"Prepend{kind}Slot")(slot, value, 0)
    return builder.EndObject()


def vector(builder, offsets):
    builder.StartVector(4, len(offsets), 4)
    for each in reversed(offsets):
        builder.PrependUOffsetTRelative(each)
    return builder.EndVector()


def executable(kind, parameters=0, instructions=(64,), scratch=0, cycles=0, dma=(), old_cycles=0):
    """The bytes of one; `dma` is (what: 0 output, 1 input, 2 parameters, 3 scratch; way; bytes)."""
    builder = flatbuffers.Builder(1024)
    chip = builder.CreateString("beagle")
    weights = builder.CreateByteVector(bytes(parameters))
    streams = [builder.CreateByteVector(bytes(each)) for each in instructions]
    chunks = vector(builder, [table(builder, [(0, "Offset", each)]) for each in streams])
    hints = []
    for what, way, size in dma:
        meta = table(builder, [(0, "Int16", what)])
        descriptor = table(builder, [(0, "Offset", meta), (2, "Int32", size)])
        hints.append(
            table(builder, [(0, "Uint8", 1), (1, "Offset", descriptor), (2, "Int16", way)])
        )
    hints.append(table(builder, [(0, "Uint8", 4)]))  # a fence
    together = table(builder, [(0, "Offset", vector(builder, hints))])
    name = builder.CreateString("image")
    layer = table(builder, [(0, "Offset", name), (1, "Int32", 768)])
    layers = vector(builder, [layer])
    fields = [(4, "Int32", scratch), (5, "Offset", chunks), (6, "Offset", weights)]
    fields += [(7, "Offset", together), (8, "Offset", layers), (10, "Offset", chip)]
    fields += [(11, "Int32", old_cycles), (12, "Int32", 4096), (13, "Int16", kind)]
    builder.Finish(  # the package alone has the mark; in its parts the compiler leaves zeros
        table(builder, [*fields, (16, "Int64", cycles)]), file_identifier=bytes(4)
    )
    return bytes(builder.Output())


def package(*executables, min_runtime=13, compiler=MADE_BY):
    builder = flatbuffers.Builder(1024)
    blobs = [builder.CreateString(each) for each in executables]
    builder.Finish(table(builder, [(0, "Offset", vector(builder, blobs))]))
    multiple = bytes(builder.Output())
    builder = flatbuffers.Builder(1024)
    inside = builder.CreateByteVector(multiple)
    words = builder.CreateString(compiler)
    fields = [(0, "Int32", min_runtime), (1, "Offset", inside), (4, "Offset", words)]
    builder.Finish(table(builder, fields), file_identifier=b"DWN1")
    return bytes(builder.Output())


def options(data):
    """A package in the FlexBuffer that an operator's options are."""
    builder = flexbuffers.Builder()
    with builder.Map():
        builder.Key("1")
        builder.Int(1)
        builder.Key("4")
        builder.String(NoText(data))
        builder.Key("5")
        builder.Int(0)
    return bytes(builder.Finish())


class NoText(str):
    """Bytes that are no text, which the FlexBuffer builder takes for a string, as packages are."""

    def __new__(cls, data):
        made = super().__new__(cls)
        made.data = data
        return made

    def encode(self, *_):
        return self.data


def cached(parameters=4096, **about):
    """The usual pair: one program fills the cache, one runs."""
    return package(
        executable(1, parameters),
        executable(2, 0, (5000, 3000), dma=((1, 0, 768), (0, 1, 12), (3, 1, 64)), **about),
    )


def put(data, operator):
    """Make an operator the one of a package."""
    operator.customOptions = np.frombuffer(options(data), np.uint8)


def compiled(*packages, left=()):
    """A .tflite as the compiler leaves it: a custom operator for each package, others after it."""
    from tests.coral_models import Model

    model = Model(1, 16, 16, 3)
    for each in packages:
        model.then("CUSTOM", (1, 10), dtype="uint8")
        operator = model.graph.operators[-1]
        put(each, operator)
        model.graph.model.operatorCodes[operator.opcodeIndex].customCode = b"edgetpu-custom-op"
    for code in left:
        options_of = {"SOFTMAX": "SoftmaxOptions"}.get(code, "")
        model.then(code, (1, 10), dtype="uint8", kind=options_of)
    return model.done()


def written(path, *packages, left=()):
    return flatbuffer.write(compiled(*packages, left=left), path)
