"""The command line: help at once, one line an error, the exit code that says whose turn it is."""

import json
import subprocess
import sys

import pytest
from click.testing import CliRunner

from edgecv import recipe
from edgecv.cli import main

LAZY = ("tensorflow", "tf_keras", "numpy", "cv2", "matplotlib", "rich", "ai_edge_litert")


def run(*arguments):
    return CliRunner().invoke(main, [str(each) for each in arguments])


def test_help_imports_nothing_heavy():
    code = (
        "import sys; from edgecv.cli import main\n"
        "try: main(['--help'])\n"
        "except SystemExit: pass\n"
        f"print([name for name in {LAZY} if name in sys.modules])"
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert shown.stdout.splitlines()[-1] == "[]"


@pytest.mark.parametrize("name", sorted(main.commands))
def test_every_command_says_what_it_does(name):
    shown = run(name, "--help")
    assert shown.exit_code == 0
    assert main.commands[name].help.split(".")[0] in " ".join(shown.output.split())


def leaves(group, *before):
    """Every command that does something, by its words."""
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from leaves(command, *before, name)
        else:
            yield pytest.param(command, id=" ".join((*before, name)))


@pytest.mark.parametrize("command", [*leaves(main)])
def test_every_command_can_answer_in_json(command):
    assert "--json" in [flag for option in command.params for flag in option.opts]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["plan", "mobilnet"], "no 'mobilnet'; did you mean 'mobilenet'?"),
        (["plan", "mobilenet", "--width", "0"], "--width: must be 0.1 to 4, got 0.0"),
        (["plan", "mobilenet", "--width", "17"], "--width: must be 0.1 to 4, got 17.0"),
        (["plan", "mobilenet", "--res", "31"], "--res: must be 32 to 1024, got 31"),
        (["plan", "mobilenet", "--res", "5000"], "--res: must be 32 to 1024, got 5000"),
        (["plan", "mobilenet", "--depth", "2"], "mobilenet_v1 has no depth to scale"),
        (["build", "mobilenet", "--quantize", "int4"], "must be int8 | float16 | dynamic | none"),
        (["build", "--recipe", "mobilenet_v9"], "no file and no recipe named 'mobilenet_v9'"),
    ],
)
def test_a_mistake_is_one_line_and_exit_code_2(arguments, said, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shown = run(*arguments)
    assert shown.exit_code == 2
    assert said in shown.stderr
    assert len(shown.stderr.strip().splitlines()) == 1
    assert not list(tmp_path.iterdir())


def test_plan_counts_without_training():
    shown = run("plan", "mobilenet_v2", "--width", "0.35", "--res", "96", "--json")
    found = json.loads(shown.stdout)
    assert found["parameters"] == pytest.approx(1.66e6, rel=0.02)  # slim's table for 0.35/96
    assert found["macs"] == pytest.approx(11e6, rel=0.1)
    assert found["operators"]["DEPTHWISE_CONV_2D"] == 17


def examples():
    """The commands that the help texts show."""
    for command in main.commands.values():
        lines = command.help.split("\b")[-1].splitlines()
        yield from (line.strip() for line in lines if line.strip().startswith("edgecv "))


@pytest.mark.parametrize("example", list(examples()))
def test_what_the_help_shows_is_understood(example):
    name, *arguments = example.split()[1:]
    context = main.commands[name].make_context(name, arguments)
    if context.params.get("recipe_name"):
        assert recipe.find(context.params["recipe_name"]).is_file()


def test_help_has_a_whole_line_for_every_command():
    shown = run("--help").output
    for name in main.commands:
        [line] = [line for line in shown.splitlines() if line.split()[:1] == [name]]
        assert line.endswith(".") and not line.endswith("...")
