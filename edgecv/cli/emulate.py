"""`edgecv devices emulate`: a Raspberry Pi without a Raspberry Pi."""

import click


@click.command()
@click.option("--board", default="pi4", show_default=True, help="pi3, zero2w, pi4 or pi5.")
@click.option("--stop", is_flag=True, help="Stop the board and all that runs on it.")
@click.option("--rebuild", is_flag=True, help="Build it anew; all emulated boards stop.")
def emulate(board: str, stop: bool, rebuild: bool) -> None:
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
        click.echo(f"{board} {'stopped' if was_running else 'was not running'}")
        return
    running = emulated.start(board, Terminal(), rebuild)
    lines = [f"{'port':<8} {running.port}, on 127.0.0.1", f"{'ssh':<8} {running.config}"]
    lines += [f"{name:<8} {python}" for name, python in running.pythons.items()]
    click.echo("\n".join([*lines, "", f"Log in: ssh -F {running.config} {running.host}"]))
