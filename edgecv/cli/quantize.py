"""`edgecv quantize`: any float .tflite and a folder of images to an int8 one."""

import json
from pathlib import Path
from typing import Any

import click

from edgecv.cli.options import json_option
from edgecv.recipe import Recipe, override

FILE = click.Path(path_type=Path)


@click.command()
@click.argument("model", type=FILE)
@click.option(
    "--calibration", "folder", type=FILE, required=True, help="A folder of images, flat or nested."
)
@click.option("-o", "--out", type=FILE, required=True, help="The int8 file to write.")
@click.option("--calibration-images", "images", type=int, help="How many of them; 100 if left out.")
@click.option("--output-type", "output", help="Type of the scores: uint8, int8 or float32.")
@click.option("--seed", type=int, help="Which images are taken, when there are more.")
@click.option("--require-full-int8", is_flag=True, help="Exit 3 when an operator stays float.")
@json_option
def quantize(
    model: Path, require_full_int8: bool, as_json: bool, seed: int | None, **flags: Any
) -> None:
    """Write the int8 twin of MODEL, a float .tflite whose input is an image in [-1, 1].

    \b
    edgecv quantize model_float32.tflite --calibration photos/ -o model_int8.tflite
    """
    calibration, out = flags.pop("folder"), flags.pop("out")
    recipe = override(Recipe(), {"seed": seed}, {"quantize": flags})
    from edgecv.cli.progress import Terminal
    from edgecv.cli.tensorflow import import_tensorflow
    from edgecv.errors import CheckFailed
    from edgecv.posttraining import quantize_file

    import_tensorflow()
    result = quantize_file(model, calibration, out, recipe, Terminal())
    click.echo(json.dumps(result) if as_json else _text(result, model))
    if require_full_int8 and not result["full_int8"]:
        raise CheckFailed(f"{out}: operators stay float: {', '.join(result['float_operators'])}")


def _text(result: dict[str, Any], model: Path) -> str:
    """What was written, and how to see what it costs."""
    size = f"{result['bytes'] / 1e6:.2f} MB, {result['float32_bytes'] / result['bytes']:.1f}x less"
    arithmetic = (
        "all int8" if result["full_int8"] else "float: " + ", ".join(result["float_operators"])
    )
    return "\n".join(
        [
            f"{'int8':<12} {result['path']}, {size}",
            f"{'ranges':<12} {result['calibration']}, from {result['images']} images",
            f"{'arithmetic':<12} {arithmetic}",
            *(f"{'note':<12} {note}" for note in result["notes"]),
            "",
            f"Compare: edgecv evaluate {result['path']} --against {model} --data LABELLED_FOLDER",
        ]
    )
