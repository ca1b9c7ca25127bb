"""The command line. Only this package imports click or rich; TensorFlow waits inside commands."""

from typing import Any

import click

from edgecv import __version__
from edgecv.cli.build import build
from edgecv.cli.check import check
from edgecv.cli.choose import choose
from edgecv.cli.command import usage_line
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

COMMANDS: dict[str, dict[click.Command, str]] = {  # a line of `edgecv --help` for each
    "Build a model": {
        build: "From an architecture to a measured int8 model.",
        convert: "From a Keras file or a SavedModel to a float .tflite.",
        prune: "Cut channels or weights of a trained Keras model.",
        quantize: "From a float .tflite to int8.",
    },
    "Measure it": {
        inspect: "What any .tflite takes, gives and consists of.",
        evaluate: "Accuracy on a folder of labeled images.",
        profile: "Latency and peak memory, here or on boards.",
        check: "A run against earlier figures; exit code 3 if worse.",
    },
    "Run it on a board": {
        devices: "The boards that models are measured on.",
        coral: "Plan, compile and inspect for the Coral Edge TPU.",
        demo: "What a camera sees, classified live.",
    },
    "Choose one": {
        plan: "What an architecture costs, before it is built.",
        suggest: "Published models that a board runs within limits.",
        sweep: "Build every combination of a grid.",
        search: "Build only what promises to be good of a grid.",
        report: "Many runs on one page.",
        choose: "Three of your runs within limits.",
    },
    "Share it": {
        export: "A folder that can leave: model, labels, card, C source.",
    },
}


class Cli(click.Group):
    """Shows edgecv's own errors as one line and an exit code; bugs keep their traceback."""

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        """Write the commands in groups, a whole line for each."""
        for title, commands in COMMANDS.items():
            with formatter.section(title):
                formatter.write_dl(
                    [(command.name or "", line) for command, line in commands.items()]
                )

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command the user named."""
        try:
            return super().invoke(ctx)
        except click.UsageError as error:
            if isinstance(error, click.exceptions.NoArgsIsHelpError):
                raise  # that is the help
            _say(usage_line(error))
            ctx.exit(error.exit_code)
        except EdgecvError as error:
            _say(" ".join(str(error).split()))
            ctx.exit(error.exit_code)
        except KeyboardInterrupt:
            resumes = ctx.invoked_subcommand in (build.name, sweep.name, search.name)
            _say("stopped" + ("; the same command goes on where it stopped" if resumes else ""))
            ctx.exit(1)


def _say(what: str) -> None:
    click.echo(f"Error: {what}", err=True)


COMPLETION = """
Completion by Tab: put `eval "$(_EDGECV_COMPLETE=bash_source edgecv)"` into ~/.bashrc, or the same
with zsh_source into ~/.zshrc.
"""


@click.group(cls=Cli, context_settings={"help_option_names": ["-h", "--help"]}, epilog=COMPLETION)
@click.version_option(__version__, prog_name="edgecv")
def main() -> None:
    """Take an efficient CNN from a Keras architecture to a measured int8 TFLite model."""


for commands in COMMANDS.values():
    for command in commands:
        main.add_command(command)
