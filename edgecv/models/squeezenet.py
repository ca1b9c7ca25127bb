"""SqueezeNet: "AlexNet-level accuracy with 50x fewer parameters", Iandola et al. 2016.

arXiv:1602.07360, and version 1.1 of its authors' repository, forresti/SqueezeNet.
"""

from typing import NamedTuple

from tf_keras import layers

from edgecv.models.blocks import KerasTensor, make_divisible


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

# There is no batch normalisation to make up for a poor start: He's keeps the variance through ReLU.
INITIALIZER = "he_uniform"


def squeezenet(image: KerasTensor, classes: int, width: float, version: str) -> KerasTensor:
    """Class probabilities of `image`; `width` multiplies every layer's channels.

    Borders are padded throughout, so that an image of 32 pixels has something left at the end.
    """
    stem, kernel, pooled = VERSIONS[version]
    x = conv_relu(image, make_divisible(stem * width), kernel, 2, "stem")
    x = halve(x, "stem")
    for number, row in FIRES.items():
        x = fire(x, row, width, f"fire{number}")
        x = halve(x, f"fire{number}") if number in pooled else x
    x = layers.Dropout(0.5, name="dropout")(x)
    x = layers.Conv2D(classes, 1, name="logits")(x)
    x = layers.GlobalAveragePooling2D(name="pool")(x)
    return layers.Activation("softmax", name="scores")(x)


def fire(x: KerasTensor, row: Fire, width: float, name: str) -> KerasTensor:
    """Squeeze to few channels, then see them through 1x1 and 3x3 filters side by side."""
    expand = make_divisible(row.expand * width)
    x = conv_relu(x, make_divisible(row.squeeze * width), 1, 1, f"{name}_squeeze")
    sides = [conv_relu(x, expand, kernel, 1, f"{name}_expand{kernel}") for kernel in (1, 3)]
    return layers.Concatenate(name=f"{name}_concat")(sides)


def conv_relu(x: KerasTensor, out: int, kernel: int, stride: int, name: str) -> KerasTensor:
    """Convolve with a bias, and keep what is positive."""
    conv = layers.Conv2D(
        out, kernel, stride, padding="same", kernel_initializer=INITIALIZER, name=f"{name}_conv"
    )
    return layers.ReLU(name=f"{name}_relu")(conv(x))


def halve(x: KerasTensor, name: str) -> KerasTensor:
    """The greatest value of each 3x3 window, at half the resolution."""
    return layers.MaxPooling2D(3, 2, padding="same", name=f"{name}_pool")(x)
