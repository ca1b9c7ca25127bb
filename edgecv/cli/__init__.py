"""The command line. Only this package imports click or rich; TensorFlow waits inside commands."""

from typing import Any

import click

from edgecv import __version__
from edgecv.cli.build import build
from edgecv.cli.check import check
from edgecv.cli.choose import choose
from edgecv.cli.convert import convert
from edgecv.cli.coral import coral
from edgecv.cli.demo import demo
from edgecv.cli.devices import devices
from edgecv.cli.evaluate import evaluate
from edgecv.cli.export import export
from edgecv.cli.inspect import inspect
from edgecv.cli.plan import plan
from edgecv.cli.profile import profile
from edgecv.cli.prune import prune
from edgecv.cli.quantize import quantize
from edgecv.cli.report import report
from edgecv.cli.search import search
from edgecv.cli.suggest import suggest
from edgecv.cli.sweep import sweep
from edgecv.errors import EdgecvError


class Cli(click.Group):
    """Shows edgecv's own errors as one line and an exit code; bugs keep their traceback."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command the user named."""
        try:
            return super().invoke(ctx)
        except EdgecvError as error:
            _say(" ".join(str(error).split()))
            ctx.exit(error.exit_code)
        except KeyboardInterrupt:
            resumes = ctx.invoked_subcommand in (build.name, sweep.name, search.name)
            _say("stopped" + ("; the same command goes on where it stopped" if resumes else ""))
            ctx.exit(1)


def _say(what: str) -> None:
    click.echo(f"Error: {what}", err=True)


@click.group(cls=Cli, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="edgecv")
def main() -> None:
    """Take an efficient CNN from a Keras architecture to a measured int8 TFLite model."""


main.add_command(build)
main.add_command(check)
main.add_command(convert)
main.add_command(coral)
main.add_command(choose)
main.add_command(demo)
main.add_command(devices)
main.add_command(evaluate)
main.add_command(export)
main.add_command(inspect)
main.add_command(plan)
main.add_command(profile)
main.add_command(prune)
main.add_command(quantize)
main.add_command(report)
main.add_command(search)
main.add_command(suggest)
main.add_command(sweep)
