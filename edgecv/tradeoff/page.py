"""tradeoff.html: many runs as one file that opens offline, with a chart to look around in.

The chart is plotly's, packed inside the page and unpacked by the browser; without scripts, the
tables of quantization, pruning and devices are still there.
"""

import base64
import gzip
import json
import os
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import quote

import jinja2
from markupsafe import Markup

from edgecv import __version__
from edgecv.errors import EdgecvError
from edgecv.report.environment import environment
from edgecv.tradeoff import comparison_tables
from edgecv.tradeoff.datasets import data_set, data_set_names
from edgecv.tradeoff.runs import Candidate, Runs, unique

HERE = Path(__file__).parent


def page(runs: Runs, folder: Path) -> str:
    """The whole page, to be written into `folder`: it links to the runs from there."""
    templates = environment()
    templates.loader = jinja2.ChoiceLoader([jinja2.FileSystemLoader(HERE), *_loaders(templates)])
    shown = Runs(unique(runs.candidates), runs.rejected)
    places, compared = comparison_tables.devices(shown.candidates)
    return templates.get_template("page.jinja").render(
        version=__version__,
        runs=shown,
        measured=[candidate for candidate in shown.candidates if candidate.top1 is not None],
        data=_script(payload(shown, folder)),
        plotly=_packed_plotly(),
        quantization=comparison_tables.quantization(runs.candidates),
        pruning=comparison_tables.pruning(runs.candidates),
        places=places,
        compared=compared,
    )


def payload(runs: Runs, folder: Path | None = None) -> dict[str, Any]:
    """The data of the page, also written beside it as JSON."""
    names = data_set_names(runs.candidates)
    return {
        "edgecv": __version__,
        "data_sets": list(names.values()),
        "candidates": [
            {**_candidate(candidate, folder), "data_set": names.get(data_set(candidate), "")}
            for candidate in runs.candidates
        ],
        "rejected": [{"run": str(run), "reason": reason} for run, reason in runs.rejected],
    }


def _candidate(candidate: Candidate, folder: Path | None) -> dict[str, Any]:
    figures = candidate.to_json()
    for row, latency in zip(figures["latencies"], candidate.latencies, strict=True):
        row["where"] = latency.where
    if folder is not None and candidate.file:  # a model that was only suggested has none
        figures["link"] = quote(
            Path(os.path.relpath(candidate.run / "report.html", folder)).as_posix()
        )
    return figures


def _script(table: dict[str, Any]) -> Markup:
    """JSON that cannot end the element that it stands in."""
    text = json.dumps(table, separators=(",", ":")).replace("<", "\\u003c")
    return Markup(text)  # noqa: S704  # nothing in it can close a script element


def _loaders(templates: jinja2.Environment) -> Sequence[jinja2.BaseLoader]:
    return [templates.loader] if templates.loader else []


@cache
def _packed_plotly() -> str:
    """plotly.js as gzip in base64. Raises EdgecvError when it is not installed."""
    try:
        from plotly.offline import get_plotlyjs
    except ImportError as error:
        raise EdgecvError(
            f"the page needs more than is installed ({error}); pip install 'edgecv[build]'"
        ) from error
    packed = gzip.compress(get_plotlyjs().encode(), compresslevel=9, mtime=0)
    return base64.b64encode(packed).decode()
