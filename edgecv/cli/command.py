"""A command whose options stand in groups, and the one line that a usage error is."""

import functools
from collections.abc import Callable
from typing import Any, TypeVar

import click

from edgecv.errors import nearest

Decorated = TypeVar("Decorated", bound=Callable[..., Any])

MOVED = {  # spellings of earlier versions, and what to write now
    "--kind": "--prune",
    "--latency-ms": "--max-latency, with its unit: --max-latency 20ms",
    "--prune-device": "--device",
    "--runs": "--inferences",
    "--warmup-runs": "--warmup",
    "--importance": "--set prune.importance=NAME",
    "--multiple": "--set prune.multiple=NUMBER",
    "--steps": "--set prune.steps=NUMBER",
    "--prune-epochs": "--set prune.epochs=NUMBER",
    "--distill": "--set prune.distill=true",
    "--no-distill": "--set prune.distill=false",
    "--include": "--set prune.include=first,last,se",
}


class HelpOption(click.Option):
    """An option that `--help` shows under a heading, its group."""

    def __init__(self, declarations: list[str], group: str = "", **attributes: Any) -> None:
        super().__init__(declarations, **attributes)
        self.group = group

    def get_help_extra(self, ctx: click.Context) -> click.types.OptionHelpExtra:
        """Defaults and ranges for help; a default in words stands without click's parentheses."""
        extra = super().get_help_extra(ctx)
        if isinstance(self.show_default, str):
            extra["default"] = self.show_default
        return extra


option = functools.partial(click.option, cls=HelpOption)


class Command(click.Command):
    """A command whose `--help` shows the options by group, in the order they are declared."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the groups; an option without one stands under `Options`, last."""
        groups: dict[str, list[tuple[str, str]]] = {}
        for parameter in self.get_params(ctx):
            record = parameter.get_help_record(ctx) if isinstance(parameter, click.Option) else None
            if record:
                groups.setdefault(getattr(parameter, "group", ""), []).append(record)
        last = groups.pop("", [])
        for title, records in [*groups.items(), ("Options", last)]:
            with formatter.section(title):
                formatter.write_dl(records)


def add_group(
    title: str, *options: Callable[..., Callable[[Any], Any]]
) -> Callable[[Decorated], Decorated]:
    """A decorator that adds options under one heading, in the order given."""

    def decorate(command: Decorated) -> Decorated:
        for option in reversed(options):
            command = option(group=title)(command)
        return command

    return decorate


def usage_line(error: click.UsageError) -> str:
    """A usage error in one line: the flag, what was found, what is allowed, what to do."""
    help_line = f"see {error.ctx.command_path} --help" if error.ctx else "see edgecv --help"
    if isinstance(error, click.NoSuchOption):
        return _unknown_option(error, help_line)
    if isinstance(error, click.MissingParameter):
        return f"{_name(error)}: is required; {help_line}"
    if isinstance(error, click.BadParameter):
        return f"{_name(error)}: {error.message}"
    return f"{error.format_message().rstrip('.')}; {help_line}"


def _unknown_option(error: click.NoSuchOption, help_line: str) -> str:
    name = error.option_name
    if name in MOVED:
        return f"{name}: is now {MOVED[name]}"
    hint = nearest(name, error.possibilities or ()) or f"; {help_line}"
    return f"{name}: no such option{hint}"


def _name(error: click.BadParameter) -> str:
    """The flag as it is written, or the argument as help names it."""
    if isinstance(error.param, click.Option):
        return max(error.param.opts, key=len)
    return error.param.make_metavar(error.ctx) if error.param and error.ctx else "argument"
