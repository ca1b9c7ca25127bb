"""Names of edgecv's models: their architecture, and the normalization of their pixels."""

import re
from pathlib import Path

import numpy as np

from edgecv.artifacts import CENTERED, IMAGENET, Normalization
from edgecv.models import MODELS, SAME
from edgecv.models.foreign import keras_archive

NUMBER = r"_(-?\d[\d.]*(?:e-?\d+)?)"
NAME_SUFFIX = "_imagenet_pixels"  # of a model that takes such pixels, so that its file says so
NAME = re.compile(
    r"(?P<arch>\w+?)_(?P<width>[\d.]+)_(?P<side>\d+)(?:_(?P<padding>symmetric|valid))?"
    rf"(?P<pixels>{NAME_SUFFIX}|_pixels(?:{NUMBER}){{3}}_by(?:{NUMBER}){{3}})?"
)
ALIKE = 1e-5  # relative; a file stores float32, and [0, 1] is 1 / 255 to that precision


def model_name(path: Path) -> str:
    """The name of the model that a file was saved from; "" where it holds weights alone."""
    with keras_archive.open_file(path) as file:
        config = file.description.get("config")
    return str(config.get("name", "")) if isinstance(config, dict) else ""


def parse(path: Path) -> re.Match[str] | None:
    """The parts of the name of a file's model; None where edgecv did not write it."""
    match = NAME.fullmatch(model_name(path))
    return match if match and match["arch"] in MODELS else None


def padding(path: Path) -> str:
    """The padding of a file's model, where it is one of ours; "" where it is not."""
    match = parse(path)
    return padding_of(match) if match else ""


def padding_of(match: re.Match[str]) -> str:
    """The padding of strided layers in a model of such a name."""
    return match["padding"] or SAME


def pixel_suffix(normalization: Normalization) -> str:
    """The end of the name of a model whose pixels go through `normalization`."""
    if normalization == CENTERED:
        return ""
    if normalization == IMAGENET:
        return NAME_SUFFIX
    mean, std = ("".join(f"_{value:.9g}" for value in values) for values in normalization)
    return f"_pixels{mean}_by{std}".replace("e+", "e")


def pixels_of(match: re.Match[str]) -> Normalization:
    """The normalization of pixels for a model of such a name."""
    suffix = match["pixels"] or ""
    if suffix in ("", NAME_SUFFIX):
        return IMAGENET if suffix else CENTERED
    red, green, blue, *stds = (float(value) for value in re.findall(NUMBER, suffix))
    return Normalization((red, green, blue), (stds[0], stds[1], stds[2]))


def nearest_usual(normalization: Normalization) -> Normalization:
    """[-1, 1] or ImageNet's, exactly, where a scale that was read from a file is meant for it."""
    for usual in (CENTERED, IMAGENET):
        if np.allclose(normalization, usual, rtol=ALIKE):
            return usual
    return normalization
