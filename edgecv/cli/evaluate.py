"""`edgecv evaluate`: how good any .tflite is on labeled images."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from edgecv.cli.command import option
from edgecv.cli.options import device_option, json_option, normalization, pixel_options

if TYPE_CHECKING:
    from edgecv.artifacts import Normalization
    from edgecv.tflite.contract import Asked

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
    from edgecv.pipeline.evaluate_file import evaluate_file

    asked = _asked(labels, normalization(**pixels))
    result = evaluate_file(model, data, against, asked, device, Terminal())
    click.echo(json.dumps(result) if as_json else _text(result, model))


def _asked(labels: Path | None, pixels: "Normalization | None") -> "Asked":
    """The flags as a contract takes them."""
    from edgecv.tflite.contract import Asked
    from edgecv.tflite.label_file import label_lines

    return Asked(pixels, label_lines(labels) if labels else ())


def _text(result: dict[str, Any], model: Path) -> str:
    """Accuracy of each model, and how often they agree."""
    lines = [
        f"{name:<10} top-1 {result[name]['top1']:.1%}"
        + (f", top-5 {result[name]['top5']:.1%}" if "top5" in result[name] else "")
        + f", mean over classes {result['mean_over_classes'][name]:.1%}"
        for name in ("against", "model")
        if name in result
    ]
    if "agreement" in result:
        lines.append(f"{'agreement':<10} {result['agreement']:.1%}")
    if "cosine" in result:
        lines.append(
            f"{'cosine':<10} {result['cosine']:.4f}, at least {result['least_cosine']:.4f}"
        )
        lines.append(f"{'error':<10} {result['relative_error']:.1%} of the numbers' length")
    lines.append(f"{'images':<10} {result['images']} of {result['data']}")
    lines += [
        f"{'mistake':<10} {pair['label']} taken for {pair['predicted']}, {pair['images']} times"
        for pair in result.get("confusions", [])[:3]
    ]
    lines += [f"{'warning':<10} {warning}" for warning in result["warnings"]]
    for there in result.get("on", {}).values():
        lines += [f"{'on':<10} {there['device']}, {there['runtime']}", _parity(there["parity"])]
    return "\n".join([*lines, "", _next(model)])


def _next(model: Path) -> str:
    """The command after this one; what was converted to be scored has no file to profile."""
    from edgecv.convert.any_model import is_source

    if is_source(model):
        return f"Next: edgecv quantize {model} --calibration PHOTOS -o model_int8.tflite"
    return f"Next: edgecv profile {model}"


def _parity(there: dict[str, Any]) -> str:
    """How the outputs of a board compare with this machine's."""
    if "reason" in there:
        words = f"not known: {there['reason']}"
    elif there["bit_equal"]:
        words = f"bit-equal to {there['host']} here, on all {there['images']} images"
    else:
        words = (
            f"equal to {there['host']} here on {there['identical_images']} of {there['images']}"
            f" images; {there['differing_share']:.2%} of the values differ, by at most"
            f" {there['max_difference']:g}; the same top-1 on {there['same_top1']:.1%}"
        )
    return f"{'same here':<10} {words}"
