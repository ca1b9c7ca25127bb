"""The networks of coral.ai's latency table, as layers; weights as the compiler's uint8 ones."""

import math

from tests.coral_networks import (
    EdgeTPU,
    Network,
    edgetpu_blocks,
    eights,
    mobilenet_v1,
    mobilenet_v2,
    posenet,
)

POOLED = None  # a branch of Network.branches that is pooled by two


def classified(net, classes=1001):
    return net.mean().conv(classes)


def image(side):
    return Network(side, stored="uint8")


def inception_v1():
    net = image(224).conv(64, 7, 2).pool().conv(64).conv(192, 3).pool()
    rows = [(64, 96, 128, 16, 32, 32), (128, 128, 192, 32, 96, 64), None]
    rows += [(192, 96, 208, 16, 48, 64), (160, 112, 224, 24, 64, 64), (128, 128, 256, 24, 64, 64)]
    rows += [(112, 144, 288, 32, 64, 64), (256, 160, 320, 32, 128, 128), None]
    rows += [(256, 160, 320, 32, 128, 128), (384, 192, 384, 48, 128, 128)]
    for row in rows:
        if row is None:
            net.pool()
        else:
            a, b, c, d, e, f = row
            net.branches(a, [(b, 1), (c, 3)], [(d, 1), (e, 3)], f)
    return classified(net)


def inception_v2():
    net = image(224).depthwise(7, 2, multiplier=8).conv(64).pool().conv(64).conv(192, 3).pool()
    rows = [(64, 64, 64, 64, 96, 32), (64, 64, 96, 64, 96, 64), (0, 128, 160, 64, 96, 0)]
    rows += [(224, 64, 96, 96, 128, 128), (192, 96, 128, 96, 128, 128)]
    rows += [
        (160, 128, 160, 128, 160, 96),
        (96, 128, 192, 160, 192, 96),
        (0, 128, 192, 192, 256, 0),
    ]
    rows += [(352, 192, 320, 160, 224, 128), (352, 192, 320, 192, 224, 128)]
    for a, b, c, d, e, f in rows:
        if a:
            net.branches(a, [(b, 1), (c, 3)], [(d, 1), (e, 3), (e, 3)], f)
        else:
            net.branches([(b, 1), (c, 3, 2)], [(d, 1), (e, 3), (e, 3, 2)], POOLED)
    return classified(net)


def inception_v3():
    net = image(299).conv(32, 3, 2, "valid").conv(32, 3, 1, "valid").conv(64, 3)
    net.pool(3, 2, "valid").conv(80).conv(192, 3, 1, "valid").pool(3, 2, "valid")
    for pooled in (32, 64, 64):
        net.branches(64, [(48, 1), (64, 5)], [(64, 1), (96, 3), (96, 3)], pooled)
    net.branches([(384, 3, 2, "valid")], [(64, 1), (96, 3), (96, 3, 2, "valid")], POOLED)
    for c in (128, 160, 160, 192):
        twice = [(c, 1), (c, (7, 1)), (c, (1, 7)), (c, (7, 1)), (192, (1, 7))]
        net.branches(192, [(c, 1), (c, (1, 7)), (192, (7, 1))], twice, 192)
    long = [(192, 1), (192, (1, 7)), (192, (7, 1)), (192, 3, 2, "valid")]
    net.branches([(192, 1), (320, 3, 2, "valid")], long, POOLED)
    for _ in range(2):
        forked(net, 320, [(384, 1)], [(448, 1), (384, 3)], 384, 192)
    return classified(net)


def forked(net, first, short, long, out, pooled):
    """The last blocks of Inception v3 and v4: two branches end in a 1x3 beside a 3x1."""
    start = net.at
    for path in (short, long):
        net.at = start
        for step in path:
            net.conv(*step)
        middle = net.at
        net.conv(out, (1, 3))
        net.at = middle
        net.conv(out, (3, 1))
    net.at = start
    net.conv(first)
    net.at = start
    net.conv(pooled)
    net.at = (*start[:2], first + 4 * out + pooled)


def inception_v4():
    net = image(299).conv(32, 3, 2, "valid").conv(32, 3, 1, "valid").conv(64, 3)
    net.branches([(96, 3, 2, "valid")], POOLED)
    bent = [(64, 1), (64, (1, 7)), (64, (7, 1)), (96, 3, 1, "valid")]
    net.branches([(64, 1), (96, 3, 1, "valid")], bent)
    net.branches([(192, 3, 2, "valid")], POOLED)
    for _ in range(4):
        net.branches(96, [(64, 1), (96, 3)], [(64, 1), (96, 3), (96, 3)], 96)
    net.branches([(384, 3, 2, "valid")], [(192, 1), (224, 3), (256, 3, 2, "valid")], POOLED)
    for _ in range(7):
        twice = [(192, 1), (192, (7, 1)), (224, (1, 7)), (224, (7, 1)), (256, (1, 7))]
        net.branches(384, [(192, 1), (224, (1, 7)), (256, (7, 1))], twice, 128)
    long = [(256, 1), (256, (1, 7)), (320, (7, 1)), (320, 3, 2, "valid")]
    net.branches([(192, 1), (192, 3, 2, "valid")], long, POOLED)
    for _ in range(3):
        forked(net, 256, [(384, 1)], [(384, 1), (448, (1, 3)), (512, (3, 1))], 256, 256)
    return classified(net)


