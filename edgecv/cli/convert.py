"""`edgecv convert`: any Keras file or SavedModel to a float .tflite."""

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from edgecv.cli.options import json_option, normalization, pixel_options

if TYPE_CHECKING:
    from edgecv.convert.anybody import Converted

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
    from edgecv.convert.anybody import convert_file, look_into
    from edgecv.files import check_outputs
    from edgecv.models.tensorflow import import_tensorflow
    from edgecv.tflite.label_file import label_lines

    check_outputs([out], [model, *([labels] if labels else [])])
    names = label_lines(labels) if labels else ()
    look_into(model, asked)
    import_tensorflow()
    found = convert_file(model, out, names, asked, side)
    click.echo(json.dumps(found.to_json()) if as_json else _text(found))


def _text(found: "Converted") -> str:
    """What goes in and comes out, and what to do next."""
    from edgecv.convert.anybody import words

    size = f"{found.path.stat().st_size / 1e6:.2f} MB"
    scale = (
        words(found.normalization)
        if found.normalization
        else "pixels of a scale that the model does not say: --mean and --std"
    )
    labels = f"{len(found.labels)}, in the file" if found.labels else "none: --labels FILE"
    rows = {
        "float32": f"{found.path}, {size}, from {found.kind}",
        "input": f"{[*found.image]}, {scale}",
        "output": f"{[*found.scores]}" + (f", {found.ends_in}" if found.ends_in else ""),
        "labels": labels,
        "checked": f"on random images, the scores differ by {found.difference:.1e} at most"
        f" (the largest: {found.largest:.2g})",
    }
    return "\n".join(
        [
            *(f"{name:<12} {text}" for name, text in rows.items()),
            "",
            f"Next: edgecv quantize {found.path} --calibration PHOTOS -o model_int8.tflite",
        ]
    )
