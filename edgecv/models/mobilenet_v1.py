"""MobileNetV1: "MobileNets: Efficient CNNs for Mobile Vision Applications".

Howard et al. 2017, arXiv:1704.04861.
"""

from typing import NamedTuple

from edgecv.models.blocks import Layers, Tensor


class Separable(NamedTuple):
    """One depthwise separable convolution: output channels before the multiplier, and stride."""

    out: int
    stride: int


TABLE_1 = (  # of the paper, "Conv dw" and the 1x1 "Conv" after it as one row
    Separable(64, 1),
    Separable(128, 2),
    Separable(128, 1),
    Separable(256, 2),
    Separable(256, 1),
    Separable(512, 2),
    *[Separable(512, 1)] * 5,
    Separable(1024, 2),
    Separable(1024, 1),
)


def mobilenet_v1(layers: Layers, image: Tensor, classes: int, width: float) -> Tensor:
    """Class probabilities of `image`; `width` multiplies every layer's channels, rounded down."""
    x = layers.conv_bn_act(image, int(32 * width), 3, 2, "relu6", "stem")
    for block, row in enumerate(TABLE_1, start=1):
        x = separable(layers, x, int(row.out * width), row.stride, f"block{block}")
    x = layers.mean(x, "pool", keepdims=True)
    return layers.conv_scores(x, classes, dropout=1e-3)


def separable(layers: Layers, x: Tensor, out: int, stride: int, name: str) -> Tensor:
    """Filter each channel on its own, then mix them with a 1x1 convolution.

    The published weights were trained with one row of zeros below and right of a strided layer's
    input: at even sizes that is "same"; at odd sizes the row is never read, and that is "valid".
    """
    is_unread = stride == 2 and x.shape[1] % 2 and layers.padding == "same"
    padding = "valid" if is_unread else ""
    x = layers.depthwise_bn_act(x, 3, stride, "relu6", f"{name}_depthwise", padding)
    return layers.conv_bn_act(x, out, 1, 1, "relu6", f"{name}_pointwise")
