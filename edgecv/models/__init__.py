"""The classifiers edgecv can build: every family at every width, resolution and class count.

Nothing here imports TensorFlow until `build` is called.
"""

import dataclasses
import importlib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from edgecv.artifacts import CENTERED, Normalization
from edgecv.errors import RecipeError, UnsupportedModelError, WeightsError, nearest
from edgecv.models import published
from edgecv.recipe import ModelOptions

if TYPE_CHECKING:
    import tf_keras

    from edgecv.models.blocks import Layers
    from edgecv.models.shapes import Network


class Variant(NamedTuple):
    """A published model: its family, which names a module here and the function in it."""

    family: str
    width: float = 1.0
    depth: float = 1.0
    resolution: int = 224
    settings: Mapping[str, object] = {}


def _b(width: float, depth: float, resolution: int, dropout: float) -> Variant:
    settings = {"dropout": dropout, "lite": False}
    return Variant("efficientnet", width, depth, resolution, settings)


def _lite(width: float, depth: float, resolution: int, dropout: float) -> Variant:
    settings = {"dropout": dropout, "lite": True}
    return Variant("efficientnet", width, depth, resolution, settings)


def _v3(size: str, minimalistic: bool) -> Variant:
    return Variant("mobilenet_v3", settings={"size": size, "minimalistic": minimalistic})


MODELS = {
    "mobilenet_v1": Variant("mobilenet_v1"),
    "mobilenet_v2": Variant("mobilenet_v2"),
    "mobilenet_v3_small": _v3("small", minimalistic=False),
    "mobilenet_v3_large": _v3("large", minimalistic=False),
    "mobilenet_v3_small_minimalistic": _v3("small", minimalistic=True),
    "mobilenet_v3_large_minimalistic": _v3("large", minimalistic=True),
    "squeezenet_1_0": Variant("squeezenet", settings={"version": "1.0"}),
    "squeezenet_1_1": Variant("squeezenet", settings={"version": "1.1"}),
    #                     width depth res dropout
    "efficientnet_b0": _b(1.0, 1.0, 224, 0.2),
    "efficientnet_b1": _b(1.0, 1.1, 240, 0.2),
    "efficientnet_b2": _b(1.1, 1.2, 260, 0.3),
    "efficientnet_b3": _b(1.2, 1.4, 300, 0.3),
    "efficientnet_b4": _b(1.4, 1.8, 380, 0.4),
    "efficientnet_b5": _b(1.6, 2.2, 456, 0.4),
    "efficientnet_b6": _b(1.8, 2.6, 528, 0.5),
    "efficientnet_b7": _b(2.0, 3.1, 600, 0.5),
    "efficientnet_lite0": _lite(1.0, 1.0, 224, 0.2),
    "efficientnet_lite1": _lite(1.0, 1.1, 240, 0.2),
    "efficientnet_lite2": _lite(1.1, 1.2, 260, 0.3),
    "efficientnet_lite3": _lite(1.2, 1.4, 280, 0.3),
    "efficientnet_lite4": _lite(1.4, 1.8, 300, 0.3),
}
SAME = "same"
DEEP = "efficientnet"  # the family with a depth to scale
PADDINGS = {"squeezenet": (SAME, "valid")}  # of the other families:
USUAL_PADDINGS = (SAME, "symmetric")
OTHER_WAYS = "edgecv convert takes it as it is, edgecv prune --prune magnitude trains it on"
CUSTOM = "custom"  # a model that is not one of these: it is built from its own weights file
ALIASES = {
    "mobilenet": "mobilenet_v1",
    "squeezenet": "squeezenet_1_1",
    "efficientnet": "efficientnet_b0",
}


class Architecture(NamedTuple):
    """A model's shape with every option set, which `build` and `network` make."""

    arch: str
    width: float
    resolution: int  # pixels, square
    depth: float = 1.0  # multiplies repeats; 1 where the family has none to scale
    channels: tuple[int, ...] = ()  # of each group; empty: the family's own
    lanes: bool = False
    weights: str = ""
    padding: str = SAME  # around an image that is filtered in steps

    @property
    def scales_depth(self) -> bool:
        """Whether its family has a depth to scale."""
        return self.arch in MODELS and MODELS[self.arch].family == DEEP

    def fill(self, options: ModelOptions) -> ModelOptions:
        """The recipe's table with every key of the shape set, and the source of its weights."""
        return dataclasses.replace(
            options,
            arch=self.arch,
            width=self.width,
            depth=self.depth if self.scales_depth else None,
            resolution=self.resolution,
            padding=None if self.padding == SAME else self.padding,
            weights=self.weights,
        )


def resolve(options: ModelOptions | Architecture) -> Architecture:
    """The architecture that options mean: aliases replaced, keys left open set by the variant.

    Raises RecipeError where there is no such architecture, or keys contradict each other.
    """
    if isinstance(options, Architecture):
        return options
    if options.arch == CUSTOM:
        return Architecture(CUSTOM, 1.0, _custom_side(options.weights), weights=options.weights)
    arch = ALIASES.get(options.arch, options.arch)
    if arch not in MODELS:
        names = [*ALIASES, *MODELS]
        hint = nearest(arch, names)
        raise RecipeError(f"arch: no '{arch}'{hint} (there are: {', '.join(names)})")
    if options.lanes and published.is_imagenet(options.weights):
        raise RecipeError(
            "lanes: the published weights are of other channels; leave one of them out"
        )
    variant = MODELS[arch]
    if options.depth is not None and variant.family != DEEP:
        raise RecipeError(
            f"depth: {arch} has no depth to scale, got {options.depth:g}; only efficientnet_* do"
        )
    architecture = Architecture(
        arch,
        width=variant.width if options.width is None else options.width,
        resolution=options.resolution or variant.resolution,
        depth=variant.depth if options.depth is None else options.depth,
        channels=options.channels or (),
        lanes=options.lanes,
        weights=options.weights,
        padding=options.padding or "",
    )
    _check_padding(architecture)
    return _as_trained(architecture)


