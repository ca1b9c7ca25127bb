"""The layers, functions and settings that are taken from a file, as tables.

Whatever is not in here is refused by name. A setting is checked by the function beside it, and no
other reaches Keras: no initializer, regularizer or constraint, which only matter to training.
"""

import math
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, TypeAlias

Check: TypeAlias = Callable[[Any], Any]
MAX_COUNT = 1 << 20  # channels, units; the widest layer of keras.applications has 4096
MAX_SIDE = 1 << 12  # kernels, strides, paddings, in pixels


def whole(most: int, least: int = 0) -> Check:
    """A check for whole numbers within limits."""

    def check(value: Any) -> int:
        if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
            raise ValueError(f"must be a whole number from {least} to {most}")
        return value

    return check


def number(value: Any) -> float:
    """A finite number."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        raise ValueError("must be a finite number")
    return float(value)


def numbers(value: Any) -> list[float] | float:
    """A finite number, or a list of a few, nested as Keras nests constants."""
    while isinstance(value, list) and len(value) == 1 and isinstance(value[0], list):
        value = value[0]
    if isinstance(value, list) and 0 < len(value) <= MAX_COUNT:
        flat = [number(item) for item in value]
        return flat[0] if len(flat) == 1 else flat
    return number(value)


def optional(check: Check) -> Check:
    """A check that also lets None pass."""
    return lambda value: None if value is None else check(value)


def word(*allowed: str) -> Check:
    """A check for one of a few words."""

    def check(value: Any) -> str:
        if not isinstance(value, str) or value not in allowed:
            raise ValueError(f"must be {' | '.join(allowed)}")
        return value

    return check


def flag(value: Any) -> bool:
    """True or False."""
    if not isinstance(value, bool):
        raise ValueError("must be true or false")
    return value


def pair(least: int = 1) -> Check:
    """A check for a side in pixels, or one for height and one for width."""
    side = whole(MAX_SIDE, least)

    def check(value: Any) -> tuple[int, int]:
        if isinstance(value, (list, tuple)) and len(value) == 1:
            value = value[0]
        if not isinstance(value, (list, tuple)):
            return side(value), side(value)
        if len(value) != 2:
            raise ValueError("must be one or two whole numbers")
        return side(value[0]), side(value[1])

    return check


def margins(value: Any) -> tuple[tuple[int, int], tuple[int, int]]:
    """Pixels at the top and bottom, and at the left and right."""
    rows, columns = value if isinstance(value, (list, tuple)) and len(value) == 2 else (value,) * 2
    return pair(0)(rows), pair(0)(columns)


def shape(value: Any) -> tuple[int, ...]:
    """A few sizes, at most one of them -1."""
    if not isinstance(value, (list, tuple)) or not 0 < len(value) <= 4:
        raise ValueError("must be a list of one to four whole numbers")
    return tuple(whole(MAX_COUNT, -1)(item) for item in value)


def last_axis(value: Any) -> int:
    """The axis of channels."""
    if isinstance(value, (list, tuple)) and len(value) == 1:
        value = value[0]
    if value not in (-1, 3) or isinstance(value, bool):
        raise ValueError("must be the last axis")
    return -1


def axis(value: Any) -> int:
    """An axis of an image or a vector."""
    if isinstance(value, (list, tuple)) and len(value) == 1:
        value = value[0]
    return int(whole(3, -3)(value))


PADDING = word("valid", "same")
COUNT, SIZE, SIDES = whole(MAX_COUNT, 1), pair(1), pair(0)
CONV: Mapping[str, Check] = MappingProxyType(
    {
        "kernel_size": SIZE,
        "strides": SIZE,
        "padding": PADDING,
        "dilation_rate": SIZE,
        "use_bias": flag,
    }
)
POOL = {"pool_size": SIZE, "strides": optional(SIZE), "padding": PADDING}
LAYERS: Mapping[str, Mapping[str, Check]] = {
    "Conv2D": {**CONV, "filters": COUNT, "groups": COUNT},
    "DepthwiseConv2D": {**CONV, "depth_multiplier": COUNT},
    "SeparableConv2D": {**CONV, "filters": COUNT, "depth_multiplier": COUNT},
    "Dense": {"units": COUNT, "use_bias": flag},
    "BatchNormalization": {
        "axis": last_axis,
        "epsilon": number,
        "momentum": number,
        "center": flag,
        "scale": flag,
    },
    "PReLU": {"shared_axes": optional(lambda value: list(shape(value)))},
    "ReLU": {"max_value": optional(number), "negative_slope": number, "threshold": number},
    "LeakyReLU": {"alpha": number},
    "ELU": {"alpha": number},
    "Softmax": {"axis": axis},
    "Activation": {},
    "MaxPooling2D": POOL,
    "AveragePooling2D": POOL,
    "GlobalAveragePooling2D": {"keepdims": flag},
    "GlobalMaxPooling2D": {"keepdims": flag},
    "ZeroPadding2D": {"padding": margins},
    "Cropping2D": {"cropping": margins},
    "UpSampling2D": {"size": SIZE, "interpolation": word("nearest", "bilinear")},
    "Resizing": {
        "height": whole(MAX_SIDE, 1),
        "width": whole(MAX_SIDE, 1),
        "interpolation": word("nearest", "bilinear"),
    },
    "Rescaling": {"scale": numbers, "offset": numbers},
    "Normalization": {
        "axis": optional(last_axis),
        "mean": optional(numbers),
        "variance": optional(numbers),
        "invert": flag,
    },
    "Flatten": {},
    "Reshape": {"target_shape": shape},
    "Permute": {"dims": shape},
    "Concatenate": {"axis": axis},
    "Add": {},
    "Subtract": {},
    "Multiply": {},
    "Average": {},
    "Maximum": {},
    "Minimum": {},
    "Dropout": {"rate": number},
}
MUST_BE = {  # settings that change what is computed, and are taken as Keras has them by default
    "data_format": ("channels_last", None),
    "renorm": (False, None),
    "crop_to_aspect_ratio": (False, None),
    "pad_to_aspect_ratio": (False, None),
    "output_mode": ("int", None),
    "synchronized": (False, True, None),
    "antialias": (False, None),
}
ALIASES = {  # a class or a setting under another name
    "GlobalAvgPool2D": "GlobalAveragePooling2D",
    "GlobalMaxPool2D": "GlobalMaxPooling2D",
    "MaxPool2D": "MaxPooling2D",
    "AvgPool2D": "AveragePooling2D",
    "Convolution2D": "Conv2D",
    "BatchNormalizationV1": "BatchNormalization",
    "BatchNormalizationV2": "BatchNormalization",
    "SyncBatchNormalization": "BatchNormalization",
}
IDENTITIES = {  # nothing at inference
    "SpatialDropout2D",
    "GaussianNoise",
    "GaussianDropout",
    "AlphaDropout",
    "ActivityRegularization",
    "Identity",
    "RandomFlip",
    "RandomRotation",
    "RandomZoom",
    "RandomTranslation",
    "RandomContrast",
    "RandomBrightness",
    "RandomHeight",
    "RandomWidth",
    "RandomHue",
    "RandomSaturation",
    "RandomGrayscale",
    "RandomSharpness",
    "RandomShear",
    "RandomPerspective",
    "RandomPosterization",
    "RandomColorDegeneration",
    "RandomColorJitter",
    "RandomGaussianBlur",
    "RandomElasticTransform",
    "RandomErasing",
    "RandomInvert",
    "RandAugment",
    "AugMix",
    "CutMix",
    "MixUp",
}
MODELS = {"Sequential", "Functional", "Model"}
ACTIVATIONS = {  # by Keras's names of functions; the same in Keras 2 and 3 but for hard_sigmoid
    "relu",
    "relu6",
    "sigmoid",
    "tanh",
    "softmax",
    "swish",
    "elu",
    "selu",
    "gelu",
    "exponential",
    "softplus",
    "softsign",
    "leaky_relu",
    "hard_sigmoid",
    "hard_swish",
}
FUNCTION_ALIASES = {"silu": "swish", "hard_silu": "hard_swish", "HardSilu": "hard_swish"}
FUNCTIONS = {  # of TensorFlow or keras.ops, as they stand in a functional model
    "truediv": "divide",
    "divide": "divide",
    "realdiv": "divide",
    "multiply": "multiply",
    "mul": "multiply",
    "add": "add",
    "addv2": "add",
    "biasadd": "add",
    "bias_add": "add",
    "subtract": "subtract",
    "sub": "subtract",
    "truedivide": "divide",
    "maximum": "maximum",
    "minimum": "minimum",
    "cast": "identity",
    "identity": "identity",
    "stop_gradient": "identity",
    "relu": "relu",
    "relu6": "relu6",
    "sigmoid": "sigmoid",
    "softmax": "softmax",
    "tanh": "tanh",
    "silu": "swish",
    "swish": "swish",
    "hardsigmoid": "hard_sigmoid",
    "hardsilu": "hard_swish",
    "hardswish": "hard_swish",
    "hard_sigmoid": "hard_sigmoid",
    "hard_silu": "hard_swish",
    "hard_swish": "hard_swish",
    "reduce_mean": "mean",
    "mean": "mean",
    "reshape": "reshape",
    "concat": "concat",
    "concatenate": "concat",
}
POLICIES = ("float32", "float16", "bfloat16", "float64", "mixed_float16", "mixed_bfloat16")
