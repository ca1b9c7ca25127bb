"""`edgecv quantize`: any float .tflite and a folder of images to an int8 one."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from edgecv.cli.command import Command, add_group, option
from edgecv.cli.options import json_option, normalization, pixel_options
from edgecv.cli.recipe_flags import flag, plain, recipe_of
from edgecv.cli.units import POINTS
from edgecv.errors import CheckFailed, RecipeError, plural
from edgecv.recipe import Recipe, check_target

if TYPE_CHECKING:
    from edgecv.pipeline.quantize_file import Request

FILE = click.Path(path_type=Path)
SHOWN = 15  # layers of the table; all are in the file


@click.command(cls=Command)
@click.argument("model", type=FILE)
@add_group(
    "Ranges",
    plain(
        "--calibration",
        type=FILE,
        required=True,
        help="A folder of images, flat or nested; or bn: the batch norms recorded beside MODEL.",
    ),
    flag("quantize.images", "How many of the images set the ranges."),
    flag("quantize.method", "How the int8 ranges are chosen."),
    flag("seed", "Which images are taken, where there are more."),
)
@add_group(
    "Model",
    flag("quantize.input", "Type of an int8 model's pixels; int8: pixel ^ 0x80, a bit faster."),
    flag("quantize.output", "Type of an int8 model's scores."),
    flag("quantize.target", "What it is to run on; coral: one scale per fully connected layer."),
    plain("--labels", type=FILE, help="A file with one label a line.", show_default="the model's"),
)
@add_group(
    "Accuracy",
    plain("--max-drop", type=POINTS, help="Largest allowed drop of top-1, in points."),
    plain("--validation", type=FILE, help="Where that is measured: a folder for each class."),
    plain("--sensitivity", is_flag=True, help="Table, JSON and page of what each layer costs."),
    plain("--require-full-int8", is_flag=True, help="Exit 3 when an operator stays float."),
)
@pixel_options
@option("-o", "--out", type=FILE, required=True, help="The int8 file to write.")
@json_option
def quantize(
    model: Path,
    calibration: Path,
    out: Path,
    require_full_int8: bool,
    as_json: bool,
    **flags: Any,
) -> None:
    """Write the int8 twin of MODEL, a float .tflite whose input is an image, or a Keras file.

    \b
    edgecv quantize model_float32.tflite --calibration photos/ -o model_int8.tflite
    edgecv quantize model_float32.tflite --calibration bn -o model_int8.tflite
    edgecv quantize float.tflite --calibration photos/ -o int8.tflite --max-drop 1 --validation my/
    """
    asked = {key: flags[key] for key in ("max_drop", "validation", "labels", "sensitivity")}
    asked["normalization"] = normalization(flags["mean"], flags["std"])
    recipe = recipe_of(Recipe(), ())
    _check(**asked)
    from edgecv.quantize.manifest import check_paths
    from edgecv.tflite import compiled

    check_paths(model, calibration, out, asked["validation"], asked["labels"])
    from edgecv.cli.progress import Terminal
    from edgecv.convert.any_model import as_tflite, is_source
    from edgecv.models.tensorflow import import_tensorflow
    from edgecv.pipeline.quantize_file import check_named, quantize_file

    request, progress = _request(**asked), Terminal()
    if is_source(model):
        _check_source(model, calibration, recipe, request)
    source = as_tflite(model, progress)
    compiled.check_float(source)
    check_named(source, calibration, request)
    import_tensorflow()
    result = quantize_file(source, calibration, out, recipe, progress, request).to_dict()
    click.echo(json.dumps(result) if as_json else _text(result, model))
    _judge(result, out, require_full_int8)


def _judge(result: dict[str, Any], out: Path, require_full_int8: bool) -> None:
    """Raise CheckFailed where the file is not all int8, or loses more accuracy than allowed."""
    if require_full_int8 and not result["full_int8"]:
        raise CheckFailed(f"{out}: operators stay float: {', '.join(result['float_operators'])}")
    if "ladder" in result and not result["ladder"]["met"]:
        raise CheckFailed(f"{out}: {_missed(result['ladder'])}")


def _check_source(model: Path, calibration: Path, recipe: Recipe, request: "Request") -> None:
    """Raise EdgecvError where what is named beside a Keras file or SavedModel cannot be used."""
    from edgecv.convert.any_model import check_source
    from edgecv.pipeline.quantize_file import BATCH_NORMS, check_images

    check_target(recipe.quantize)
    if str(calibration) == BATCH_NORMS:
        raise RecipeError(
            f"--calibration {BATCH_NORMS}: needs a .tflite that edgecv build made, with its record"
            f" of batch norms; name a folder of images for {model}"
        )
    check_images(calibration, request)
    check_source(model, request.normalization)


def _check(max_drop: float | None, validation: Path | None, sensitivity: bool, **_: Any) -> None:
    """Raise RecipeError where the flags do not go together."""
    if max_drop is not None and validation is None:
        raise RecipeError("--max-drop: needs --validation, a folder of labeled images")
    if validation is not None and max_drop is None and not sensitivity:
        raise RecipeError(
            "--validation: needs --max-drop or --sensitivity, which are measured on it"
        )


def _request(labels: Path | None, **asked: Any) -> "Request":
    """The flags as quantize_file takes them."""
    from edgecv.pipeline.quantize_file import Request
    from edgecv.tflite.label_file import label_lines

    return Request(labels=label_lines(labels) if labels else (), **asked)


def _text(result: dict[str, Any], model: Path) -> str:
    """The written file in words, and the next command."""
    from edgecv.tflite import delegation, int8_input

    size = f"{result['bytes'] / 1e6:.2f} MB, {result['float32_bytes'] / result['bytes']:.1f}x less"
    arithmetic = (
        "all int8" if result["full_int8"] else "float: " + ", ".join(result["float_operators"])
    )
    source = (
        plural(result["images"], "image") if result["images"] else "batch norms, without images"
    )
    return "\n".join(
        [
            f"{'int8':<12} {result['path']}, {size}",
            f"{'ranges':<12} {result['calibration']}, from {source}",
            f"{'input':<12} {int8_input.WORDS[result['input']]}",
            f"{'arithmetic':<12} {arithmetic}",
            f"{'XNNPACK':<12} {delegation.text(result['xnnpack'])}",
            *(f"{'note':<12} {note}" for note in result["notes"]),
            *(f"{'warning':<12} {warning}" for warning in result["warnings"]),
            *(_fidelity(result["fidelity"]) if "fidelity" in result else []),
            *(_attempts(result["ladder"]) if "ladder" in result else []),
            *(_sensitivity(result["sensitivity"]) if "sensitivity" in result else []),
            "",
            f"Compare: edgecv evaluate {result['path']} --against {model} --data LABELED_FOLDER",
        ]
    )


def _fidelity(result: dict[str, Any]) -> list[str]:
    """How alike the numbers are that are no scores of classes."""
    words = (
        f"cosine {result['cosine']:.4f} (least {result['least_cosine']:.4f}), error"
        f" {result['relative_error']:.1%}, on {result['images']} {result['data']}"
    )
    return [f"{'fidelity':<12} {words}"]


def _attempts(result: dict[str, Any]) -> list[str]:
    """Every attempt to keep the accuracy budget, and which was kept."""
    head = f"{'attempt':<12} {'drop':>6} {'top-1':>7} {'same':>7} {'MB':>7} {'ms':>7} {'s':>5}"
    rows = [
        f"{attempt['name']:<12} {attempt['drop']:6.2f} {attempt['top1']:7.1%}"
        f" {attempt['agreement']:7.1%} {attempt['bytes'] / 1e6:7.2f}"
        f" {attempt['p50_ms']:7.2f} {attempt['seconds']:5.0f}"
        f"  {', '.join(attempt['float_layers'])}".rstrip()
        for attempt in result["rungs"]
    ]
    said = f"within {result['max_drop']:g} points" if result["met"] else _missed(result)
    return ["", head, *rows, f"{'kept':<12} {result['best']}: {said}"]


def _missed(result: dict[str, Any]) -> str:
    """That no attempt is within the budget, and the best of them."""
    best = next(attempt for attempt in result["rungs"] if attempt["name"] == result["best"])
    return (
        f"no attempt keeps the drop within {result['max_drop']:g} points;"
        f" the best, '{best['name']}', loses {best['drop']:g}"
    )


def _sensitivity(result: dict[str, Any]) -> list[str]:
    """The costliest layers, and where all of them are."""
    layers = result["layers"]
    labeled = bool(layers) and layers[0]["top1_drop"] is not None
    head = f"{'loss':>8} {'same':>7} {'SNR, dB':>8}{'  lost' if labeled else ''}  layer"
    rows = [
        f"{layer['loss']:8.2g} {layer['agreement']:7.1%} {layer['snr_db']:8.1f}"
        + (f"{layer['top1_drop']:6.1f}" if labeled else "")
        + f"  {layer['layer']} ({layer['operator']})"
        for layer in layers[:SHOWN]
    ]
    return ["", head, *rows, f"{'all layers':<12} {result['file']}, {result['page']}"]
