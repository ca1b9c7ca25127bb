"""The operators that a SavedModel would run, read from saved_model.pb before TensorFlow sees it.

A SavedModel is a program: its graph can read and write files or call Python. Only operators on a
list are let through. The fields are those of TensorFlow's public protocol buffers: saved_model,
meta_graph, graph, function, node_def.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from edgecv.errors import UnsupportedModelError


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


MAX_BYTES = 1 << 30  # of the graph, which holds no weights
META_GRAPHS, GRAPH, OBJECTS = 2, 2, 7  # of SavedModel; of MetaGraphDef
NODES, LIBRARY, FUNCTIONS = 1, 2, 1  # of GraphDef; of FunctionDefLibrary
SIGNATURE, BODY = 1, 3  # of FunctionDef
NAME, OPERATOR = 1, 2  # of NodeDef; the name of a function's signature
OPERATORS = _words("""
    Abs Add AddN AddV2 All Any ArgMax AssignVariableOp AvgPool BatchMatMulV2 BatchToSpaceND BiasAdd
    BroadcastTo Cast Ceil ClipByValue ConcatV2 Const Conv2D DepthToSpace DepthwiseConv2dNative
    DisableCopyOnRead Elu Equal Erf Exp ExpandDims Fill Floor FloorDiv FloorMod FusedBatchNorm
    FusedBatchNormV3 GatherV2 Greater GreaterEqual Identity IdentityN If LeakyRelu Less LessEqual
    Log LogSoftmax LogicalAnd LogicalNot LogicalOr MatMul Max MaxPool MaxPoolV2 Maximum Mean Min
    Minimum MirrorPad Mul MulNoNan Neg NoOp NotEqual OnesLike Pack Pad PadV2 PartitionedCall
    Placeholder PlaceholderWithDefault Pow Prod Range ReadVariableOp RealDiv Reciprocal Relu Relu6
    Reshape ResizeBilinear ResizeNearestNeighbor ReverseV2 Round Rsqrt Select SelectV2 Selu Shape
    Sigmoid Sign Size Slice Softmax Softplus Softsign SpaceToBatchND SpaceToDepth Split SplitV Sqrt
    Square SquaredDifference Squeeze StatefulPartitionedCall StatelessIf StopGradient StridedSlice
    Sub Sum Tanh Tile TopKV2 Transpose Unpack VarHandleOp VarIsInitializedOp VariableShape Where
    ZerosLike
    """)
# Data augmentation in the training function of a model; nothing of it is read or written.
RANDOM = _words("""
    RandomStandardNormal RandomUniform RandomUniformInt StatelessRandomUniformV2
    StatelessRandomGetKeyCounter StatelessRandomNormalV2 StatelessRandomUniform
    StatelessRandomUniformFullIntV2 StatelessRandomGetAlg StatelessRandomGetKeyCounterAlg
    RngReadAndSkip ImageProjectiveTransformV3 ImageProjectiveTransformV2 AdjustContrastv2 Cos Sin
    AssignAddVariableOp AssignSubVariableOp Bitcast RngSkip NonDeterministicInts HSVToRGB RGBToHSV
    AdjustHue AdjustSaturation CropAndResize BroadcastGradientArgs Einsum Cumsum Assert EnsureShape
    Tan IteratorGetNext
    """)
# Of the functions that TensorFlow adds to save and restore variables.
SAVING = _words(
    "SaveV2 RestoreV2 MergeV2Checkpoints ShardedFilename StringJoin StaticRegexFullMatch"
)
ALLOWED = OPERATORS | RANDOM


class Function(NamedTuple):
    """A function of a graph: the operators in it, and all its bytes."""

    name: str
    operators: frozenset[str]
    data: memoryview


def check_graph(folder: Path) -> None:
    """Raise UnsupportedModelError, naming it, at an operator that edgecv does not run.

    What reads and writes files is let through in the functions that save and restore variables,
    as long as nothing else refers to them: TensorFlow itself does not call them on loading.
    """
    path = folder / "saved_model.pb"
    try:
        if path.stat().st_size > MAX_BYTES:
            raise UnsupportedModelError(f"{path}: {path.stat().st_size:,} bytes of graph")
        data = memoryview(path.read_bytes())
        nodes, functions, objects = _parts(data)
    except (OSError, ValueError, IndexError) as error:
        raise UnsupportedModelError(f"{path}: cannot be read as a whole SavedModel") from error
    if not objects:
        raise UnsupportedModelError(
            f"{folder}: was saved by TensorFlow 1; load it there, and export it once more"
        )
    names = {function.name for function in functions}
    saving = [function for function in functions if function.operators & SAVING - ALLOWED]
    _check_isolated(
        saving, [function for function in functions if function not in saving], objects, folder
    )
    used = {*nodes, *(name for function in functions for name in function.operators)}
    refused = sorted(used - ALLOWED - SAVING - names)
    if refused:
        raise UnsupportedModelError(
            f"{folder}: has the operators {', '.join(refused[:5])}, which edgecv does not run from"
            " a file; export the model without them, or convert it yourself with"
            " tf.lite.TFLiteConverter and go on with the .tflite"
        )


def _check_isolated(
    saving: list[Function], others: list[Function], objects: bytes, folder: Path
) -> None:
    """Raise UnsupportedModelError where anything could call a function that touches files."""
    for function in saving:
        name = function.name.encode()
        inside = [other for other in others if name in bytes(other.data)]
        if inside or name in objects or not function.operators <= ALLOWED | SAVING:
            raise UnsupportedModelError(
                f"{folder}: its function {function.name} reads or writes files, which edgecv does"
                " not run; export the model once more with model.export(), or convert it yourself"
            )


def _parts(data: memoryview) -> tuple[set[str], list[Function], bytes]:
    """The operators of the outermost graph, all functions, and the objects that refer to them."""
    nodes, functions, objects = set(), [], b""
    for meta in _fields(data, META_GRAPHS):
        objects += b"".join(bytes(field) for field in _fields(meta, OBJECTS))
        for graph in _fields(meta, GRAPH):
            nodes |= {_text(node, OPERATOR) for node in _fields(graph, NODES)}
            for library in _fields(graph, LIBRARY):
                functions += [_function(field) for field in _fields(library, FUNCTIONS)]
    return nodes, functions, objects


def _function(data: memoryview) -> Function:
    operators = frozenset(_text(node, OPERATOR) for node in _fields(data, BODY))
    (signature, *_) = _fields(data, SIGNATURE)
    return Function(_text(signature, NAME), operators, data)


def _text(message: memoryview, field: int) -> str:
    return next((bytes(part).decode() for part in _fields(message, field)), "")


def _fields(message: memoryview, wanted: int) -> Iterator[memoryview]:
    """The values of a field that is a message, text or bytes. Raises ValueError where damaged."""
    place = 0
    while place < len(message):
        tag, place = _number(message, place)
        kind = tag & 7
        if kind == 0:
            _, place = _number(message, place)
        elif kind in (1, 5):
            place += 8 if kind == 1 else 4
        elif kind == 2:
            length, place = _number(message, place)
            if place + length > len(message):
                raise ValueError("a field that is longer than its message")
            if tag >> 3 == wanted:
                yield message[place : place + length]
            place += length
        else:
            raise ValueError(f"no wire type {kind}")


def _number(message: memoryview, place: int) -> tuple[int, int]:
    """A variable-length integer, and where it ends."""
    value = shift = 0
    while shift < 64:
        byte = message[place]
        place += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value, place
        shift += 7
    raise ValueError("a number without an end")
