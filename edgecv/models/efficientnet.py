"""EfficientNet: "Rethinking Model Scaling for Convolutional Neural Networks", Tan and Le 2019.

arXiv:1905.11946. The Lite variants are the authors' own for mobile chips: no squeeze-and-excite,
ReLU6 in place of swish, and a stem, a head, a first and a last stage that do not scale.
"""

import math
from typing import NamedTuple

from edgecv.models.blocks import Bottleneck, Layers, SqueezeExcite, Tensor, make_divisible

SE = SqueezeExcite(0.25, of_input=True, act="swish", gate="sigmoid")

TABLE_1 = (  # of the paper, the B0 network
    #          t   c  n  s  k   SE   act
    Bottleneck(1, 16, 1, 1, 3, SE, "swish"),
    Bottleneck(6, 24, 2, 2, 3, SE, "swish"),
    Bottleneck(6, 40, 2, 2, 5, SE, "swish"),
    Bottleneck(6, 80, 3, 2, 3, SE, "swish"),
    Bottleneck(6, 112, 3, 1, 5, SE, "swish"),
    Bottleneck(6, 192, 4, 2, 5, SE, "swish"),
    Bottleneck(6, 320, 1, 1, 3, SE, "swish"),
)


class Stage(NamedTuple):
    """A row of the table at a given scale."""

    row: Bottleneck
    out: int
    repeats: int


def efficientnet(
    layers: Layers,
    image: Tensor,
    classes: int,
    width: float,
    depth: float,
    dropout: float,
    lite: bool,
) -> Tensor:
    """Class probabilities of `image`; `width` multiplies channels, `depth` the repeats of a row."""
    act, fixed = ("relu6", 1.0) if lite else ("swish", width)
    x = layers.conv_bn_act(image, make_divisible(32 * fixed), 3, 2, act, "stem")
    for number, (row, out, repeats) in enumerate(scale_table(width, depth, lite)):
        for repeat in range(repeats):
            stride = row.stride if repeat == 0 else 1
            x = layers.inverted_residual(x, row, out, stride, f"stage{number}_{repeat}")
    x = layers.conv_bn_act(x, make_divisible(1280 * fixed), 1, 1, act, "head")
    return layers.dense_scores(x, classes, dropout)


def scale_table(width: float, depth: float, lite: bool) -> list[Stage]:
    """Table 1 with its channels multiplied by `width` and its repeats, rounded up, by `depth`."""
    stages = []
    for row in TABLE_1:
        fixed = lite and row in (TABLE_1[0], TABLE_1[-1])
        repeats = row.repeats if fixed else math.ceil(depth * row.repeats)
        plain = row._replace(se=None, act="relu6") if lite else row
        stages.append(Stage(plain, make_divisible(row.out * width), repeats))
    return stages
