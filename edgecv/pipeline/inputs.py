"""The inputs of a run: the recipe with nothing left open, the images, the class names."""

import dataclasses
from pathlib import Path

from edgecv import data, models
from edgecv.data import Dataset
from edgecv.data.layout import check_sizes
from edgecv.data.unpack import check_folder
from edgecv.device import description
from edgecv.errors import DataError, RecipeError
from edgecv.files import sha256
from edgecv.models import weights
from edgecv.models.published import is_imagenet
from edgecv.models.weights import Labels
from edgecv.progress import Progress
from edgecv.recipe import Recipe, check_target

FOLDER_NEEDED = "a folder with two or more class folders of images is needed"


def resolve_recipe(recipe: Recipe) -> Recipe:
    """The recipe with the model's shape filled in and `~` in its paths as the user's home.

    Raises RecipeError when its stages contradict each other.
    """
    _check_trains(recipe)
    check_target(recipe.quantize)
    model = models.resolve(recipe.model).fill(recipe.model)
    return _expanded(dataclasses.replace(recipe, model=model))


def _expanded(recipe: Recipe) -> Recipe:
    """The recipe with `~` in its paths as the user's home."""
    replace = dataclasses.replace
    return replace(
        recipe,
        model=replace(recipe.model, weights=_at_home(recipe.model.weights)),
        data=replace(recipe.data, path=_at_home(recipe.data.path)),
        quantize=replace(recipe.quantize, calibration=_at_home(recipe.quantize.calibration)),
    )


def _at_home(path: str) -> str:
    return str(Path(path).expanduser()) if path.startswith("~") else path


def _check_trains(recipe: Recipe) -> None:
    """Raise RecipeError when a training that is asked for has no scheme, time or images."""
    train, scheme = recipe.train, recipe.quantize.scheme
    if train.qat and scheme != "int8":
        raise RecipeError(
            f"--qat: trains for int8, but --quantize is {scheme}; leave one of the two out"
        )
    if train.minutes and train.epochs is not None:
        raise RecipeError("--minutes: --epochs is there, too; leave one of the two out")
    asked = "--qat" if train.qat else "--minutes" if train.minutes else ""
    start = recipe.model.weights
    if asked and start == "random":
        raise RecipeError(f"{asked}: trains, but --weights is random; leave one of the two out")
    if asked and start and not recipe.data.path:
        raise RecipeError(
            f"{asked}: weights {start} are trained on; name labeled images with --data DIR"
        )


def check_trained_on(recipe: Recipe) -> None:
    """Raise DataError where a class has too few files to train on; the folder is listed for it."""
    if recipe.data.path:
        check_sizes(Path(_at_home(recipe.data.path)))


def check_named(recipe: Recipe) -> None:
    """Raise EdgecvError where a file, a folder or a device that a recipe names is not there.

    Nothing of it is read but the head of the weights' file: it takes no time, and no TensorFlow.
    """
    _check_trains(recipe)
    recipe = _expanded(recipe)
    if recipe.data.path:
        check_folder(Path(recipe.data.path), FOLDER_NEEDED)
    if recipe.quantize.calibration:
        check_folder(Path(recipe.quantize.calibration), "a folder of images is needed")
    if recipe.model.weights not in ("", "random") and not is_imagenet(recipe.model.weights):
        weights.check_file(Path(recipe.model.weights))
        if Path(recipe.model.weights).is_file():
            weights.pixels(models.resolve(recipe.model))
    if recipe.prune.latency_ms is not None:
        description.find(recipe.prune.device)


def load_images(recipe: Recipe, progress: Progress) -> Dataset | None:
    """The labeled images of a run: a folder, the built-in signs, or none at all.

    Raises RecipeError when a stage of the recipe would need images that nobody named.
    """
    start = recipe.model.weights
    if recipe.data.path or not start:
        return data.open(recipe.data, recipe.seed, progress, recipe.train.images_per_epoch)
    if recipe.quantize.scheme == "int8" and start != "random" and not recipe.quantize.calibration:
        raise RecipeError(
            f"weights {start}: int8 needs a representative dataset; name images like the"
            " camera's with --calibration DIR or --data DIR, or use --quantize float16"
        )
    return None


def pin_hashes(recipe: Recipe, dataset: Dataset | None) -> Recipe:
    """The recipe with the hashes of its images and its weights file.

    Raises RecipeError when it names the hash of others.
    """
    weights_file = Path(recipe.model.weights)
    hashes = {
        "data": dataset.digest if dataset else "",
        "model": sha256(weights_file) if weights_file.is_file() else "",
    }
    for section, digest in hashes.items():
        options = getattr(recipe, section)
        if options.sha256 not in ("", digest):
            path = recipe.data.path if section == "data" else recipe.model.weights
            raise RecipeError(
                f"{section}.sha256: the recipe was made from something else than '{path}' is now;"
                " restore that, or remove the key"
            )
        recipe = dataclasses.replace(
            recipe, **{section: dataclasses.replace(options, sha256=digest)}
        )
    return recipe


def labels(recipe: Recipe, dataset: Dataset | None, progress: Progress) -> Labels:
    """The class names: the data's, ImageNet's, or numbers where they are not known.

    Raises RecipeError when `classes` contradicts the data; DataError when the last layer would have
    to be another one, and is not trained.
    """
    wanted, stored = recipe.model.classes, weights.classes_of(recipe.model)
    if dataset:
        if wanted not in (None, len(dataset.labels)):
            raise RecipeError(
                f"--classes {wanted}: {dataset.name} has {len(dataset.labels)} classes;"
                " leave --classes out"
            )
        if recipe.train.epochs == 0 and stored not in (None, len(dataset.labels)):
            raise DataError(
                f"{recipe.data.path}: has {len(dataset.labels)} classes, where"
                f" {recipe.model.weights} tells {stored} apart; without training (edgecv prune,"
                " or --epochs 0) no last layer is new: the folder must have the model's classes"
            )
        return Labels(dataset.labels)
    if is_imagenet(recipe.model.weights) and wanted in (None, stored):
        return weights.imagenet_labels(progress)
    return Labels(tuple(str(number) for number in range(wanted or stored or 1000)))
