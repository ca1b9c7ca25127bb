"""Which tensor of a file goes into which layer, and in which form.

A layout says how another library calls the layers. Blocks are counted, on both sides, in the order
of their numbers: a file may group them into stages otherwise than a table here does.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from edgecv.artifacts import CENTERED, Normalization

Arrays = Mapping[str, NDArray[Any]]
OURS = re.compile(r"(?P<block>stage\d+_\d+|block\d+|fire\d+)_(?P<part>\w+)")
UNUSED = ".num_batches_tracked"  # what PyTorch counts, and inference does not read


class Slot(NamedTuple):
    """A layer that takes weights."""

    name: str
    kind: str  # Conv2D, DepthwiseConv2D, Dense, BatchNormalization
    bias: bool = True


class Layout(NamedTuple):
    """How a library calls the layers that edgecv calls otherwise."""

    block: str  # matches the name of a block
    outside: Mapping[str, str]  # of the layers outside of blocks; {last} is the last block
    expanding: Mapping[str, str]  # within a block that begins with an expansion
    plain: Mapping[str, str]  # within any other


TIMM = Layout(
    block=r"blocks\.\d+\.\d+",
    outside={
        "stem_conv": "conv_stem",
        "stem_bn": "bn1",
        "head_conv": "conv_head",
        "head_bn": "bn2",
        "logits": "classifier",
        "scores": "classifier",
    },
    expanding={
        "expand_conv": "conv_pw",
        "expand_bn": "bn1",
        "depthwise_conv": "conv_dw",
        "depthwise_bn": "bn2",
        "se_squeeze": "se.conv_reduce",
        "se_excite": "se.conv_expand",
        "project_conv": "conv_pwl",
        "project_bn": "bn3",
    },
    plain={
        "depthwise_conv": "conv_dw",
        "depthwise_bn": "bn1",
        "se_squeeze": "se.conv_reduce",
        "se_excite": "se.conv_expand",
        "project_conv": "conv_pw",
        "project_bn": "bn2",
        "pointwise_conv": "conv_pw",
        "pointwise_bn": "bn2",
    },
)
LITE = {
    "expand_conv": "_expand_conv",
    "expand_bn": "_bn0",
    "depthwise_conv": "_depthwise_conv",
    "depthwise_bn": "_bn1",
    "project_conv": "_project_conv",
    "project_bn": "_bn2",
}
FIRE = {"squeeze_conv": "squeeze", "expand1_conv": "expand1x1", "expand3_conv": "expand3x3"}
LAYOUTS = {
    "timm": TIMM,
    "timm_v3": TIMM._replace(
        outside={
            **TIMM.outside,
            "head_conv": "{last}.conv",
            "head_bn": "{last}.bn1",
            "features": "conv_head",
        }
    ),
    "efficientnet_pytorch": Layout(
        block=r"_blocks\.\d+",
        outside={
            "stem_conv": "_conv_stem",
            "stem_bn": "_bn0",
            "head_conv": "_conv_head",
            "head_bn": "_bn1",
            "scores": "_fc",
        },
        expanding=LITE,
        plain=LITE,
    ),
    "torchvision_squeezenet": Layout(
        block=r"features\.\d+(?=\.(?:squeeze|expand))",
        outside={"stem_conv": "features.0", "logits": "classifier.1"},
        expanding=FIRE,
        plain=FIRE,
    ),
}


def names(layout: Layout, slots: Sequence[Slot], tensors: Sequence[str]) -> dict[str, str]:
    """The layers' names in a file. Raises ValueError where it has too few blocks."""
    matches = filter(None, (re.match(layout.block, name) for name in tensors))
    theirs = sorted({match.group() for match in matches}, key=_numbers)
    places = {slot.name: match for slot in slots if (match := OURS.fullmatch(slot.name))}
    ours = list(dict.fromkeys(match["block"] for match in places.values()))
    if len(theirs) < len(ours):
        raise ValueError(f"has {len(theirs)} blocks, not {len(ours)}")
    block = dict(zip(ours, theirs, strict=False))
    expanding = {match["block"] for match in places.values() if match["part"] == "expand_conv"}

    def called(slot: Slot) -> str:
        match = places.get(slot.name)
        if not match:
            return layout.outside[slot.name].format(last=theirs[-1] if theirs else "")
        parts = layout.expanding if match["block"] in expanding else layout.plain
        return f"{block[match['block']]}.{parts[match['part']]}"

    return {slot.name: called(slot) for slot in slots}


def _numbers(name: str) -> list[int]:
    return [int(number) for number in re.findall(r"\d+", name)]


def arrange(
    layout: Layout, slots: Sequence[Slot], tensors: Arrays, epsilon: float, ours: float
) -> list[list[NDArray[Any]]]:
    """The arrays of each layer as Keras has them, float32.

    `epsilon` is of the file's batch normalization and `ours` of the layers', which scale
    accordingly. Raises ValueError where a tensor is missing, or one is left over.
    """
    called = names(layout, slots, list(tensors))
    left = {name for name in tensors if not name.endswith(UNUSED)}

    def take(slot: Slot, part: str) -> NDArray[Any]:
        name = f"{called[slot.name]}.{part}"
        if name not in tensors:
            raise ValueError(f"has no '{name}'")
        left.discard(name)
        return np.asarray(tensors[name], np.float32)

    rows = [
        _normalizing(slot, take, epsilon, ours)
        if slot.kind == "BatchNormalization"
        else _weighing(slot, take)
        for slot in slots
    ]
    if left:
        raise ValueError(f"has a '{min(left)}' that no layer takes")
    return rows


def _weighing(slot: Slot, take: Any) -> list[NDArray[Any]]:
    """The kernel of a convolution or of a fully connected layer, and its bias."""
    kernel = take(slot, "weight")
    if slot.kind == "Conv2D" and kernel.ndim == 2:  # a fully connected layer on pooled channels
        kernel = kernel[:, :, np.newaxis, np.newaxis]
    axes = {"Conv2D": (2, 3, 1, 0), "DepthwiseConv2D": (2, 3, 0, 1), "Dense": (1, 0)}[slot.kind]
    if kernel.ndim != len(axes):
        raise ValueError(f"has a kernel of {kernel.shape} for {slot.name}")
    kernel = np.ascontiguousarray(kernel.transpose(axes))
    return [kernel, take(slot, "bias")] if slot.bias else [kernel]


def _normalizing(slot: Slot, take: Any, epsilon: float, ours: float) -> list[NDArray[Any]]:
    """Scale, offset, mean and variance; the scale makes up for another epsilon, exactly."""
    scale, offset, mean, variance = (
        take(slot, part) for part in ("weight", "bias", "running_mean", "running_var")
    )
    scale = scale * np.sqrt((variance + ours) / (variance + epsilon))
    return [scale.astype(np.float32), offset, mean, variance]


def fold_pixels(rows: list[list[NDArray[Any]]], trained: Normalization) -> None:
    """Let the first convolution take pixels in [-1, 1] that was trained on `trained` ones.

    Its offset goes into its bias, or into the mean of the batch normalization behind it.
    """
    (kernel, *bias), behind = rows[0], rows[1]
    (mean, std), (ours, by) = np.array(trained), np.array(CENTERED)
    offset = np.einsum("hwio,i->o", kernel, (ours - mean) / std).astype(np.float32)
    rows[0] = [(kernel * (by / std)[:, np.newaxis]).astype(np.float32), *bias]
    if bias:
        rows[0][1] = bias[0] + offset
    else:
        rows[1] = [*behind[:2], behind[2] - offset, behind[3]]
