"""`edgecv devices emulate`: a Raspberry Pi without a Raspberry Pi."""

import json

import click

from edgecv.cli.options import json_option


@click.command()
@click.option("--board", default="pi4", show_default=True, help="pi3, zero2w, pi4 or pi5.")
@click.option("--stop", is_flag=True, help="Stop the board and all that runs on it.")
@click.option("--rebuild", is_flag=True, help="Build it anew; all emulated boards stop.")
@json_option
def emulate(board: str, stop: bool, rebuild: bool, as_json: bool) -> None:
    """Start an emulated Raspberry Pi: its own ssh server, Python and runtimes, on 127.0.0.1.

    It runs a board's programs and gives a board's results; its times mean nothing. The first start
    takes a minute, later ones a second.

    \b
    edgecv devices emulate --board pi5
    edgecv devices emulate --board pi5 --stop
    """
    from edgecv.cli.progress import Terminal
    from edgecv.device import emulate as emulated

    if stop:
        was_running = emulated.stop(board)
        words = f"{board} {'stopped' if was_running else 'was not running'}"
        click.echo(json.dumps({"board": board, "stopped": was_running}) if as_json else words)
        return
    running = emulated.start(board, Terminal(), rebuild)
    if as_json:
        click.echo(json.dumps({**running._asdict(), "config": str(running.config)}))
        return
    rows = {
        "port": f"{running.port}, on 127.0.0.1",
        "log in": f"ssh -F {running.config} {running.host}",
        **running.pythons,
    }
    lines = [f"{name:<8} {value}" for name, value in rows.items()]
    click.echo("\n".join([*lines, "", f"Next: edgecv devices check {emulated.LAST}"]))
