"""MobileNetV3: "Searching for MobileNetV3", Howard et al. 2019, arXiv:1905.02244.

The minimalistic variants have the same layers without squeeze-and-excite, hard-swish and 5x5.
"""

from edgecv.models.blocks import Bottleneck, Layers, SqueezeExcite, Tensor, make_divisible

SE = SqueezeExcite(0.25, of_input=False, act="relu", gate="hard_sigmoid")
RE, HS = "relu", "hard_swish"

TABLE_1 = (  # of the paper, MobileNetV3-Large; t is "exp size" over the input's channels
    #           t    out  n  s  k   SE   NL
    Bottleneck(1.0, 16, 1, 1, 3, None, RE),
    Bottleneck(4.0, 24, 1, 2, 3, None, RE),
    Bottleneck(3.0, 24, 1, 1, 3, None, RE),
    Bottleneck(3.0, 40, 1, 2, 5, SE, RE),
    Bottleneck(3.0, 40, 2, 1, 5, SE, RE),
    Bottleneck(6.0, 80, 1, 2, 3, None, HS),
    Bottleneck(2.5, 80, 1, 1, 3, None, HS),
    Bottleneck(2.3, 80, 2, 1, 3, None, HS),
    Bottleneck(6.0, 112, 2, 1, 3, SE, HS),
    Bottleneck(6.0, 160, 1, 2, 5, SE, HS),
    Bottleneck(6.0, 160, 2, 1, 5, SE, HS),
)
TABLE_2 = (  # of the paper, MobileNetV3-Small
    #           t       out  n  s  k   SE   NL
    Bottleneck(1.0, 16, 1, 2, 3, SE, RE),
    Bottleneck(72 / 16, 24, 1, 2, 3, None, RE),
    Bottleneck(88 / 24, 24, 1, 1, 3, None, RE),
    Bottleneck(4.0, 40, 1, 2, 5, SE, HS),
    Bottleneck(6.0, 40, 2, 1, 5, SE, HS),
    Bottleneck(3.0, 48, 2, 1, 5, SE, HS),
    Bottleneck(6.0, 96, 1, 2, 5, SE, HS),
    Bottleneck(6.0, 96, 2, 1, 5, SE, HS),
)
SIZES = {"large": (TABLE_1, 1280), "small": (TABLE_2, 1024)}  # blocks, channels before the scores


def mobilenet_v3(
    layers: Layers, image: Tensor, classes: int, width: float, size: str, minimalistic: bool
) -> Tensor:
    """Class probabilities of `image`; the stem keeps its 16 channels at every `width`."""
    table, last = SIZES[size]
    act = RE if minimalistic else HS
    x = layers.conv_bn_act(image, 16, 3, 2, act, "stem")
    for stage, row in enumerate(table):
        block = row._replace(kernel=3, se=None, act=RE) if minimalistic else row
        for repeat in range(row.repeats):
            out = make_divisible(row.out * width)
            x = layers.inverted_residual(x, block, out, row.stride, f"stage{stage}_{repeat}")
    x = layers.conv_bn_act(x, make_divisible(x.shape[-1] * 6), 1, 1, act, "head")
    x = layers.mean(x, "pool", keepdims=True)
    x = layers.conv(x, make_divisible(last * max(width, 1.0)), 1, 1, "features", bias=True)
    x = layers.activate(x, act, "features")
    return layers.conv_scores(x, classes, dropout=0.2)
