"""The contract of a .tflite, read in one place: how pixels go in and scores come out.

What a file does not say is looked for in this order: the user's flags, edgecv's metadata, TFLite's
standard metadata, the grid of the input, the first operators. What is then still open is tested on
images where there are any (`scale_test`), else assumed, and said.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy.typing as npt

from edgecv.artifacts import CENTERED, Normalization
from edgecv.errors import RecipeError, UnsupportedModelError
from edgecv.tflite import affine, flatbuffer, labels, metadata, pixels, scores, standard_metadata
from edgecv.tflite.compiled import is_compiled
from edgecv.tflite.flatbuffer import ModelT
from edgecv.tflite.graph import Graph
from edgecv.tflite.labels import Labels
from edgecv.tflite.pixels import Grid
from edgecv.tflite.schema import DTYPES
from edgecv.tflite.scores import LOGITS, VALUES, Output

FLAG, EDGECV, TFLITE = "flag", "edgecv metadata", "TFLite metadata"
GRID, OPERATORS = "quantization grid", "first operators"
TESTED, ASSUMED = "tested on images", "assumed"
LOST = 0.5  # of the bytes; flags that clip more are refused
MOST_CLIPPED = 0.1  # of the bytes; grids that images were observed for cut less


class Asked(NamedTuple):
    """The user's flags, which take precedence over the file."""

    normalization: Normalization | None = None
    labels: tuple[str, ...] = ()


@dataclass(frozen=True)
class ImageInput:
    """The picture that goes in."""

    height: int
    width: int
    channels: int  # 3 is RGB, 1 is gray
    grid: Grid
    normalization: Normalization  # of pixels of 0..255, to the input's real numbers
    origin: str  # where the normalization is known from
    crop: float = 1.0  # central share of a photograph that the model sees

    @property
    def size(self) -> tuple[int, int]:
        """Height and width in pixels."""
        return self.height, self.width

    def encode(self, images: pixels.Bytes) -> npt.NDArray[Any]:
        """Pictures [n, height, width, channels] of 0..255 as the input stores them."""
        return pixels.encode(images, self.grid, self.normalization)

    def check_flags(self) -> None:
        """Raise RecipeError where flags put most pixels outside of what the input can hold."""
        share = pixels.clipped_share(self.grid, self.normalization)
        if self.origin == FLAG and share > LOST:
            low, high = self.grid.range
            raise RecipeError(
                f"--mean, --std: put {share:.0%} of all pixel values outside what the input can"
                f" hold, {low:.3g} to {high:.3g}; leave them out: its grid says what it takes"
            )

    def warnings(self, name: str) -> list[str]:
        """Warnings about an uncertain scale of pixels; messages call the model `name`."""
        words = pixels.words(self.normalization)
        if self.origin == ASSUMED:
            how = "as they are" if self.grid.is_integer else f"as {words}"
            return [
                f"{name}: pixels are assumed to go in {how}: the file does not say;"
                " --mean and --std set it"
            ]
        if self.origin == TESTED:
            return [f"{name}: pixels go in as {words}, {TESTED}: the file does not say"]
        share = pixels.clipped_share(self.grid, self.normalization)
        if share <= MOST_CLIPPED:
            return []
        low, high = self.grid.range
        return [
            f"{name}: {share:.0%} of all pixel values lie outside what the input can hold,"
            f" {low:.3g} to {high:.3g}, when they go in as {words} ({self.origin})"
        ]


