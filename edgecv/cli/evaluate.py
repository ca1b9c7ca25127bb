"""`edgecv evaluate`: how good any .tflite is on labeled images."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from edgecv.cli.command import option
from edgecv.cli.options import device_option, json_option, normalization, pixel_options
from edgecv.errors import DataError

if TYPE_CHECKING:
    from edgecv.artifacts import Normalization
    from edgecv.data.labeled import Labeled
    from edgecv.device.description import Device
    from edgecv.progress import Progress, Warnings
    from edgecv.tflite.contract import Asked, Contract

FOLDER = click.Path(path_type=Path)


@click.command()
@click.argument("model", type=FOLDER)
@option(
    "--data",
    type=FOLDER,
    required=True,
    help="Images: a folder for every class, or a CSV file of classes.",
)
@option("--against", type=FOLDER, help="Another model: both are scored, and compared.")
@option("--labels", type=FOLDER, help="A file with one label a line.", show_default="the model's")
@pixel_options
@device_option("Run it there, and compare with this machine.", show_default="this machine alone")
@json_option
def evaluate(
    model: Path,
    data: Path,
    against: Path | None,
    labels: Path | None,
    as_json: bool,
    device: str | None,
    **pixels: str | None,
) -> None:
    """Score MODEL on a folder of labeled images: its val/ (valid/, test/), or all.

    MODEL is a .tflite; a Keras file or a SavedModel is converted to one first.

    \b
    edgecv evaluate model_int8.tflite --data photos/ --against model_float32.tflite
    edgecv evaluate model_int8.tflite --data photos/ --device rpi4
    """
    from edgecv.cli.progress import Terminal
    from edgecv.convert.anybody import as_tflite
    from edgecv.device import description
    from edgecv.pipeline.quantize import overlap_with_manifest
    from edgecv.progress import Warnings
    from edgecv.tflite import compiled

    progress, asked = Terminal(), _asked(labels, normalization(**pixels))
    board, models = description.find(device) if device else None, [model, against or model]
    compiled.check_runs(models, board.delegate if board else "auto")
    _check_sources(models, data, None if against else asked.normalization)
    file, other = as_tflite(model, progress), against and as_tflite(against, progress)
    said = contracts(file, other, asked)
    images, warnings = _images(data, said, progress), Warnings(progress)
    warnings.add(*images.warnings)
    if images.assumption:
        warnings.add(images.assumption)
    warnings.add(*overlap_with_manifest(model, images))
    result = _figures(said, images, board, progress, warnings)
    click.echo(json.dumps(result) if as_json else _text(result, model))


def _images(data: Path, models: "dict[str, Contract]", progress: "Progress") -> "Labeled":
    """The labeled images, in the order of the models' labels, or of the folders' names."""
    from edgecv.data.labeled import labeled_folder

    names = next((model.output.labels for model in models.values() if model.output.labels), ())
    return labeled_folder(data, names, progress, models["model"].output.classes)


def _figures(
    models: "dict[str, Contract]",
    images: "Labeled",
    board: "Device | None",
    progress: "Progress",
    warnings: "Warnings",
) -> dict[str, Any]:
    """What the command prints: figures, the contracts they rest on, warnings."""
    from edgecv.data.identity import images_sha256
    from edgecv.report import lint

    models = {name: _settled(model, images, warnings) for name, model in models.items()}
    if _gives_classes(models["model"], len(images.labels), warnings):
        if board and board.delegate == "edgetpu":
            _check_edge_tpu(models, board, progress, warnings)
        figures = _scored(models, images, board, progress)
    else:
        figures = _compared(models, images, progress)
    figures["contract"] = {name: model.to_dict() for name, model in models.items()}
    if "per_class" in figures:
        warnings.add(*lint.accuracy_warnings(figures, lint.CHECK_CONTRACT))
        figures["mean_over_classes"] = lint.mean_over_classes(figures)
    hashes = [photo.sha256 for photo, _ in images.photos]
    figures["images_sha256"] = images_sha256(images.labels, hashes)
    figures["warnings"] = warnings.texts
    return figures


def _asked(labels: Path | None, pixels: "Normalization | None") -> "Asked":
    """The flags as a contract takes them."""
    from edgecv.tflite.contract import Asked
    from edgecv.tflite.label_file import label_lines

    return Asked(pixels, label_lines(labels) if labels else ())


def _check_sources(models: "list[Path]", data: Path, pixels: "Normalization | None") -> None:
    """Raise EdgecvError, before a model is converted, where anything that is named cannot be used.

    Nothing is converted where all are .tflite files: whoever reads them says what is wrong.
    """
    from edgecv.convert.anybody import check_models, is_source
    from edgecv.data.splits import find_sides

    if any(map(is_source, models)):
        check_models(models, pixels)
        find_sides(data)


def contracts(model: Path, against: Path | None, asked: "Asked") -> "dict[str, Contract]":
    """What the models take and give; of two, flags of pixels are for those that do not say it."""
    from edgecv.tflite import contract

    if against is None:
        said = {"model": contract.read(model, asked)}
    else:
        paths, named = {"model": model, "against": against}, contract.Asked(None, asked.labels)
        said = {name: contract.read(path, named) for name, path in paths.items()}
        silent = [name for name, each in said.items() if each.image.origin == contract.ASSUMED]
        for name in silent or [*said]:
            said[name] = contract.read(paths[name], asked)
    for each in said.values():
        each.output.check_labels(each.name)
        each.image.check_flags()
    names = [each.output.labels for each in said.values() if each.output.labels]
    if len(set(names)) > 1:
        raise DataError(
            f"{against}: has other labels than {model}, or another order of them;"
            " name the labels of both with --labels"
        )
    return said


def _gives_classes(said: "Contract", classes: int, warnings: "Warnings") -> bool:
    """Whether the numbers are scores of the folder's classes, as far as their count can tell."""
    output = said.output
    if output.is_of_classes or output.classes != classes:
        return output.is_of_classes
    words = "a logit of the second class" if output.size == 1 else "scores of the classes"
    warnings.add(f"{Path(said.name).name}: what it gives is assumed to be {words}")
    return True


