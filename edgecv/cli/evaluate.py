"""`edgecv evaluate`: how good any .tflite is on labelled images."""

import json
from pathlib import Path
from typing import Any

import click

from edgecv.cli.options import json_option

FOLDER = click.Path(path_type=Path)


@click.command()
@click.argument("model", type=FOLDER)
@click.option("--data", type=FOLDER, required=True, help="A folder with one folder per class.")
@click.option("--against", type=FOLDER, help="Another model: both are scored, and compared.")
@click.option(
    "--labels", type=FOLDER, help="A file with one label a line; the model's own, if not."
)
@json_option
def evaluate(
    model: Path, data: Path, against: Path | None, labels: Path | None, as_json: bool
) -> None:
    """Score MODEL, a .tflite file, on a folder of labelled images: all of it, or its val/ folder.

    \b
    edgecv evaluate model_int8.tflite --data photos/ --against model_float32.tflite
    """
    from edgecv import evaluate as stage
    from edgecv.artifacts import TFLiteModel
    from edgecv.cli.progress import Terminal
    from edgecv.data.labelled import labelled_folder
    from edgecv.tflite import metadata, runtime

    progress = Terminal()
    known = metadata.read(model) or metadata.Metadata()
    named = _lines(labels) if labels else known.labels
    images = labelled_folder(data, named, progress)
    resolution = int(runtime.load(model).get_input_details()[0]["shape"][1])
    samples = images.samples(resolution, known.crop)
    judged = TFLiteModel(model, "model")
    reference = TFLiteModel(against, "against") if against else judged
    candidate = judged if against else None
    found = stage.evaluate(
        reference, candidate, samples, images.labels, str(data), progress
    ).accuracy
    click.echo(json.dumps(found) if as_json else _text(found, model))


def _lines(path: Path) -> tuple[str, ...]:
    """The lines of a labels file."""
    from edgecv.errors import DataError

    try:
        return tuple(path.read_text(encoding="utf-8").splitlines())
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: not a readable file of labels: {error}") from error


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
    return "\n".join([*lines, "", f"Next: edgecv profile {model}"])