@dataclass(frozen=True)
class Contract:
    """Both sides of a model."""

    name: str
    image: ImageInput
    output: Output
    arch: str = ""
    by_edgecv: bool = False  # whether edgecv wrote the file
    compiled: bool = False  # for an Edge TPU, without which nothing can run it

    def to_dict(self) -> dict[str, Any]:
        """The contract as JSON has it."""
        image, output = self.image, self.output
        mean, std = (list(values[: image.channels]) for values in image.normalization)
        return {
            "input": {
                **{"height": image.height, "width": image.width, "channels": image.channels},
                **_stored(image.grid),
                "pixels": {"mean": mean, "std": std, "origin": image.origin},
                "takes_bytes": pixels.takes_bytes(image.grid, image.normalization),
                "crop": image.crop,
            },
            "output": {
                **{"shape": list(output.shape), **_stored(output.grid), "scores": output.kind},
                **({"classes": output.classes} if output.is_of_classes else {}),
                "labels": {"count": len(output.labels), "origin": output.origin},
            },
        }


def _stored(grid: Grid) -> dict[str, Any]:
    """A grid as JSON has it."""
    scaled = {"scale": grid.scale, "zero_point": grid.zero_point} if grid.scale else {}
    return {"dtype": grid.dtype, **scaled}


def read(path: Path, asked: Asked = Asked()) -> Contract:  # noqa: B008
    """The contract of a file, with the labels in it or beside it.

    Raises UnsupportedModelError unless it takes one image and gives something for it, or when its
    metadata or its archive are damaged; DataError when labels.txt beside it cannot be read.
    """
    return read_model(flatbuffer.read(path), str(path), asked, path)


def read_model(
    model: ModelT,
    name: str = "the model",
    asked: Asked = Asked(),  # noqa: B008
    path: Path | None = None,
) -> Contract:
    """The contract of a model in memory, as `read`; without a path, only labels it says itself."""
    graph = Graph(model)
    grid, shape = _input(graph, name)
    output = _output(graph, name)
    own, standard = metadata.read_model(model, name), standard_metadata.read(model, name)
    embedded = own or metadata.Metadata()
    said = {
        FLAG: asked.normalization,
        EDGECV: own.normalization if own else None,
        TFLITE: standard.normalization,
    }
    named = {FLAG: asked.labels, EDGECV: embedded.labels}
    return Contract(
        name,
        ImageInput(*shape, grid, *_normalization(graph, grid, said), embedded.crop),
        with_labels(output, labels.search(named, standard.label_files, path, output.classes)),
        embedded.arch,
        own is not None,
        is_compiled(model),
    )


def image_of(
    details: Mapping[str, Any], name: str, normalization: Normalization | None = None
) -> ImageInput:
    """The input in an interpreter's details, where the file itself cannot be looked into.

    Raises UnsupportedModelError as `read`.
    """
    grid = pixels.grid_of(details)
    shape = _image_shape([int(size) for size in details["shape"]], name)
    _check_storage(grid, name)
    return ImageInput(*shape, grid, *_by_grid(grid, {FLAG: normalization}))


def output_of(details: Mapping[str, Any]) -> Output:
    """The output in an interpreter's details, without the kind of its scores."""
    shape = tuple(int(size) for size in details["shape"])
    return Output(shape[1:] or shape, pixels.grid_of(details), VALUES)


def with_labels(output: Output, labels: Labels) -> Output:
    """An output with its labels; numbers that have a label each are scores of classes."""
    named = output.size > 1 and len(labels.names) == output.size
    kind = LOGITS if named and output.kind == VALUES and len(output.shape) == 1 else output.kind
    return dataclasses.replace(output, kind=kind, labels=labels.names, origin=labels.origin)


def tensor_grid(graph: Graph, tensor: int) -> Grid:
    """How a tensor of a model stores real numbers."""
    grid = graph.tensors[tensor].quantization
    scaled = grid is not None and grid.scale is not None and len(grid.scale) > 0
    zero = int(grid.zeroPoint[0]) if scaled and grid.zeroPoint is not None else 0
    return Grid(graph.dtype(tensor), float(grid.scale[0]) if scaled else 0.0, zero)


def check_count(inputs: int, outputs: int, name: str) -> None:
    """Raise UnsupportedModelError unless a model takes one thing and gives something for it."""
    if inputs != 1 or not outputs:
        raise UnsupportedModelError(
            f"{name}: has {inputs} inputs and {outputs} outputs; 1 input, an image, is allowed:"
            " see edgecv inspect"
        )