def _check_padding(architecture: Architecture) -> None:
    """Raise RecipeError where a family is not built with a padding."""
    allowed = PADDINGS.get(MODELS[architecture.arch].family, USUAL_PADDINGS)
    if architecture.padding not in ("", *allowed):
        raise RecipeError(
            f"--padding: {architecture.arch} takes {' or '.join(allowed)},"
            f" got {architecture.padding}"
        )


def _as_trained(architecture: Architecture) -> Architecture:
    """The architecture with the padding that its weights were trained with, and their source.

    Raises WeightsError where no published weights fit.
    """
    weights, padding = architecture.weights, architecture.padding
    if published.is_imagenet(weights):
        source = published.find(architecture)
        weights, padding = f"{published.WORD}:{source.name}", source.padding
    elif weights not in ("", "random") and Path(weights).is_file():
        from edgecv.models import names

        trained = names.padding(Path(weights)) or padding
        if padding not in ("", trained):
            raise RecipeError(f"--padding: {weights} was trained with {trained}, got {padding}")
        padding = trained
    return architecture._replace(weights=weights, padding=padding or SAME)


def imagenet_sources(options: ModelOptions) -> list[published.Source]:
    """The files that `--weights imagenet` chooses from for a model, the one it takes first."""
    if options.arch == CUSTOM or options.lanes:
        return []
    unloaded = resolve(dataclasses.replace(options, weights=""))
    try:
        return published.rank(unloaded._replace(padding=options.padding or ""))
    except WeightsError:
        return []


def build(options: ModelOptions | Architecture, classes: int) -> "tf_keras.Model":
    """An untrained model from `image` [batch, height, width, 3] to `scores` [batch, classes].

    The image must be normalized as `normalization(options)` says; the scores are probabilities.
    """
    import tf_keras

    architecture = resolve(options)
    if architecture.arch == CUSTOM:
        from edgecv.models.foreign.classifier import classifier

        return classifier(Path(architecture.weights), classes)
    from edgecv.models import names
    from edgecv.models.channel_groups import coupling, round_channels
    from edgecv.models.keras_layers import KerasLayers, resize_model

    image, scores = _read(KerasLayers(architecture.padding), architecture, classes)
    suffix = names.pixel_suffix(normalization(architecture))
    model = tf_keras.Model(image, scores, name=_name(architecture) + suffix)
    if not (architecture.channels or architecture.lanes):
        return model
    coupled = coupling(model)
    return resize_model(model, coupled, architecture.channels or round_channels(coupled.counts))


def network(options: ModelOptions | Architecture, classes: int) -> "Network":
    """The layers of the same architecture with their shapes alone, without TensorFlow.

    Raises UnsupportedModelError for a model that is built from its own file.
    """
    from edgecv.models.channel_groups import coupling, resize, round_channels
    from edgecv.models.shapes import Network, ShapeLayers

    architecture = resolve(options)
    if architecture.arch == CUSTOM:
        names = ", ".join(MODELS)
        raise UnsupportedModelError(f"{architecture.weights}: shapes are known of {names}")
    layers = ShapeLayers(architecture.padding)
    _read(layers, architecture, classes)
    full = Network(_name(architecture), tuple(layers.layers))
    if not (architecture.channels or architecture.lanes):
        return full
    coupled = coupling(full)
    return resize(full, coupled, architecture.channels or round_channels(coupled.counts))


def _read(layers: "Layers", architecture: Architecture, classes: int) -> tuple[Any, Any]:
    """The image and the scores of an architecture, in layers of one reading."""
    variant = MODELS[architecture.arch]
    family = importlib.import_module(f"{__name__}.{variant.family}")
    depth = {"depth": architecture.depth} if architecture.scales_depth else {}
    image = layers.image(architecture.resolution)
    builder = getattr(family, variant.family)
    return image, builder(layers, image, classes, architecture.width, **depth, **variant.settings)


def _name(architecture: Architecture) -> str:
    padding = "" if architecture.padding == SAME else f"_{architecture.padding}"
    return f"{architecture.arch}_{architecture.width:g}_{architecture.resolution}{padding}"


def _custom_side(weights: str) -> int:
    """The side of the square image that a model of the user's own takes."""
    from edgecv.models import foreign

    path = Path(weights)
    height, width, channels = foreign.read(path).network.shape
    if height is None or height != width or channels != 3:
        raise UnsupportedModelError(
            f"{path}: takes {height} x {width} pixels with {channels} channels, where pruning needs"
            " one square RGB image; edgecv convert takes it as it is"
        )
    return height


def normalization(options: ModelOptions | Architecture) -> Normalization:
    """The normalization of a model's pixels, which its weights decide.

    A model of the user's own that scales pixels itself takes them as they are.
    """
    from edgecv.models import foreign, weights

    if options.arch == CUSTOM:
        return CENTERED if foreign.read(Path(options.weights)).scale is None else foreign.BYTES
    return weights.pixels(resolve(options))
