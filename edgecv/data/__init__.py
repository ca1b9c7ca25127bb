"""Images: folders, the built-in road signs, batches, the calibration manifest."""

from pathlib import Path

from edgecv.data.batches import batches
from edgecv.data.calibration import calibration_folder, manifest
from edgecv.data.dataset import Dataset, Image, Sample
from edgecv.data.folder import Folder
from edgecv.data.signs import Signs
from edgecv.progress import Progress
from edgecv.recipe import DataOptions

__all__ = ["Dataset", "Image", "Sample", "batches", "calibration_folder", "manifest", "open"]


def open(
    options: DataOptions, seed: int, progress: Progress, images_per_epoch: int | None = None
) -> Dataset:
    """The folder that `options` name, or the built-in road signs.

    `images_per_epoch` is for the signs, which never run out. Raises DataError.
    """
    if options.path:
        root = Path(options.path).expanduser()
        return Folder(root, options.validation, options.crop, seed, progress)
    return Signs(seed, images_per_epoch) if images_per_epoch else Signs(seed)
