"""The templates of the pages, and the figures they format."""

from pathlib import Path

import jinja2

from edgecv.report import figures


def environment() -> jinja2.Environment:
    """Labels, file names and warnings are the user's text: everything is escaped."""
    templates = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    templates.filters.update(
        size=figures.size,
        amount=figures.amount,
        ms=figures.milliseconds,
        percent=figures.percent,
    )
    return templates
