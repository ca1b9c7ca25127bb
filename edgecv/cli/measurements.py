"""Which measurements by operator an estimate goes by: the files that are named, or those kept."""

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from edgecv.cli.command import HelpOption

if TYPE_CHECKING:
    from edgecv.estimate.measured import Profile

per_op_option = click.option(
    "--per-op",
    "profiles",
    cls=HelpOption,
    multiple=True,
    type=click.Path(path_type=Path),
    help="What edgecv profile --per-op wrote, to estimate from.",
    show_default="what profile --keep kept of the device",
)


def measurements(
    device: str, paths: Sequence[Path] = (), schemes: Sequence[str] = ("float32", "int8")
) -> "list[Profile]":
    """The profiles of the files; without any, those kept of the device, which is said on stderr.

    `schemes` are those that the command estimates. Raises RunFolderError where a file is damaged.
    """
    from edgecv.estimate import measured, store

    if paths:
        return [measured.read(path) for path in paths]
    profiles = store.read(device)
    used = [line for scheme in schemes if (line := _used(profiles, device, scheme))]
    if used:
        forget = f"rm {shlex.quote(str(store.path_of(device)))}"
        click.echo(f"{device} is estimated from {', '.join(used)}; to forget: {forget}", err=True)
    return profiles


def _used(profiles: "Sequence[Profile]", device: str, scheme: str) -> str:
    """`your int8 measurement of 2026-11-28 (litert 2.3.0, 4 threads)`; "" where there is none."""
    from edgecv.errors import plural
    from edgecv.estimate import measured

    usable = measured.usable(profiles, device, scheme)
    if not usable:
        return ""
    last = usable[-1]
    setting = f"{last['runtime']}, {plural(last['threads'], 'thread')}"
    return f"your {scheme} measurements of {last.get('date', 'an unknown date')} ({setting})"
