"""`edgecv build`: from an architecture to a measured int8 model."""

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING

import click

from edgecv import recipe as recipes
from edgecv.cli import completion
from edgecv.cli.command import Command, add_group
from edgecv.cli.options import MODEL, PRUNE, QUANTIZE, check_device, coral_words, json_option
from edgecv.cli.recipe_flags import RECIPE, SET, flag, plain, recipe_of
from edgecv.errors import plural
from edgecv.recipe import Recipe

if TYPE_CHECKING:
    from edgecv.artifacts import Report

PATH = click.Path(path_type=Path)
WEIGHTS = "Where the weights start: imagenet, imagenet:SOURCE, random, or a .keras or .h5 file."


@click.command(cls=Command)
@click.argument("arch", required=False, shell_complete=completion.architectures)
@add_group("Model", *MODEL, flag("model.weights", WEIGHTS, "trained from scratch"))
@add_group(
    "Data and training",
    flag("data.path", "Images: a folder for every class, or a CSV file.", "built-in road signs"),
    flag("train.epochs", "Training epochs.", "chosen by the data"),
    flag("train.minutes", "Minutes of training, instead of epochs.", "as long as it pays"),
    flag("train.images_per_epoch", "Renders per epoch of the built-in signs.", "1500"),
    flag("train.qat", "Train some more with int8's rounding."),
    flag("train.qat_epochs", "Epochs of that.", "chosen by the data"),
    flag("seed", "Of weights, splits and augmentation."),
)
@add_group("Pruning", flag("prune.kind", "What is pruned."), *PRUNE)
@add_group("Quantization", flag("quantize.scheme", "Number type of the small model."), *QUANTIZE)
@add_group(
    "Measurement, on this machine",
    flag("profile.threads", "Threads of the runtime."),
    flag("profile.runtime", "The runtime; auto is LiteRT where it is installed."),
)
@add_group(
    "Run",
    RECIPE,
    SET,
    plain("-o", "--out", type=PATH, help="Run folder.", show_default="runs/NAME"),
    plain("--force", is_flag=True, help="Build anew what the run folder holds."),
)
@json_option
def build(
    arch: str | None,
    recipe_name: str | None,
    settings: tuple[str, ...],
    out: Path | None,
    force: bool,
    as_json: bool,
    **_: object,
) -> None:
    """Train or load ARCH, convert, quantize, check and profile it.

    \b
    edgecv build mobilenet --width 0.75 --res 160
    edgecv build mobilenet_v2 --data photos/ --weights imagenet
    edgecv build --recipe mobilenet_v3_small_100_160_int8
    edgecv build mobilenet --data photos/ --prune channels --macs 0.5
    edgecv build mobilenet_v3_small --data photos/ --target coral
    """
    recipe = _recipe(arch, recipe_name, settings)
    from edgecv.cli.progress import Terminal
    from edgecv.models.tensorflow import import_tensorflow
    from edgecv.pipeline import build as pipeline
    from edgecv.pipeline import inputs
    from edgecv.pipeline.run_folder import check_kept

    out = out or Path("runs") / pipeline.run_name(recipe)
    check_kept(out, recipe, force, recipes.find(recipe_name) if recipe_name else None)
    inputs.check_named(recipe)
    inputs.check_trained_on(recipe)
    progress = Terminal()
    progress.line(introduction(recipe))
    import_tensorflow()
    report = pipeline.build(recipe, out, progress, force)
    click.echo(report.to_json() if as_json else summary(report, out))


def introduction(recipe: Recipe) -> str:
    """The model and its data in a line, and the flag for one's own images."""
    from edgecv.models import published, resolve

    model = resolve(recipe.model)
    is_imagenet = published.is_imagenet(model.weights)
    weights = published.find(model) if is_imagenet else f"{model.weights} weights"
    start = {"": "", "random": " with random weights"}.get(
        model.weights, f" starting from {weights}"
    )
    data = f" on {recipe.data.path}" if recipe.data.path else ""
    if not recipe.data.path and not model.weights:
        data = " on the built-in road signs (your own images: --data DIR, a folder per class)"
    return f"building {model.arch} {model.width:g}/{model.resolution}{start}{data}"


def summary(report: "Report", out: Path) -> str:
    """The figures that decide, the float32 and the smaller model side by side."""
    from edgecv.report import accuracy_lint
    from edgecv.tflite import delegation

    schemes = list(report.files)
    accuracy = report.accuracy or {}
    latency = {entry["model"]: entry for entry in report.latency}
    rows = [("", schemes, "")]
    rows += [("file", [f"{report.files[scheme]['bytes'] / 1e6:.2f} MB" for scheme in schemes], "")]
    if accuracy:
        agreement = accuracy.get("agreement")
        note = f"{accuracy['images']} unseen images of {accuracy['data']}"
        note += f", the same answer on {agreement:.1%}" if agreement is not None else ""
        rows += [("top-1", [f"{accuracy[scheme]['top1']:.1%}" for scheme in schemes], note)]
    if means := accuracy.get("mean_over_classes"):
        rows += [("mean", [f"{means[scheme]:.1%}" for scheme in schemes], "top-1 over classes")]
    how = next(iter(latency.values()))
    note = f"p50 on this machine, {how['runtime']}, {plural(how['threads'], 'thread')}"
    note += "" if all(entry["valid"] for entry in report.latency) else "; not valid, see the report"
    rows += [("latency", [f"{latency[scheme]['p50_ms']:.2f} ms" for scheme in schemes], note)]
    cells = [(name, "".join(f"{cell:>12}" for cell in row), note) for name, row, note in rows]
    lines = [f"{name:<8}{row}   {note}".rstrip() for name, row, note in cells]
    if taken := report.quantization.get("xnnpack"):
        lines += [f"{'XNNPACK':<8}    {delegation.text(taken)}"]
    if report.coral:
        lines += [f"{'coral':<8}    {coral_words(report.coral['estimated'])}"]
    lines += [f"warning: {warning}" for warning in report.warnings]
    smallest = out / report.files[schemes[-1]]["path"]
    lines += ["", f"Look at it: {out / 'report.html'}"]
    following = "coral compile {}" if report.coral else "profile {} --threads 2"
    better = accuracy_lint.next_build(report, recipes.load(out / "recipe.toml"), out)
    return "\n".join([*lines, f"Next: {better or f'edgecv {following.format(smallest)}'}"])


def _recipe(arch: str | None, recipe_name: str | None, settings: tuple[str, ...]) -> Recipe:
    """The recipe that is named, or the default one, with the command line on top."""
    base = recipes.load(recipes.find(recipe_name)) if recipe_name is not None else Recipe()
    recipe = recipe_of(base, settings, arch)
    check_device(recipe)
    replace = dataclasses.replace
    if recipe.data.path != base.data.path:  # the hash in the recipe is of other images
        recipe = replace(recipe, data=replace(recipe.data, sha256=""))
    if recipe.model.weights != base.model.weights:
        recipe = replace(recipe, model=replace(recipe.model, sha256=""))
    return recipe
