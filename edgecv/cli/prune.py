"""`edgecv prune`: a trained Keras model, made smaller."""

import dataclasses
from pathlib import Path
from typing import Any

import click

from edgecv.cli.build import summary
from edgecv.cli.command import Command, add_group
from edgecv.cli.options import PRUNE, check_device, json_option
from edgecv.cli.recipe_flags import SET, flag, plain, recipe_of
from edgecv.cli.units import OneOf
from edgecv.recipe import PRUNINGS, ModelOptions, Recipe, override

FILE = click.Path(path_type=Path)


@click.command(cls=Command)
@click.argument("model", type=FILE)
@add_group(
    "Pruning",
    flag("prune.kind", "What is pruned.", type=OneOf(PRUNINGS[1:]), default="channels"),
    *PRUNE,
)
@add_group(
    "Data and training",
    flag("data.path", "A folder with one folder of images per class.", required=True),
    flag("train.qat", "Train some more with int8's rounding."),
    flag("model.depth", "Of an EfficientNet that is not as deep as published.", "as published"),
    flag("seed", "Of splits and augmentation."),
)
@add_group("Quantization", flag("quantize.scheme", "Number type of the small model."))
@add_group(
    "Run",
    SET,
    plain("-o", "--out", type=FILE, help="Run folder.", show_default="runs/NAME"),
    plain("--force", is_flag=True, help="Build anew what the run folder holds."),
)
@json_option
def prune(
    model: Path,
    settings: tuple[str, ...],
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
    edgecv prune runs/mine/model.keras --data photos/ --max-latency 20ms --device rpi4
    edgecv prune model.keras --data photos/ --prune magnitude --sparsity 0.5
    """
    base = override(Recipe(), {}, {"train": {"epochs": 0}, "prune": {"kind": flags["prune_kind"]}})
    recipe = recipe_of(base, settings)
    check_device(recipe)
    from edgecv.cli.progress import Terminal
    from edgecv.files import check_cleared
    from edgecv.models.identify import check_format
    from edgecv.models.tensorflow import import_tensorflow
    from edgecv.pipeline import build as pipeline
    from edgecv.pipeline.run_folder import check_kept

    if out and force:
        check_cleared(out, [model, Path(flags["data_path"])])
    check_format(model)
    recipe = _resolve(recipe, model, flags["model_depth"])
    out = out or Path("runs") / pipeline.run_name(recipe)
    check_kept(out, recipe, force)
    import_tensorflow()
    report = pipeline.build(recipe, out, Terminal(), force)
    click.echo(report.to_json() if as_json else summary(report, out))


def _resolve(recipe: Recipe, model: Path, depth: float | None) -> Recipe:
    """The recipe for the architecture of a model's file, checked."""
    from edgecv.models.identify import check_readable, identify
    from edgecv.pipeline import inputs
    from edgecv.pipeline import prune as pruning

    inputs.check_named(dataclasses.replace(recipe, model=ModelOptions(weights=str(model))))
    check_readable(model)
    recipe = dataclasses.replace(recipe, model=identify(model, depth))
    recipe = inputs.resolve_recipe(recipe)
    pruning.check_keys(recipe)
    return recipe
