"""Completion after Tab: architectures, recipes, devices, keys of the recipe.

Click completes the rest: commands, flags, files, and options that take one of a few words.
"""

import dataclasses

import click
from click.shell_completion import CompletionItem


def _starting(names: "list[str]", incomplete: str) -> list[CompletionItem]:
    return [CompletionItem(name) for name in names if name.startswith(incomplete)]


def architectures(_: click.Context, __: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """The names of all architectures, short ones first."""
    from edgecv import models

    return _starting([*models.ALIASES, *models.MODELS], incomplete)


def recipes(_: click.Context, __: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """The recipes that come with edgecv, and files."""
    from edgecv import recipe

    shipped = _starting(sorted(recipe.shipped_recipes()), incomplete)
    return [*shipped, CompletionItem(incomplete, type="file")]


def devices(_: click.Context, __: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """The devices that are described, shipped and one's own; after a comma, another one."""
    from edgecv.device import description

    before, comma, last = incomplete.rpartition(",")
    names = [name for name in description.files() if name.startswith(last)]
    return [CompletionItem(f"{before}{comma}{name}") for name in names]


def recipe_keys(_: click.Context, __: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """`table.key=` for every key of a recipe."""
    from edgecv.recipe import Recipe

    tables = {table.name: table.type for table in dataclasses.fields(Recipe)}
    names = [
        f"{table}.{key.name}="
        for table, kind in tables.items()
        if isinstance(kind, type) and dataclasses.is_dataclass(kind)
        for key in dataclasses.fields(kind)
    ]
    return _starting(names, incomplete)
