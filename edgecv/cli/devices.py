"""`edgecv devices`: the boards that models are run and measured on."""

import dataclasses
import json
import re
from pathlib import Path
from typing import Any

import click

from edgecv.cli import completion
from edgecv.cli.command import option
from edgecv.cli.emulate import emulate
from edgecv.cli.options import json_option

STYLES = {"ok": "green", "warning": "yellow", "problem": "red"}


@click.group()
def devices() -> None:
    """List, add and check the boards that models are measured on.

    \b
    edgecv devices add pi@raspberrypi.local
    edgecv devices check rpi4
    """


@devices.command("list")
@json_option
def list_devices(as_json: bool) -> None:
    """Show every device: those that come with edgecv, and your own."""
    from edgecv.device import description

    devices = [description.find(name) for name in description.files()]
    if as_json:
        click.echo(json.dumps([dataclasses.asdict(device) for device in devices]))
        return
    for device in devices:
        click.echo(f"{device.name:<22} {device.host:<24} {_words(device)}")
    click.echo("\nNext: edgecv devices add pi@raspberrypi.local")


def _words(device: Any) -> str:
    """A board in a line."""
    board = device.board
    clock = f"{board.cores} {board.core}" + (
        f" at {board.clock_mhz} MHz" if board.clock_mhz else ""
    )
    parts = [
        clock if board.cores else "",
        "dot product" if board.dot_product else "",
        "Edge TPU" if board.accelerator else "",
        "emulated" if board.emulated else "",
    ]
    return ", ".join(part for part in parts if part)


@devices.command()
@click.argument("host")
@option("--name", help="What to call it.", show_default="the board's own name")
@option("--ssh-config", type=click.Path(), help="A file for ssh -F, not your own.")
@option("--python", default="", help="The Python on the board.", show_default="python3")
@json_option
def add(host: str, name: str | None, ssh_config: str | None, python: str, as_json: bool) -> None:
    """Look at the board at HOST, anything ssh accepts, and write a device file for it."""
    from edgecv.device import checkup, description
    from edgecv.errors import RecipeError

    if name is not None and not re.fullmatch(r"[\w][\w.-]*", name):
        raise RecipeError(f"--name: must be letters, digits, '_', '-' and '.', got {name!r}")
    config = str(Path(ssh_config).resolve()) if ssh_config else ""
    device, machine = checkup.describe_board(host, name, config, python)
    path = description.save(device)
    if as_json:
        click.echo(json.dumps({"name": device.name, "path": str(path), **machine}))
        return
    click.echo(f"{machine['cpu']}, Python {machine['python']}: {path}")
    click.echo(f"\nNext: edgecv devices check {device.name}")


@devices.command()
@click.argument("device", shell_complete=completion.devices)
@option("--install", is_flag=True, help="Install a missing runtime, in edgecv's own venv.")
@json_option
def check(device: str, install: bool, as_json: bool) -> None:
    """Say whether DEVICE is fit to run and measure models, and what to do where it is not."""
    from edgecv.cli.progress import Terminal
    from edgecv.device import checkup, description
    from edgecv.errors import CheckFailed

    described = description.find(device)
    findings = checkup.check(described, install, Terminal())
    if as_json:
        click.echo(json.dumps([finding.to_json() for finding in findings]))
    else:
        for finding in findings:
            _show(finding)
    problems = [finding.check for finding in findings if finding.status == "problem"]
    if problems:
        raise CheckFailed(f"{device}: not fit: {', '.join(problems)}")
    if not as_json:
        what = " --count" if described.board.emulated else ""
        click.echo(f"\nNext: edgecv profile MODEL --device {device}{what}")


def _show(finding: Any) -> None:
    """A finding in one line, its fix below."""
    status = click.style(f"{finding.status:<8}", fg=STYLES[finding.status])
    click.echo(f"{status} {finding.check:<12} {finding.found}")
    for line in (finding.fix, finding.command):
        if line:
            click.echo(f"{'':<21} {line}")


@devices.command()
@click.argument("device", shell_complete=completion.devices)
@json_option
def clean(device: str, as_json: bool) -> None:
    """Remove everything edgecv left on DEVICE: its agent, the models, its own venv."""
    from edgecv.device import board, description

    with board.connect(description.find(device)) as agent:
        path = agent.call("clean")["path"]
    if as_json:
        click.echo(json.dumps({"device": device, "removed": path}))
        return
    click.echo(f"{device}: removed {path}\n\nNext: edgecv devices check {device}")


devices.add_command(emulate)
