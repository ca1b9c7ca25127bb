"""Flags that set a key of the recipe: name, type, choices and default come from the key itself.

A flag names its key where it is declared, so there is no second list in which to forget it.
"""

import dataclasses
import types
import typing
from collections.abc import Callable
from typing import Any

import click
from click.core import ParameterSource

from edgecv import recipe as recipes
from edgecv.cli import completion
from edgecv.cli.command import HelpOption
from edgecv.cli.units import OneOf
from edgecv.recipe import Allowed, Recipe, override

Factory = Callable[..., Callable[[Any], Any]]


class RecipeOption(HelpOption):
    """A flag that sets the recipe's `table.key` when it is on the command line."""

    def __init__(self, declarations: list[str], table: str, key: str, **attributes: Any) -> None:
        super().__init__(declarations, **attributes)
        self.table, self.key = table, key


def flag(name: str, help: str, left_out: str = "", **attributes: Any) -> Factory:
    """A factory of the flag for the key `name`, such as `model.width`, for `command.add_group`.

    `left_out` says what happens without it, where the key's own default does not.
    """
    table, _, key = name.rpartition(".")
    field = _field(table, key)
    flag_name = field.metadata.get("flag") or key.replace("_", "-")
    declared = f"--{flag_name}/--no-{flag_name}" if field.type is bool else f"--{flag_name}"
    shown = {} if left_out or field.default in ("", None) else {"default": field.default}
    attributes = {"show_default": left_out or bool(shown), **shown, **_typed(field), **attributes}

    def option(group: str = "") -> Callable[[Any], Any]:
        return click.option(
            declared,
            f"{table}_{key}",
            cls=RecipeOption,
            table=table,
            key=key,
            help=help,
            group=group,
            **attributes,
        )

    return option


def _field(table: str, key: str) -> "dataclasses.Field[Any]":
    options = getattr(Recipe(), table) if table else Recipe()
    return {field.name: field for field in dataclasses.fields(options)}[key]


def _typed(field: "dataclasses.Field[Any]") -> dict[str, Any]:
    """The click type of a key: a choice where only a few words are allowed."""
    union = typing.get_args(field.type) if isinstance(field.type, types.UnionType) else ()
    kind = next((part for part in union if part is not type(None)), field.type)
    allowed: Allowed | None = field.metadata.get("allowed")
    if kind is str and allowed:
        return {"type": OneOf(allowed.words.split(" | "))}
    return {} if kind is bool else {"type": kind}


def plain(*declarations: str, **attributes: Any) -> Factory:
    """A factory of any other option, for `command.add_group`."""

    def option(group: str = "") -> Callable[[Any], Any]:
        return click.option(*declarations, cls=HelpOption, group=group, **attributes)

    return option


RECIPE = plain(
    "--recipe",
    "recipe_name",
    metavar="FILE",
    shell_complete=completion.recipes,
    help="A recipe file, or the name of a shipped recipe; flags go before it.",
)
SET = plain(
    "--set",
    "settings",
    multiple=True,
    metavar="KEY=VALUE",
    shell_complete=completion.recipe_keys,
    help="Set any key of the recipe, e.g. prune.steps=1; can be repeated.",
)


def recipe_of(base: Recipe, settings: tuple[str, ...], arch: str | None = None) -> Recipe:
    """`base` with --set on top, then `arch`, then the flags of the running command.

    Raises RecipeError naming the flag.
    """
    tables: dict[str, dict[str, object]] = {"model": {"arch": arch}}
    ctx = click.get_current_context()
    for option in ctx.command.params:
        if isinstance(option, RecipeOption) and _was_given(ctx, option):
            tables.setdefault(option.table, {})[option.key] = ctx.params[option.name or ""]
    own = tables.pop("", {})
    return override(recipes.assign(base, settings), own, tables)


def _was_given(ctx: click.Context, option: click.Option) -> bool:
    return ctx.get_parameter_source(option.name or "") is ParameterSource.COMMANDLINE