def _compared(
    said: "dict[str, Contract]", images: "Labeled", progress: "Progress"
) -> dict[str, Any]:
    """How alike two models' numbers are, where they are no scores of classes."""
    from edgecv.artifacts import TFLiteModel
    from edgecv.errors import UnsupportedModelError
    from edgecv.evaluate.accuracy import compare_outputs

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


def _settled(said: "Contract", images: "Labeled", warnings: "Warnings") -> "Contract":
    """A contract with its pixels' scale tested on some of the images, where it was open."""
    from edgecv.tflite import contract, scale_test, trial

    path = Path(said.name)
    if said.image.origin == contract.ASSUMED and not said.compiled:
        trial.survived(path)
        samples = list(images.some(scale_test.ROUNDS[-1]).samples(said.image))
        truth = [each.label for each in samples] if images.knows_order else []
        said = scale_test.resolved(said, path, [each.image for each in samples], truth)
    warnings.add(*said.image.warnings(path.name))
    return said


def _check_edge_tpu(
    models: "dict[str, Contract]", board: "Device", progress: "Progress", warnings: "Warnings"
) -> None:
    """Raise DeviceError where the board's Edge TPU cannot run the models."""
    from edgecv.coral.board import ready

    for model in models.values():
        warnings.add(*ready(board, Path(model.name), progress))


def _scored(
    said: "dict[str, Contract]", images: "Labeled", board: "Device | None", progress: "Progress"
) -> dict[str, Any]:
    """The figures of the models; what is measured against comes first."""
    from edgecv.artifacts import TFLiteModel
    from edgecv.evaluate.accuracy import evaluate
    from edgecv.evaluate.on_device import evaluate_on
    from edgecv.tflite import trial

    models = {
        name: TFLiteModel(Path(each.name), name, each.image.normalization)
        for name, each in said.items()
    }
    candidate = models["model"] if "against" in models else None
    reference, first = models.get("against", models["model"]), said.get("against", said["model"])
    samples = images.samples(first.image, said["model"].image)
    parts = (reference, candidate, samples, images.labels, str(images.root))
    if board is None:
        for each in models.values():
            trial.survived(each.path)
        return evaluate(*parts, progress).accuracy
    return evaluate_on(board, *parts, progress)


def _text(found: dict[str, Any], model: Path) -> str:
    """Accuracy of each model, and how often they agree."""
    lines = [
        f"{name:<10} top-1 {found[name]['top1']:.1%}"
        + (f", top-5 {found[name]['top5']:.1%}" if "top5" in found[name] else "")
        + f", mean over classes {found['mean_over_classes'][name]:.1%}"
        for name in ("against", "model")
        if name in found
    ]
    if "agreement" in found:
        lines.append(f"{'agreement':<10} {found['agreement']:.1%}")
    if "cosine" in found:
        lines.append(f"{'cosine':<10} {found['cosine']:.4f}, at least {found['least_cosine']:.4f}")
        lines.append(f"{'error':<10} {found['relative_error']:.1%} of the numbers' length")
    lines.append(f"{'images':<10} {found['images']} of {found['data']}")
    lines += [
        f"{'mistake':<10} {each['label']} taken for {each['predicted']}, {each['images']} times"
        for each in found.get("confusions", [])[:3]
    ]
    lines += [f"{'warning':<10} {each}" for each in found["warnings"]]
    for each in found.get("on", {}).values():
        lines += [f"{'on':<10} {each['device']}, {each['runtime']}", _parity(each["parity"])]
    return "\n".join([*lines, "", _next(model)])


def _next(model: Path) -> str:
    """The command after this one; what was converted to be scored has no file to profile."""
    from edgecv.convert.anybody import is_source

    if is_source(model):
        return f"Next: edgecv quantize {model} --calibration PHOTOS -o model_int8.tflite"
    return f"Next: edgecv profile {model}"


def _parity(found: dict[str, Any]) -> str:
    """How the outputs of a board compare with this machine's."""
    if "reason" in found:
        words = f"not known: {found['reason']}"
    elif found["bit_equal"]:
        words = f"bit-equal to {found['host']} here, on all {found['images']} images"
    else:
        words = (
            f"equal to {found['host']} here on {found['identical_images']} of {found['images']}"
            f" images; {found['differing_share']:.2%} of the values differ, by at most"
            f" {found['max_difference']:g}; the same top-1 on {found['same_top1']:.1%}"
        )
    return f"{'parity':<10} {words}"
