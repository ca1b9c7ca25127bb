"""`edgecv prune`: a trained Keras model, made smaller."""

import dataclasses
from pathlib import Path
from typing import Any

import click

from edgecv.cli.build import summary
from edgecv.cli.options import json_option, prune_flags, prune_options
from edgecv.recipe import PRUNINGS, ModelOptions, Recipe, override

FILE = click.Path(path_type=Path)


@click.command()
@click.argument("model", type=FILE)
@click.option("--data", "path", required=True, help="A folder with one folder of images per class.")
@click.option("--kind", type=click.Choice(PRUNINGS[1:]), default="channels", show_default=True)
@prune_options
@click.option("--depth", type=float, help="Of an EfficientNet that is not as deep as published.")
@click.option("--quantize", "scheme", help="int8, float16, dynamic or none.")
@click.option("--qat/--no-qat", default=None, help="Train some more with int8's rounding.")
@click.option("--seed", type=int, help="Of splits and augmentation.")
@click.option("-o", "--out", type=FILE, help="Run folder; runs/NAME if left out.")
@click.option("--force", is_flag=True, help="Build anew what the run folder holds.")
@json_option
def prune(
    model: Path,
    depth: float | None,
    out: Path | None,
    force: bool,
    as_json: bool,
    **flags: Any,
) -> None:
    """Prune MODEL, a trained .keras or .h5 file, fine-tune it, and make its int8 twin.

    channels takes a model of edgecv; magnitude, 2:4 and xnnpack any Keras classifier of
    convolutions. Where it does not scale pixels itself, [-1, 1] is what it is trained on.

    \b
    edgecv prune runs/mine/model.keras --data photos/ --macs 0.5
    edgecv prune runs/mine/model.keras --data photos/ --latency-ms 20 --prune-device rpi4
    edgecv prune model.keras --data photos/ --kind magnitude --sparsity 0.5
    """
    sections = {
        "data": {"path": flags["path"]},
        "train": {"epochs": 0, "qat": flags["qat"]},
        "prune": prune_flags(flags),
        "quantize": {"scheme": flags["scheme"]},
    }
    recipe = override(Recipe(), {"seed": flags["seed"]}, sections)
    from edgecv import inputs, pipeline, pruning
    from edgecv.cli.progress import Terminal
    from edgecv.files import check_cleared
    from edgecv.models.identify import check_format, check_readable, identified
    from edgecv.models.tensorflow import import_tensorflow
    from edgecv.runfolder import check_kept

    if out and force:
        check_cleared(out, [model, Path(flags["path"])])
    check_format(model)
    named = dataclasses.replace(recipe, model=ModelOptions(weights=str(model)))
    inputs.check_named(named)
    check_readable(model)
    recipe = dataclasses.replace(recipe, model=identified(model, depth))
    recipe = inputs.resolved(recipe)
    pruning.check_keys(recipe)
    out = out or Path("runs") / pipeline.run_name(recipe)
    check_kept(out, recipe, force)
    import_tensorflow()
    report = pipeline.build(recipe, out, Terminal(), force)
    click.echo(report.to_json() if as_json else summary(report, out))