def densenet_121():
    """Before each block stands a normalization that no convolution can take in."""
    net = image(224).conv(64, 7, 2).pool()
    for number, repeats in enumerate((6, 12, 24, 16)):
        if number:
            net.conv(net.channels // 2).pool(2)
        for _ in range(repeats):
            height, width, channels = net.at
            net.add().conv(128).conv(32, 3)
            net.at = (height, width, channels + 32)
    return classified(net, 1000)


def resnet(blocks, stride_last):
    """Bottlenecks of 1x1, 3x3, 1x1; with `stride_last`, a stage's last block halves (version 2)."""
    net = image(299).conv(64, 7, 2).pool()
    for stage, repeats in enumerate(blocks):
        inside = 64 << stage
        for repeat in range(repeats):
            first, last = stage > 0 and repeat == 0, stage < 3 and repeat == repeats - 1
            stride = 2 if (last if stride_last else first) else 1
            start = net.at
            if repeat == 0:
                net.conv(4 * inside, 1, stride)
                net.at = start
            early, late = (1, stride) if stride_last else (stride, 1)
            net.conv(inside, 1, early).conv(inside, 3, late).conv(4 * inside).add()
    return classified(net, 1000)


def squeezenet():
    """Version 1.0; which of the two was timed is not said."""
    net = image(224).conv(96, 7, 2, "valid").pool(3, 2, "valid")
    for number, (squeeze, expand) in enumerate(
        [(16, 64), (16, 64), (32, 128), (32, 128), (48, 192), (48, 192), (64, 256), (64, 256)], 2
    ):
        net.conv(squeeze).branches(expand, [(expand, 3)])
        if number in (4, 8):
            net.pool()
    return net.conv(1000).mean()


def vgg(repeats):
    net = image(224)
    for out, count in zip((64, 128, 256, 512, 512), repeats, strict=True):
        for _ in range(count):
            net.conv(out, 3)
        net.pool(2)
    return net.dense(4096).dense(4096).dense(1000)


ROWS = (
    EdgeTPU(8, 32, 2, fused=True, repeats=2),
    EdgeTPU(8, 48, 2, fused=True, repeats=4),
    EdgeTPU(8, 96, 2, 5, repeats=5),
    EdgeTPU(8, 144, 1, 5, repeats=4),
    EdgeTPU(8, 192, 2, 5, repeats=2),
)


def efficientnet_edgetpu(width, depth, side):
    rows = [
        row._replace(out=eights(row.out * width), repeats=math.ceil(row.repeats * depth))
        for row in ROWS
    ]
    first = eights(24 * width)
    net = image(side).conv(eights(32 * width), 3, 2)
    for _ in range(math.ceil(depth)):
        net.conv(4 * first, 3).conv(first)
    edgetpu_blocks(net, rows)
    return classified(net.conv(eights(1280 * width)))


NETWORKS = {
    "MobileNet v1 0.25 128": lambda: mobilenet_v1(0.25, 128),
    "MobileNet v1": lambda: mobilenet_v1(1.0, 224),
    "MobileNet v2": mobilenet_v2,
    "Inception v1": inception_v1,
    "Inception v2": inception_v2,
    "Inception v3": inception_v3,
    "Inception v4": inception_v4,
    "DenseNet121": densenet_121,
    "ResNet50": lambda: resnet((3, 4, 6, 3), False),
    "ResNet50 v2": lambda: resnet((3, 4, 6, 3), True),
    "ResNet152 v2": lambda: resnet((3, 8, 36, 3), True),
    "SqueezeNet": squeezenet,
    "VGG16": lambda: vgg((2, 2, 3, 3, 3)),
    "VGG19": lambda: vgg((2, 2, 4, 4, 4)),
    "EfficientNet-EdgeTPU S": lambda: efficientnet_edgetpu(1.0, 1.0, 224),
    "EfficientNet-EdgeTPU M": lambda: efficientnet_edgetpu(1.0, 1.1, 240),
    "EfficientNet-EdgeTPU L": lambda: efficientnet_edgetpu(1.2, 1.4, 300),
    "PoseNet 353": lambda: posenet(353, 481),
    "PoseNet 481": lambda: posenet(481, 641),
    "PoseNet 721": lambda: posenet(721, 1281),
}
