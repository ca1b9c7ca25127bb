"""build(): from a recipe to a measured run, and beside it all kinds of pruning where asked for."""

from pathlib import Path

from edgecv import models
from edgecv.artifacts import Report
from edgecv.pipeline.cache import StageCache
from edgecv.pipeline.compare import add_comparison
from edgecv.pipeline.run import RunOptions, run
from edgecv.progress import QUIET, OnEpoch, Progress
from edgecv.recipe import Recipe


def run_name(recipe: Recipe) -> str:
    """`mobilenet_v1_075_160_int8`: arch, width, side and scheme, as recipes are named.

    Pruning adds its kind, the Edge TPU `_coral`, quantization-aware training `_qat`.
    """
    model = models.resolve(recipe.model)
    width = f"{model.width:.2f}".replace(".", "")
    scheme = "float32" if recipe.quantize.scheme == "none" else recipe.quantize.scheme
    kind = "" if recipe.prune.kind == "none" else f"_{recipe.prune.kind.replace(':', '_')}"
    kind += "_coral" * (recipe.quantize.target == "coral")
    return f"{model.arch}_{width}_{model.resolution}_{scheme}{kind}" + "_qat" * recipe.train.qat


def build(
    recipe: Recipe,
    out: Path,
    progress: Progress = QUIET,
    force: bool = False,
    cache: StageCache | None = None,
    measure: bool = True,
    on_epoch: OnEpoch | None = None,
) -> Report:
    """Carry a model through every stage of its recipe; what each one made lies in `out`.

    An interrupted run goes on where it stopped; a finished one is only read. What `cache` holds is
    not made again. Without `measure`, the latency is left to others, who have the machine alone.
    `on_epoch` is called after each epoch of the training, and may end the run by raising. Raises
    EdgecvError, before anything is trained, where the recipe cannot be followed.
    """
    before_report = add_comparison if recipe.prune.compare else None
    options = RunOptions(force, cache, measure, on_epoch, before_report)
    return run(recipe, out, progress, options)
