"""`edgecv evaluate`: how good any .tflite is on labelled images."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from edgecv.cli.options import json_option, normalization, pixel_options

if TYPE_CHECKING:
    from edgecv.artifacts import Normalization, TFLiteModel
    from edgecv.data.labelled import Labelled
    from edgecv.progress import Progress

FOLDER = click.Path(path_type=Path)


@click.command()
@click.argument("model", type=FOLDER)
@click.option("--data", type=FOLDER, required=True, help="A folder with one folder per class.")
@click.option("--against", type=FOLDER, help="Another model: both are scored, and compared.")
@click.option(
    "--labels", type=FOLDER, help="A file with one label a line; the model's own, if not."
)
@pixel_options
@click.option("--device", help="Where it runs, compared with this machine; here if left out.")
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
    """Score MODEL, a .tflite file, on a folder of labelled images: all of it, or its val/ folder.

    \b
    edgecv evaluate model_int8.tflite --data photos/ --against model_float32.tflite
    edgecv evaluate model_int8.tflite --data photos/ --device rpi4
    """
    from edgecv.cli.progress import Terminal
    from edgecv.data.labelled import labelled_folder
    from edgecv.device import description
    from edgecv.tflite import compiled, metadata
    from edgecv.tflite.label_file import label_lines

    progress = Terminal()
    delegate = description.find(device).delegate if device else "auto"
    compiled.check_runs([model, *([against] if against else [])], delegate)
    known = metadata.read(model) or metadata.Metadata()
    named = label_lines(labels) if labels else known.labels
    images = labelled_folder(data, named, progress)
    for warning in _overlap(model, data, [photo.sha256 for photo, _ in images.photos]):
        progress.warn(warning)
    models = _models(model, against, normalization(**pixels))
    found = _scored(models, images, known.crop, device, progress)
    found["warnings"] = progress.warnings
    click.echo(json.dumps(found) if as_json else _text(found, model))


def _scored(
    models: "dict[str, TFLiteModel]",
    images: "Labelled",
    crop: float,
    device: str | None,
    progress: "Progress",
) -> dict[str, Any]:
    """The figures of the models; what is measured against comes first."""
    from edgecv.coral.board import ready
    from edgecv.device import description
    from edgecv.evaluate import evaluate
    from edgecv.parity import evaluate_on
    from edgecv.tflite import flatbuffer, trial
    from edgecv.tflite.ends import ends

    judged = models["model"]
    image, _ = ends(flatbuffer.read(judged.path), str(judged.path))
    samples = images.samples(image["shape"][1], crop)
    reference, candidate = models.get("against", judged), judged if "against" in models else None
    parts = (reference, candidate, samples, images.labels, str(images.root))
    if device is None:
        for each in models.values():
            trial.survived(each.path)
        return evaluate(*parts, progress).accuracy
    board = description.find(device)
    if board.delegate == "edgetpu":
        for each in models.values():
            ready(board, each.path, progress)
    return evaluate_on(board, *parts, progress)


def _models(
    model: Path, against: Path | None, asked: "Normalization | None"
) -> "dict[str, TFLiteModel]":
    """The models, each with its pixels normalised as its file says, as asked, or as the other."""
    from edgecv.artifacts import CENTERED, TFLiteModel
    from edgecv.tflite import flatbuffer, metadata

    paths = {"model": model, **({"against": against} if against else {})}
    said = {name: metadata.stated(flatbuffer.read(path)) for name, path in paths.items()}
    other = next((each for each in said.values() if each), CENTERED)
    return {
        name: TFLiteModel(path, name, said[name] or asked or other) for name, path in paths.items()
    }


def _overlap(model: Path, data: Path, evaluated: list[str]) -> list[str]:
    """A warning when images to evaluate on set the model's ranges, as its manifest tells."""
    from edgecv.data.lint import overlap_warnings
    from edgecv.quantize.manifest import read_hashes

    places = (model.with_suffix(".calibration.json"), model.with_name("calibration.json"))
    manifest = next((each for each in places if each.is_file()), None)
    return overlap_warnings(read_hashes(manifest), evaluated, str(data)) if manifest else []


def _text(found: dict[str, Any], model: Path) -> str:
    """Accuracy of each model, and how often they agree."""
    lines = [
        f"{name:<10} top-1 {found[name]['top1']:.1%}"
        + (f", top-5 {found[name]['top5']:.1%}" if "top5" in found[name] else "")
        for name in ("against", "model")
        if name in found
    ]
    if "agreement" in found:
        lines.append(f"{'agreement':<10} {found['agreement']:.1%}")
    lines.append(f"{'images':<10} {found['images']} of {found['data']}")
    lines += [
        f"{'mistake':<10} {each['label']} taken for {each['predicted']}, {each['images']} times"
        for each in found["confusions"][:3]
    ]
    lines += [f"{'warning':<10} {each}" for each in found["warnings"]]
    for each in found.get("on", {}).values():
        lines += [f"{'on':<10} {each['device']}, {each['runtime']}", _parity(each["parity"])]
    return "\n".join([*lines, "", f"Next: edgecv profile {model}"])


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
