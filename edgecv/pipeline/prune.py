"""The recipe's pruning with all that it needs of other stages: fine-tuning, and latency.

Stages do not know each other, so this module passes one to the other as plain functions.
"""

import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from edgecv import models
from edgecv.artifacts import TFLiteModel
from edgecv.data import Dataset
from edgecv.device import board, description
from edgecv.errors import RecipeError
from edgecv.files import write_atomically, write_text
from edgecv.models import weights
from edgecv.models.channel_groups import coupling
from edgecv.models.identify import check_own, identify
from edgecv.pipeline.dense import CALIBRATION, cut_layers
from edgecv.pipeline.history import history_files
from edgecv.pipeline.job import Job
from edgecv.profile import profile
from edgecv.progress import QUIET, Progress
from edgecv.recipe import PruneOptions, Recipe
from edgecv.tflite import flatbuffer, sparsity


def check_prune(recipe: Recipe, images: Dataset | None, classes: int) -> None:
    """Raise EdgecvError where the recipe's pruning cannot end well, before anything is trained."""
    options = recipe.prune
    if options.kind == "none":
        return
    check_keys(recipe)
    if images is None or recipe.model.weights == "random":
        why = "--weights is random" if images else "no labeled images; name some with --data DIR"
        raise RecipeError(f"--prune {options.kind}: needs training, but {why}")
    if options.latency_ms is not None:
        board.connect(description.find(options.device)).close()
    if options.kind == "channels":
        from edgecv.prune.channels import Cut, check_budget, check_latency

        check_budget(Cut.of(models.network(recipe.model, classes)), options)
        if options.latency_ms is not None:
            model = models.build(recipe.model, classes)
            check_latency(model, options, latency_of(recipe, images))
    else:
        from edgecv.prune.magnitude import pruned_layers

        pruned_layers(_prepared(models.build(recipe.model, classes), options), options)


def prune_model(job: Job, model: Any) -> tuple[Job, Any]:
    """The pruned model, as model_pruned.keras holds it, and the run with its table of channels."""
    if job.recipe.prune.kind == "none" or job.images is None:
        return job, model
    path = job.file("model_pruned.keras")
    history = history_files(job, "prune")
    with job.stage("prune", [job.file("model.keras")], path, beside=history) as missing:
        if missing:
            model = _prune(job.recipe, model, job.images, job.run.state, job.progress)
            with write_atomically(path) as partial:
                model.save(partial)
    recipe = job.recipe
    if recipe.prune.kind == "channels":
        channels = _channels(job, model if missing else None, path)
        recipe = replace(recipe, model=replace(recipe.model, channels=channels))
    if recipe.model.channels:
        write_text(job.file("recipe_pruned.toml"), _rebuild(recipe, path).to_toml())
    if not missing:
        model = _load(recipe, path, len(job.labels))
    return replace(job, recipe=recipe), model


def _prune(recipe: Recipe, model: Any, images: Dataset, state: Path, progress: Progress) -> Any:
    """The pruned model, fine-tuned; an interrupted pruning goes on from the folder `state`."""
    prune = _narrower if recipe.prune.kind == "channels" else _sparse
    return prune(recipe, model, images, state, progress)


def _channels(job: Job, model: Any | None, path: Path) -> tuple[int, ...] | None:
    """The table of channels of the pruned model, or else of its file; None where all are left."""
    if model is None:
        return identify(path, job.recipe.model.depth).channels
    published = job.architecture._replace(channels=(), lanes=False)
    full = coupling(models.network(published, len(job.labels))).counts
    counts = coupling(model).counts
    return None if counts == full else counts


def _load(recipe: Recipe, path: Path, classes: int) -> Any:
    """The pruned model that a .keras file holds, for a recipe with its channels."""
    model = _prepared(models.build(recipe.model, classes), recipe.prune)
    weights.load(model, replace(recipe.model, weights=str(path)), QUIET)
    return model


def _rebuild(recipe: Recipe, path: Path) -> Recipe:
    """The recipe that rebuilds a narrowed model, from its weights and without pruning."""
    return replace(
        recipe,
        model=replace(recipe.model, weights=str(path), sha256=""),
        train=replace(recipe.train, epochs=0),
        prune=PruneOptions(),
    )


