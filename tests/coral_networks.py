"""Published networks as lists of layers: what the Edge TPU's compiled and measured files were of.

Shapes alone, from the papers and their authors' repositories; no weights. The figures they are held
against are in coral_compiled.csv and coral_latency.csv.
"""

import math
from typing import NamedTuple

from edgecv.coral.layers import Layer


class Network:
    """A list of layers that grows at its end; `at` is the size it has there."""

    def __init__(self, height, width=None, channels=3, stored="int8_per_channel"):
        self.at = (height, width or height, channels)
        self.image = self.at
        self.stored, self.layers = stored, []

    @property
    def channels(self):
        return self.at[2]

    def conv(self, out, kernel=1, stride=1, padding="same"):
        """A convolution; `kernel` is a side or (height, width)."""
        rows, columns = kernel if isinstance(kernel, tuple) else (kernel, kernel)
        height, width = self.reduced((rows, columns), stride, padding)
        layer = Layer("CONV_2D", height, width, self.channels, out, rows * columns, self.stored)
        return self.append(layer)

    def depthwise(self, kernel=3, stride=1, multiplier=1):
        height, width = self.reduced((kernel, kernel), stride, "same")
        out = self.channels * multiplier
        kind = "DEPTHWISE_CONV_2D"
        return self.append(Layer(kind, height, width, out, out, kernel**2, self.stored))

    def add(self):
        return self.append(Layer("ADD", *self.at[:2], self.channels, self.channels))

    def dense(self, out):
        pixels = math.prod(self.at)
        return self.append(Layer("FULLY_CONNECTED", 1, 1, pixels, out, 1, self.stored))

    def pool(self, kernel=3, stride=2, padding="same"):
        height, width = self.reduced((kernel, kernel), stride, padding)
        self.at = (height, width, self.channels)
        return self

    def mean(self):
        self.at = (1, 1, self.channels)
        return self

    def branches(self, *paths):
        """Paths side by side, concatenated; a path is a list of (out, kernel[, stride, padding]).

        A path that is a number is a pooling whose result has that many channels by a 1x1
        convolution; None is a pooling by two.
        """
        start, ends = self.at, []
        for path in paths:
            self.at = start
            for step in [(path, 1)] if isinstance(path, int) else path or []:
                self.conv(*step)
            ends.append(self.at if path is not None else None)
        height, width = next(end for end in ends if end)[:2]
        total = sum(end[2] if end else start[2] for end in ends)
        self.at = (height, width, total)
        return self

    def reduced(self, kernel, stride, padding):
        if padding == "same":
            return tuple(-(-side // stride) for side in self.at[:2])
        sides = zip(self.at[:2], kernel, strict=True)
        return tuple(-(-(side - taps + 1) // stride) for side, taps in sides)

    def append(self, layer):
        self.layers.append(layer)
        self.at = (layer.height, layer.width, layer.outputs)
        return self


def eights(channels, least=8):
    nearest = max(least, int(channels + 4) // 8 * 8)
    return nearest + 8 if nearest < 0.9 * channels else nearest


# -- MobileNets -------------------------------------------------------------------------------

V1 = [(64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2), *[(512, 1)] * 5]
V2 = [(1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2)]
V2 += [(6, 320, 1, 1)]


def mobilenet_v1_trunk(net, width, last=((1024, 2), (1024, 1))):
    net.conv(eights(32 * width), 3, 2)
    for out, stride in [*V1, *last]:
        net.depthwise(3, stride).conv(eights(out * width))
    return net


def mobilenet_v1(width, side, classes=1001, stored="uint8"):
    net = mobilenet_v1_trunk(Network(side, stored=stored), width).mean()
    return net.conv(classes) if classes else net


def mobilenet_v2_trunk(net, width=1.0, stride=32):
    """The blocks up to 320 channels; where `stride` is reached, later ones are dilated instead."""
    net.conv(int(32 * width), 3, 2)
    reached = 2
    for expand, out, repeats, first in V2:
        for repeat in range(repeats):
            step = first if repeat == 0 and reached < stride else 1
            reached *= step
            before = net.channels
            if expand > 1:
                net.conv(before * expand)
            net.depthwise(3, step).conv(int(out * width))
            if repeat:
                net.add()
    return net


def mobilenet_v2(side=224, classes=1001, stored="uint8"):
    return mobilenet_v2_trunk(Network(side, stored=stored)).conv(1280).mean().conv(classes)


def heads(net, *outs):
    """Convolutions side by side on the same features."""
    start = net.at
    for out in outs:
        net.at = start
        net.conv(out)
    return net


DILATED = ((512, 1), (512, 1))  # the last two blocks of the pose networks: stride 16, 512 wide


def posenet(height, width, stored="uint8"):
    net = mobilenet_v1_trunk(Network(height, width, stored=stored), 0.75, DILATED)
    return heads(net, 17, 34, 64)


def bodypix(side, stored):
    """Compiled for 512 pixels; its feature maps are those of a `side` of 513."""
    net = mobilenet_v1_trunk(Network(side, stored=stored), 0.75, DILATED)
    return heads(net, 17, 34, 64, 24, 34, 1)


def deeplab(width, stored):
    """The part on the Edge TPU: the trunk at stride 16, image pooling and one branch."""
    net = mobilenet_v2_trunk(Network(513, stored=stored), width, stride=16)
    features = net.at
    net.mean().conv(256)
    net.at = features
    return net.conv(256)


class EdgeTPU(NamedTuple):
    """Blocks of one row: expand, filter, project; `fused` expands by the filter itself.

    A fused block that expands by 1 only projects.
    """

    expand: int
    out: int
    stride: int = 1
    kernel: int = 3
    fused: bool = False
    repeats: int = 1
    skip: bool = True


MOBILENET_EDGETPU = (
    EdgeTPU(1, 16, fused=True, skip=False),
    EdgeTPU(8, 32, 2, fused=True),
    EdgeTPU(4, 32, fused=True, repeats=3),
    EdgeTPU(8, 48, 2, fused=True),
    EdgeTPU(4, 48, fused=True, repeats=3),
    EdgeTPU(8, 96, 2),
    EdgeTPU(4, 96, repeats=3),
    EdgeTPU(8, 96, skip=False),
    EdgeTPU(4, 96, repeats=3),
    EdgeTPU(8, 160, 2, 5),
    EdgeTPU(4, 160, kernel=5, repeats=3),
    EdgeTPU(8, 192),
)


def edgetpu_blocks(net, rows):
    for row in rows:
        for repeat in range(row.repeats):
            before, step = net.channels, row.stride if repeat == 0 else 1
            inside = eights(before * row.expand)
            if row.fused and row.expand > 1:
                net.conv(inside, row.kernel, step)
            elif not row.fused:
                net.conv(inside).depthwise(row.kernel, step)
            net.conv(row.out)
            if step == 1 and before == row.out and row.skip:
                net.add()
    return net


def mobilenet_edgetpu(width, side, classes, stored):
    rows = [row._replace(out=eights(row.out * width)) for row in MOBILENET_EDGETPU]
    net = edgetpu_blocks(Network(side, stored=stored).conv(eights(32 * width), 3, 2), rows)
    return net.conv(1280).mean().conv(classes)


def deeplab_edgetpu(stored):
    """On MobileNetEdgeTPU 0.75 at stride 16: image pooling and one branch of 128, 19 classes."""
    rows = [row._replace(out=eights(row.out * 0.75)) for row in MOBILENET_EDGETPU]
    rows = [row._replace(stride=1) if row.kernel == 5 else row for row in rows]
    net = edgetpu_blocks(Network(513, stored=stored).conv(24, 3, 2), rows).conv(1280)
    features = net.at
    net.mean().conv(128)
    net.at = features
    net.conv(128)
    net.at = (*features[:2], 256)
    return net.conv(128).conv(19)


COMPILED = {  # of coral_compiled.csv, by how weights are stored
    "mobilenet_v1 0.25 128": lambda stored: mobilenet_v1(0.25, 128, stored=stored),
    "mobilenet_v1 0.5 160": lambda stored: mobilenet_v1(0.5, 160, stored=stored),
    "mobilenet_v1 0.75 192": lambda stored: mobilenet_v1(0.75, 192, stored=stored),
    "mobilenet_v1 1.0 224 without classes": lambda stored: mobilenet_v1(1.0, 224, 0, stored),
    "mobilenet_v2 965 classes": lambda stored: mobilenet_v2(224, 965, stored),
    "mobilenet_v2 1001 classes": lambda stored: mobilenet_v2(224, 1001, stored),
    "mobilenet_v2 1022 classes": lambda stored: mobilenet_v2(224, 1022, stored),
    "posenet 353 481": lambda stored: posenet(353, 481, stored),
    "posenet 481 641": lambda stored: posenet(481, 641, stored),
    "posenet 721 1281": lambda stored: posenet(721, 1281, stored),
    "bodypix": lambda stored: bodypix(513, stored),
    "deeplab 0.5": lambda stored: deeplab(0.5, stored),
    "deeplab 1.0": lambda stored: deeplab(1.0, stored),
    "deeplab mobilenet_edgetpu": deeplab_edgetpu,
    "mobilenet_edgetpu 0.75": lambda stored: mobilenet_edgetpu(0.75, 224, 1001, stored),
}
