"""The templates of the pages, and the figures they format."""

import re
from pathlib import Path

import jinja2
from markupsafe import Markup, escape

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
        breakable=breakable,
    )
    return templates


def breakable(name: str) -> Markup:
    """A name that a narrow page breaks behind its underscores and slashes, not in mid-word."""
    return Markup(re.sub(r"(?<=[_/;:])(?=\w)", "<wbr>", str(escape(name))))  # noqa: S704  # escaped
