"""How good a model file is on labeled images, by itself or beside another one."""

from pathlib import Path
from typing import Any

from edgecv.artifacts import Normalization, TFLiteModel
from edgecv.convert.any_model import as_tflite, check_models, is_source
from edgecv.coral.edge_tpu_check import check_ready
from edgecv.data.identity import images_sha256
from edgecv.data.labeled import LabeledFolder, open_labeled
from edgecv.data.splits import find_sides
from edgecv.device import description
from edgecv.device.description import Device
from edgecv.errors import DataError, UnsupportedModelError
from edgecv.evaluate.accuracy import compare_outputs, evaluate
from edgecv.evaluate.on_device import evaluate_on
from edgecv.pipeline.quantize import overlap_with_manifest
from edgecv.progress import QUIET, Progress, Warnings
from edgecv.report import accuracy_lint
from edgecv.tflite import compiled, contract, scale_test, smoke_load
from edgecv.tflite.contract import Asked, Contract


def evaluate_file(
    model: Path,
    data: Path,
    against: Path | None = None,
    asked: Asked = Asked(),  # noqa: B008
    device: str | None = None,
    progress: Progress = QUIET,
) -> dict[str, Any]:
    """Figures of a model, the contracts they rest on, and warnings, as `edgecv evaluate --json`.

    `data` is a folder with a folder for every class; `against` another model, with which it is
    compared. On `device`, a name or a device file, or here. Raises EdgecvError, before anything is
    converted, where what is named cannot be used.
    """
    board, models = description.find(device) if device else None, [model, against or model]
    compiled.check_runs(models, board.delegate if board else "auto")
    _check_sources(models, data, None if against else asked.normalization)
    file, other = as_tflite(model, progress), against and as_tflite(against, progress)
    contracts = _contracts(file, other, asked)
    images, warnings = _images(data, contracts, progress), Warnings(progress)
    warnings.add(*images.warnings)
    if images.assumption:
        warnings.add(images.assumption)
    warnings.add(*overlap_with_manifest(model, images))
    return _figures(contracts, images, board, progress, warnings)


def _images(data: Path, models: dict[str, Contract], progress: Progress) -> LabeledFolder:
    """The labeled images, in the order of the models' labels, or of the folders' names."""
    names = next((model.output.labels for model in models.values() if model.output.labels), ())
    return open_labeled(data, names, progress, models["model"].output.classes)


def _figures(
    models: dict[str, Contract],
    images: LabeledFolder,
    board: Device | None,
    progress: Progress,
    warnings: Warnings,
) -> dict[str, Any]:
    """Figures, the contracts they rest on, warnings."""
    models = {name: _settled(model, images, warnings) for name, model in models.items()}
    if _gives_classes(models["model"], len(images.labels), warnings):
        if board and board.delegate == "edgetpu":
            _check_edge_tpu(models, board, progress, warnings)
        figures = _scored(models, images, board, progress)
    else:
        figures = _compared(models, images, progress)
    figures["contract"] = {name: model.to_dict() for name, model in models.items()}
    if "per_class" in figures:
        warnings.add(*accuracy_lint.accuracy_warnings(figures, accuracy_lint.CHECK_CONTRACT))
        figures["mean_over_classes"] = accuracy_lint.mean_over_classes(figures)
    hashes = [photo.sha256 for photo, _ in images.photos]
    figures["images_sha256"] = images_sha256(images.labels, hashes)
    figures["warnings"] = warnings.texts
    return figures


def _check_sources(models: list[Path], data: Path, pixels: Normalization | None) -> None:
    """Raise EdgecvError, before a model is converted, where anything that is named cannot be used.

    Nothing is converted where all are .tflite files: whoever reads them says what is wrong.
    """
    if any(map(is_source, models)):
        check_models(models, pixels)
        find_sides(data)


def _contracts(model: Path, against: Path | None, asked: Asked) -> dict[str, Contract]:
    """The contracts of the models; of two, flags of pixels are for those that state no scale."""
    if against is None:
        said = {"model": contract.read(model, asked)}
    else:
        paths, named = {"model": model, "against": against}, contract.Asked(None, asked.labels)
        said = {name: contract.read(path, named) for name, path in paths.items()}
        silent = [name for name, stated in said.items() if stated.image.origin == contract.ASSUMED]
        for name in silent or [*said]:
            said[name] = contract.read(paths[name], asked)
    for stated in said.values():
        stated.output.check_labels(stated.name)
        stated.image.check_flags()
    names = [stated.output.labels for stated in said.values() if stated.output.labels]
    if len(set(names)) > 1:
        raise DataError(
            f"{against}: has other labels than {model}, or another order of them;"
            " name the labels of both with --labels"
        )
    return said


def _gives_classes(said: Contract, classes: int, warnings: Warnings) -> bool:
    """Whether the numbers are scores of the folder's classes, as far as their count can tell."""
    output = said.output
    if output.is_of_classes or output.classes != classes:
        return output.is_of_classes
    words = "a logit of the second class" if output.size == 1 else "scores of the classes"
    warnings.add(f"{Path(said.name).name}: what it gives is assumed to be {words}")
    return True


def _compared(
    said: dict[str, Contract], images: LabeledFolder, progress: Progress
) -> dict[str, Any]:
    """How alike two models' numbers are, where they are no scores of classes."""
    model = said["model"]
    if "against" not in said:
        raise UnsupportedModelError(
            f"{model.name}: gives {model.output.size} numbers, and nothing says that they are"
            f" scores of {len(images.labels)} classes; compare them with another model's:"
            " --against MODEL; or name its classes with --labels"
        )
    first, second = (
        TFLiteModel(Path(said[name].name), name, said[name].image.normalization)
        for name in ("against", "model")
    )
    samples = images.samples(said["against"].image, model.image)
    return compare_outputs(first, second, samples, str(images.root), progress)


def _settled(said: Contract, images: LabeledFolder, warnings: Warnings) -> Contract:
    """A contract with its pixels' scale tested on some of the images, where it was open."""
    path = Path(said.name)
    if said.image.origin == contract.ASSUMED and not said.compiled:
        smoke_load.load_in_child(path)
        samples = list(images.some(scale_test.ROUNDS[-1]).samples(said.image))
        truth = [sample.label for sample in samples] if images.knows_order else []
        said = scale_test.decide_scale(said, path, [sample.image for sample in samples], truth)
    warnings.add(*said.image.warnings(path.name))
    return said


def _check_edge_tpu(
    models: dict[str, Contract], board: Device, progress: Progress, warnings: Warnings
) -> None:
    """Raise DeviceError where the board's Edge TPU cannot run the models."""
    for model in models.values():
        warnings.add(*check_ready(board, Path(model.name), progress))


def _scored(
    said: dict[str, Contract], images: LabeledFolder, board: Device | None, progress: Progress
) -> dict[str, Any]:
    """The figures of the models; what is measured against comes first."""
    models = {
        name: TFLiteModel(Path(contract.name), name, contract.image.normalization)
        for name, contract in said.items()
    }
    candidate = models["model"] if "against" in models else None
    reference, first = models.get("against", models["model"]), said.get("against", said["model"])
    samples = images.samples(first.image, said["model"].image)
    parts = (reference, candidate, samples, images.labels, str(images.root))
    if board is None:
        for model in models.values():
            smoke_load.load_in_child(model.path)
        return evaluate(*parts, progress).accuracy
    return evaluate_on(board, *parts, progress)