def describe_pruning(job: Job, dense: Recipe, smallest: TFLiteModel) -> dict[str, Any]:
    """The report's `pruning`: zeros by layer, as the smallest file has them, or the channels.

    `dense` is the recipe before the pruning, `job` after it.
    """
    recipe, kind = job.recipe, job.recipe.prune.kind
    if kind == "none":
        return {"kind": kind, "sparsity": 0.0}
    rows = sparsity.zeros(flatbuffer.read(smallest.path))
    pruning: dict[str, Any] = {"kind": kind, "sparsity": round(sparsity.share(rows), 4)}
    if kind == "channels":
        layers = cut_layers(dense, recipe, len(job.labels))
        return pruning | {"channels": list(recipe.model.channels or ()), "layers": layers}
    return pruning | {"layers": [{**row._asdict(), "share": round(row.share, 4)} for row in rows]}


def epochs(recipe: Recipe, images: Dataset) -> int:
    """Epochs of fine-tuning, over all steps."""
    from edgecv.train import PRUNED

    asked = recipe.prune.epochs
    return PRUNED.epochs(images.train_size) if asked is None else asked


def check_keys(recipe: Recipe) -> None:
    """Raise RecipeError where keys of the table do not go together, or with the model."""
    options = recipe.prune
    budgets = [key for key in ("keep", "macs", "latency_ms") if getattr(options, key) is not None]
    flags = ", ".join("--max-latency" if key == "latency_ms" else f"--{key}" for key in budgets)
    if options.kind != "channels" and budgets:
        raise RecipeError(f"{flags}: only with --prune channels, got --prune {options.kind}")
    if len(budgets) > 1:
        raise RecipeError(f"{flags}: one budget at a time; leave the others out")
    if options.sparsity is not None and options.kind not in ("magnitude", "xnnpack"):
        hint = "channels takes --keep or --macs" if options.kind == "channels" else "2:4 is 0.5"
        raise RecipeError(f"--sparsity: only with --prune magnitude or xnnpack; {hint}")
    if options.kind == "channels":
        check_own(recipe.model, "--prune channels")


def _prepared(model: Any, options: PruneOptions) -> Any:
    """The model in the form that is pruned."""
    if options.kind != "xnnpack":
        return model
    from edgecv.prune.magnitude import pad_strides

    return pad_strides(model)


def _sparse(recipe: Recipe, model: Any, images: Dataset, state: Path, progress: Progress) -> Any:
    """The model with small weights at zero, by tfmot's wrappers, and stripped of them."""
    from edgecv.prune.magnitude import RISING, sparse_twin, strip_twin
    from edgecv.train import fine_tune

    prepared, count = _prepared(model, recipe.prune), max(1, epochs(recipe, images))
    steps = count * -(-images.train_size // recipe.train.batch)
    plan = sparse_twin(prepared, recipe.prune, steps)
    done = fine_tune(
        recipe,
        plan.model,
        images,
        count,
        state / "sparse.npz",
        progress,
        stage=f"{recipe.prune.kind}, epoch",
        callback=plan.callback,
        teacher=model if recipe.prune.distill else None,
        settled=RISING,
    )
    return strip_twin(done)


def _narrower(recipe: Recipe, model: Any, images: Dataset, state: Path, progress: Progress) -> Any:
    """The model with fewer channels."""
    from edgecv.prune.channels import ChannelJob, prune_channels, sample_images
    from edgecv.train import fine_tune

    def tune(smaller: Any, count: int, checkpoint: Path, label: str) -> Any:
        others = {"stage": label, "teacher": model if recipe.prune.distill else None}
        return fine_tune(recipe, smaller, images, count, checkpoint, progress, **others)

    norm = models.normalization(recipe.model)
    some = sample_images(images, model.input_shape[1], norm)
    latency = latency_of(recipe, images) if recipe.prune.latency_ms is not None else None
    job = ChannelJob(model, recipe.prune, some, state, progress, latency)
    return prune_channels(job, epochs(recipe, images), tune)


def latency_of(recipe: Recipe, images: Dataset) -> Callable[[Any], float]:
    """A function of a Keras model: p50 in ms of its int8 twin on the recipe's device, measured."""
    from edgecv.convert.keras import convert
    from edgecv.quantize.calibrate import calibrate
    from edgecv.quantize.int8 import quantize

    side = models.resolve(recipe.model).resolution
    few = [sample.image for sample in images.calibration(side, CALIBRATION)]
    norm = models.normalization(recipe.model)

    def latency(model: Any) -> float:
        with tempfile.TemporaryDirectory(prefix="edgecv-") as folder:
            reference = convert(model, Path(folder) / "float32.tflite", norm)
            twin = quantize(reference, calibrate(reference, few), Path(folder) / "int8.tflite")
            entries = profile(TFLiteModel(twin.path, "int8"), recipe.profile, recipe.prune.device)
        return float(entries["p50_ms"])

    return latency
