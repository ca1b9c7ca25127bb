"""SqueezeNet: "AlexNet-level accuracy with 50x fewer parameters", Iandola et al. 2016.

arXiv:1602.07360, and version 1.1 of its authors' repository, forresti/SqueezeNet.
"""

from typing import Any, NamedTuple

from edgecv.models.blocks import Layers, Tensor, make_divisible


class Fire(NamedTuple):
    """One fire module: channels of the squeeze and of each of the two expand layers."""

    squeeze: int
    expand: int


class Version(NamedTuple):
    """A stem, eight fire modules (fire2 to fire9), and after which of them a pooling halves."""

    stem: int
    kernel: int
    pooled: tuple[int, ...]


FIRES = {  # Table 1 of the paper: s1x1, and e1x1 = e3x3
    2: Fire(16, 64),
    3: Fire(16, 64),
    4: Fire(32, 128),
    5: Fire(32, 128),
    6: Fire(48, 192),
    7: Fire(48, 192),
    8: Fire(64, 256),
    9: Fire(64, 256),
}
VERSIONS = {"1.0": Version(96, 7, pooled=(4, 8)), "1.1": Version(64, 3, pooled=(3, 5))}

# There is no batch normalization to make up for a poor start: He's keeps the variance through ReLU.
INITIALIZER = "he_uniform"


def squeezenet(layers: Layers, image: Tensor, classes: int, width: float, version: str) -> Tensor:
    """Class probabilities of `image`; `width` multiplies every layer's channels.

    Borders are padded throughout, so that an image of 32 pixels has something left at the end; or,
    with the padding "valid", as torchvision has it: neither the stem nor a pooling reads beyond
    the image, and no score is negative.
    """
    stem, kernel, pooled = VERSIONS[version]
    border = {"padding": layers.padding}
    x = conv_relu(layers, image, make_divisible(stem * width), kernel, 2, "stem", **border)
    x = halve(layers, x, "stem")
    for number, row in FIRES.items():
        x = fire(layers, x, row, width, f"fire{number}")
        x = halve(layers, x, f"fire{number}") if number in pooled else x
    x = layers.dropout(x, 0.5, "dropout")
    x = layers.conv(x, classes, 1, 1, "logits", bias=True)
    x = layers.activate(x, "relu", "logits") if layers.padding == "valid" else x
    x = layers.mean(x, "pool")
    return layers.activation(x, "softmax", "scores")


def fire(layers: Layers, x: Tensor, row: Fire, width: float, name: str) -> Tensor:
    """Squeeze to few channels, then see them through 1x1 and 3x3 filters side by side."""
    expand = make_divisible(row.expand * width)
    x = conv_relu(layers, x, make_divisible(row.squeeze * width), 1, 1, f"{name}_squeeze")
    sides = [conv_relu(layers, x, expand, kernel, 1, f"{name}_expand{kernel}") for kernel in (1, 3)]
    return layers.concatenate(sides, f"{name}_concat")


def conv_relu(
    layers: Layers, x: Tensor, out: int, kernel: int, stride: int, name: str, **options: Any
) -> Tensor:
    """Convolve with a bias, and keep what is positive."""
    options = {"bias": True, "initializer": INITIALIZER, **options}
    return layers.activate(
        layers.conv(x, out, kernel, stride, f"{name}_conv", **options), "relu", name
    )


def halve(layers: Layers, x: Tensor, name: str) -> Tensor:
    """The greatest value of each 3x3 window, at half the resolution.

    At an even side, "same" adds a last window that torchvision, too, cuts off at the border.
    """
    padding = layers.padding if x.shape[1] % 2 else "same"
    return layers.max_pool(x, 3, 2, padding, f"{name}_pool")