def _input(graph: Graph, name: str) -> tuple[Grid, tuple[int, int, int]]:
    """The grid, and height, width and channels of the one image that goes in."""
    inputs = [*map(int, graph.subgraph.inputs)]
    check_count(len(inputs), len(graph.subgraph.outputs), name)
    shape = _image_shape(graph.shape(inputs[0]), name)
    grid = tensor_grid(graph, inputs[0])
    _check_storage(grid, name)
    return grid, shape


def _output(graph: Graph, name: str) -> Output:
    tensor = int(graph.subgraph.outputs[0])
    grid, shape = tensor_grid(graph, tensor), graph.shape(tensor)
    if grid.dtype not in DTYPES.values():
        raise UnsupportedModelError(f"{name}: {grid.dtype} tensors cannot be used")
    output = Output(shape[1:] or shape, grid, VALUES)
    return dataclasses.replace(output, kind=scores.kind(graph, tensor, output))


def _image_shape(shape: Sequence[int], name: str) -> tuple[int, int, int]:
    if len(shape) == 4 and shape[0] <= 1 and shape[3] in (1, 3) and min(shape[1:]) > 0:
        return shape[1], shape[2], shape[3]
    hint = ""
    if len(shape) == 4 and shape[1] in (1, 3) and shape[3] not in (1, 3):
        hint = "; channels come last in TFLite: convert it again with channels last"
    raise UnsupportedModelError(
        f"{name}: the input must be one RGB or gray image [1, height, width, 3 or 1], got"
        f" {[*shape]}{hint}"
    )


def _check_storage(grid: Grid, name: str) -> None:
    """Raise UnsupportedModelError where it is not known how an input stores pixels."""
    if grid.dtype not in DTYPES.values():
        raise UnsupportedModelError(f"{name}: {grid.dtype} tensors cannot be used")
    if grid.is_integer and not grid.scale > 0 and grid.dtype != "uint8":
        raise UnsupportedModelError(
            f"{name}: the input is {grid.dtype} without a scale; convert it with a float32, int8"
            " or uint8 input"
        )


def _normalization(
    graph: Graph, grid: Grid, said: Mapping[str, Normalization | None]
) -> tuple[Normalization, str]:
    """The normalization of pixels, and its origin."""
    if grid.is_integer:
        return _by_grid(grid, said)
    inner = pixels.usual_normalization(_behind(graph)) if _behind(graph).scale else None
    open_ = {**said, GRID: inner, OPERATORS: affine.normalization_inside(graph)}
    for origin, normalization in open_.items():
        if normalization:
            return normalization, origin
    return CENTERED, ASSUMED


def _by_grid(grid: Grid, said: Mapping[str, Normalization | None]) -> tuple[Normalization, str]:
    """The same of an integer input: only what the user or edgecv says goes before its grid.

    What TFLite's metadata say must fit the grid: mean 0 and deviation 1, of a model that takes
    bytes as they are, would make white of all pixels on a grid of [-1, 1].
    """
    for origin in (FLAG, EDGECV):
        if normalization := said.get(origin):
            return normalization, origin
    if normalization := pixels.usual_normalization(grid):
        return normalization, GRID
    declared = said.get(TFLITE)
    if declared and pixels.fits(grid, declared):
        return declared, TFLITE
    if grid.holds_bytes:
        return pixels.byte_normalization(grid), ASSUMED
    return CENTERED, ASSUMED


def _behind(graph: Graph) -> Grid:
    """The grid that a float input is put on by the model itself; none where it is not."""
    image = int(graph.subgraph.inputs[0])
    readers = [operator for operator in graph.operators if image in map(int, operator.inputs)]
    if len(readers) == 1 and graph.code(readers[0]) == "QUANTIZE":
        return tensor_grid(graph, int(readers[0].outputs[0]))
    return Grid("float32", 0.0, 0)
