"""`edgecv build`: from an architecture to a measured int8 model."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from edgecv import recipe as recipes
from edgecv.cli.options import coral_words, json_option, model_options, prune_flags, prune_options
from edgecv.recipe import Recipe, override

if TYPE_CHECKING:
    from edgecv.artifacts import Report


@click.command()
@click.argument("arch", required=False)
@click.option("--recipe", "recipe_name", help="A recipe file, or the name of a shipped recipe.")
@model_options
@click.option("--weights", help="imagenet, random, or a .keras or .h5 file.")
@click.option("--data", "path", help="Images: a folder for every class, or a CSV file of classes.")
@click.option("--epochs", type=int, help="Training epochs; chosen by the data if left out.")
@click.option("--images-per-epoch", type=int, help="Renders per epoch of the built-in signs.")
@click.option("--qat/--no-qat", default=None, help="Train some more with int8's rounding.")
@click.option("--qat-epochs", type=int, help="Epochs of that; chosen by the data if left out.")
@click.option("--prune", "kind", help="channels, magnitude, 2:4 or xnnpack; none if left out.")
@prune_options
@click.option("--quantize", "scheme", help="int8, float16, dynamic or none.")
@click.option("--calibration", help="A folder of images that set the int8 ranges.")
@click.option(
    "--calibration-images", "images", type=int, help="How many images do; 100 if not said."
)
@click.option("--method", help="Of the int8 ranges: auto, minmax, percentile, mse or entropy.")
@click.option(
    "--output-type", "output", help="Type of an int8 model's scores: uint8, int8, float32."
)
@click.option("--target", help="cpu, or coral: what the Edge TPU takes, and the plan of it.")
@click.option("--threads", type=int, help="Threads of the latency measurement.")
@click.option("--runtime", help="Runtime of the latency measurement: auto, litert or tflite.")
@click.option("--seed", type=int, help="Of weights, splits and augmentation.")
@click.option(
    "-o", "--out", type=click.Path(path_type=Path), help="Run folder; runs/NAME if left out."
)
@click.option("--force", is_flag=True, help="Build anew what the run folder holds.")
@json_option
def build(out: Path | None, force: bool, as_json: bool, **flags: Any) -> None:
    """Train or load ARCH, convert, quantize, check and profile it.

    \b
    edgecv build mobilenet --width 0.75 --res 160
    edgecv build mobilenet_v2 --data photos/ --weights imagenet
    edgecv build --recipe mobilenet_v3_small_100_160_int8
    edgecv build mobilenet --data photos/ --prune channels --macs 0.5
    edgecv build mobilenet_v3_small --data photos/ --target coral
    """
    recipe, named = from_flags(**flags), flags["recipe_name"]
    from edgecv import inputs, pipeline
    from edgecv.cli.progress import Terminal
    from edgecv.models.tensorflow import import_tensorflow
    from edgecv.runfolder import check_kept

    out = out or Path("runs") / pipeline.run_name(recipe)
    check_kept(out, recipe, force, recipes.find(named) if named else None)
    inputs.check_named(recipe)
    progress = Terminal()
    progress.line(introduction(recipe))
    import_tensorflow()
    report = pipeline.build(recipe, out, progress, force)
    click.echo(report.to_json() if as_json else summary(report, out))


def introduction(recipe: Recipe) -> str:
    """What is being built from what, and how to use one's own images."""
    from edgecv.models import resolve

    model = resolve(recipe.model)
    start = {"": "", "random": " with random weights"}.get(
        model.weights, f" starting from {model.weights} weights"
    )
    data = f" on {recipe.data.path}" if recipe.data.path else ""
    if not recipe.data.path and not model.weights:
        data = " on the built-in road signs (your own images: --data DIR, a folder per class)"
    return f"building {model.arch} {model.width:g}/{model.resolution}{start}{data}"


def summary(report: "Report", out: Path) -> str:
    """The figures that decide, the float32 and the smaller model side by side."""
    from edgecv.report import lint

    schemes = list(report.files)
    accuracy = report.accuracy or {}
    latency = {each["model"]: each for each in report.latency}
    rows = [("", schemes, "")]
    rows += [("file", [f"{report.files[each]['bytes'] / 1e6:.2f} MB" for each in schemes], "")]
    if accuracy:
        agreement = accuracy.get("agreement")
        note = f"{accuracy['images']} unseen images of {accuracy['data']}"
        note += f", the same answer on {agreement:.1%}" if agreement is not None else ""
        rows += [("top-1", [f"{accuracy[each]['top1']:.1%}" for each in schemes], note)]
    if means := accuracy.get("mean_over_classes"):
        rows += [("mean", [f"{means[each]:.1%}" for each in schemes], "top-1 over classes")]
    how = next(iter(latency.values()))
    note = f"p50 on this machine, {how['runtime']}, {how['threads']} thread(s)"
    note += "" if all(each["valid"] for each in report.latency) else "; not valid, see the report"
    rows += [("latency", [f"{latency[each]['p50_ms']:.2f} ms" for each in schemes], note)]
    cells = [(name, "".join(f"{each:>12}" for each in row), note) for name, row, note in rows]
    lines = [f"{name:<8}{row}   {note}".rstrip() for name, row, note in cells]
    if report.coral:
        lines += [f"{'coral':<8}    {coral_words(report.coral['estimated'])}"]
    lines += [f"warning: {each}" for each in report.warnings]
    smallest = out / report.files[schemes[-1]]["path"]
    lines += ["", f"Look at it: {out / 'report.html'}"]
    following = "coral compile {}" if report.coral else "profile {} --threads 2"
    better = lint.next_build(report, recipes.load(out / "recipe.toml"), out)
    return "\n".join([*lines, f"Next: {better or f'edgecv {following.format(smallest)}'}"])


SECTIONS = {  # which table of the recipe a flag belongs to
    "model": ("arch", "width", "resolution", "depth", "classes", "lanes", "weights"),
    "data": ("path",),
    "train": ("epochs", "images_per_epoch", "qat", "qat_epochs"),
    "quantize": ("scheme", "calibration", "images", "method", "output", "target"),
    "profile": ("threads", "runtime"),
}


def from_flags(recipe_name: str | None, seed: int | None, **flags: Any) -> Recipe:
    """The recipe named, or the default one, with the command line's flags on top."""
    recipe = recipes.load(recipes.find(recipe_name)) if recipe_name is not None else Recipe()
    sections: dict[str, dict[str, object]] = {
        section: {key: flags.get(key) for key in keys} for section, keys in SECTIONS.items()
    }
    sections["prune"] = prune_flags(flags)
    for section, key in (("data", "path"), ("model", "weights")):
        if flags[key]:
            sections[section]["sha256"] = ""  # the recipe's was of another
    return override(recipe, {"seed": seed}, sections)
