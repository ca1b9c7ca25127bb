"""The model card of a run (Mitchell et al., 2019): its use, sources, accuracy and license.

Everything in it is from the run's own files. What nobody measured, it says was not measured.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jinja2

from edgecv import report
from edgecv.artifacts import Report
from edgecv.errors import RunFolderError
from edgecv.export import contents, micro
from edgecv.files import sha256
from edgecv.models import published, resolve
from edgecv.pipeline.run_folder import RECIPE
from edgecv.profile import results
from edgecv.recipe import Recipe, load
from edgecv.report import figures, pruning
from edgecv.report.markdown import escape, table
from edgecv.tflite import feeding

HERE = Path(__file__).parent
WORST = 5  # classes that are named
BROKEN = (ArithmeticError, LookupError, TypeError, ValueError, AttributeError)  # a report
LICENSES = {
    "trained": "The weights were trained in this run, from nothing; they are yours, as far as the"
    " images' license allows.",
    "random": "The weights are random; nobody's.",
    "imagenet": "The weights started from those of {source}, which are published under"
    " {source.license} and were trained on ImageNet; its terms of access name non-commercial"
    " research and education. Whether that binds a model is for your lawyer to say.",
    "file": "The weights started from a file; their license is their author's, and not known here.",
}


def card(run: Path, model: Path, as_c: bool = False) -> str:
    """The card of a run's file as Markdown, `as_c` of its C source too.

    Raises RunFolderError when the run is not finished, or damaged.
    """
    result, recipe = report.load(run), load(run / RECIPE)
    latency = [*result.latency, *results.read_kept(run)]
    try:
        return _rendered(run, model, result, recipe, latency, micro.needs(model) if as_c else None)
    except (*BROKEN, jinja2.UndefinedError) as error:
        words = f"{type(error).__name__}: {error}"
        raise RunFolderError(f"{run}: report.json or a latency beside it: {words}") from error


def _rendered(
    run: Path,
    model: Path,
    result: Report,
    recipe: Recipe,
    latency: Sequence[Mapping[str, Any]],
    needs: micro.Needs | None,
) -> str:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(HERE),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        autoescape=False,  # noqa: S701  # Markdown; `escape` is for that
    )
    environment.filters.update(words=escape, size=figures.size, amount=figures.amount)
    return environment.get_template("card.md.jinja").render(
        report=result,
        recipe=recipe,
        labels=contents.labels(run),
        file=model,
        bytes=model.stat().st_size,
        sha256=sha256(model),
        needs=needs,
        boards=table(micro.COLUMNS, needs.boards()) if needs else "",
        snippet=feeding.render_python(model),
        title=figures.title(result),
        accuracy=_accuracy(result),
        worst=figures.hardest(result, WORST)[:WORST] if result.accuracy else [],
        last=figures.schemes(result.accuracy)[-1] if result.accuracy else "",
        latency=_latency(latency),
        calibration=_calibration(run),
        license=_license(recipe),
        percent=figures.percent,
        pruning=pruning.words(result),
    )


def _license(recipe: Recipe) -> str:
    """The author and the license of the weights, where they are known."""
    words = LICENSES[origin(recipe)]
    if origin(recipe) != "imagenet":
        return words
    source = published.find(resolve(recipe.model))
    return words.format(source=source)


def origin(recipe: Recipe) -> str:
    """Where the weights started: `trained` is from nothing."""
    start = recipe.model.weights.partition(":")[0]
    return start if start in ("imagenet", "random") else "file" if start else "trained"


def _accuracy(result: Report) -> str:
    """A row for each model."""
    accuracy: Mapping[str, Any] = result.accuracy or {}
    rows = [
        [
            scheme,
            figures.percent_with_error(accuracy[scheme]["top1"], accuracy["images"]),
            figures.percent(accuracy[scheme]["top5"]) if "top5" in accuracy[scheme] else "",
        ]
        for scheme in figures.schemes(accuracy)
    ]
    return table(["model", "top-1", "top-5"], rows) if rows else ""


def _latency(entries: Sequence[Mapping[str, Any]]) -> str:
    """A row for each measurement, those that are not valid marked."""
    rows = [
        [
            entry["model"],
            entry["device"],
            f"{entry['runtime']}, {figures.threads(entry)}",
            f"{figures.milliseconds(entry['p50_ms'])} ms{'' if entry['valid'] else ' (not valid)'}",
        ]
        for entry in entries
    ]
    return table(["model", "device", "runtime", "p50"], rows) if rows else ""


def _calibration(run: Path) -> int:
    """How many images set the int8 ranges."""
    try:
        text = (run / "calibration.json").read_text(encoding="utf-8")
        return len(json.loads(text)["files"])
    except (OSError, ValueError, KeyError, TypeError):
        return 0
