"""`edgecv convert`: any Keras file or SavedModel to a float .tflite."""

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from edgecv.cli.options import json_option, normalization, pixel_options

if TYPE_CHECKING:
    from edgecv.convert.any_model import Converted

FILE = click.Path(path_type=Path)


@click.command()
@click.argument("model", type=FILE)
@click.option("-o", "--out", type=FILE, required=True, help="The float .tflite to write.")
@click.option("--labels", type=FILE, help="A file with one label a line, kept in the .tflite.")
@click.option(
    "--res",
    "side",
    type=click.IntRange(8, 4096),
    help="Image side, for a model that takes any size.",
)
@pixel_options
@json_option
def convert(
    model: Path,
    out: Path,
    labels: Path | None,
    side: int | None,
    as_json: bool,
    **pixels: str | None,
) -> None:
    """Convert MODEL, a .keras or .h5 file or a SavedModel folder, to a float .tflite of batch 1.

    Nothing in it is executed. What it does to pixels first is not converted but said in the file,
    so that cameras' bytes can go in. The answers of both are compared on random images.

    \b
    edgecv convert keras_model.h5 --labels labels.txt --mean 127.5 --std 127.5 -o float.tflite
    edgecv convert saved_model/ -o float.tflite
    """
    asked = normalization(**pixels)
    from edgecv.convert.any_model import check_source, convert_file
    from edgecv.files import check_outputs
    from edgecv.models.tensorflow import import_tensorflow
    from edgecv.tflite.label_file import label_lines

    check_outputs([out], [model, *([labels] if labels else [])])
    names = label_lines(labels) if labels else ()
    check_source(model, asked)
    import_tensorflow()
    converted = convert_file(model, out, names, asked, side)
    click.echo(json.dumps(converted.to_json()) if as_json else _text(converted))


def _text(converted: "Converted") -> str:
    """The converted model's input and output, and the next command."""
    from edgecv.convert.any_model import describe_scale

    size = f"{converted.path.stat().st_size / 1e6:.2f} MB"
    scale = (
        describe_scale(converted.normalization)
        if converted.normalization
        else "pixels of a scale that the model does not say: --mean and --std"
    )
    labels = f"{len(converted.labels)}, in the file" if converted.labels else "none: --labels FILE"
    rows = {
        "float32": f"{converted.path}, {size}, from {converted.kind}",
        "input": f"{[*converted.image]}, {scale}",
        "output": f"{[*converted.scores]}"
        + (f", {converted.ends_in}" if converted.ends_in else ""),
        "labels": labels,
        "checked": f"on random images, the scores differ by {converted.difference:.1e} at most"
        f" (the largest: {converted.largest:.2g})",
    }
    return "\n".join(
        [
            *(f"{name:<12} {text}" for name, text in rows.items()),
            "",
            f"Next: edgecv quantize {converted.path} --calibration PHOTOS -o model_int8.tflite",
        ]
    )
