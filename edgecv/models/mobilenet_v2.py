"""MobileNetV2: "Inverted Residuals and Linear Bottlenecks", Sandler et al. 2018.

arXiv:1801.04381.
"""

from edgecv.models.blocks import Bottleneck, Layers, Tensor, make_divisible

TABLE_2 = (  # of the paper, in its own column order
    #          t   c  n  s
    Bottleneck(1, 16, 1, 1),
    Bottleneck(6, 24, 2, 2),
    Bottleneck(6, 32, 3, 2),
    Bottleneck(6, 64, 4, 2),
    Bottleneck(6, 96, 3, 1),
    Bottleneck(6, 160, 3, 2),
    Bottleneck(6, 320, 1, 1),
)


def mobilenet_v2(layers: Layers, image: Tensor, classes: int, width: float) -> Tensor:
    """Class probabilities of `image`; a `width` below 1 leaves the last layer's channels alone."""
    x = layers.conv_bn_act(image, make_divisible(32 * width), 3, 2, "relu6", "stem")
    for stage, row in enumerate(TABLE_2):
        out = make_divisible(int(row.out * width))  # rounded down first, as published
        for repeat in range(row.repeats):
            stride = row.stride if repeat == 0 else 1
            x = layers.inverted_residual(x, row, out, stride, f"stage{stage}_{repeat}")
    x = layers.conv_bn_act(x, make_divisible(1280 * max(width, 1.0)), 1, 1, "relu6", "head")
    return layers.dense_scores(x, classes)
