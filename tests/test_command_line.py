"""The options of the commands: their groups, defaults, choices, spelling and completion."""

import dataclasses
import json
import re

import click
import pytest
from click.testing import CliRunner

from edgecv import recipe
from edgecv.cli import COMMANDS, main, recipe_flags
from edgecv.cli.command import MOVED
from edgecv.cli.progress import Terminal
from edgecv.recipe import Recipe
from tests import many_runs


def run(*arguments, **how):
    return CliRunner().invoke(main, [str(each) for each in arguments], prog_name="edgecv", **how)


def commands():
    """Every command that does something, with the words that call it."""
    for group in COMMANDS.values():
        for command in group:
            inner = getattr(command, "commands", {"": command})
            yield from ((f"{command.name} {name}".strip(), leaf) for name, leaf in inner.items())


def options(kind=click.Option):
    for words, command in commands():
        for option in command.params:
            if isinstance(option, kind):
                yield pytest.param(command, option, id=f"{words} {option.opts[0]}")


# -- flags of the recipe -------------------------------------------------------------------------


VALUES = {"latency_ms": "7ms", "width": "0.3", "depth": "0.4", "resolution": "96"}


def another(option, default):
    """A value of a recipe's flag that is not the default, as the command line has it."""
    if option.is_flag:
        return f"--{'no-' * bool(default)}{max(option.opts, key=len)[2:]}", ()
    flag = max(option.opts, key=len)
    if isinstance(option.type, click.Choice):
        return flag, [choice for choice in option.type.choices if choice != default][:1]
    return flag, [VALUES.get(option.key, "0.4" if option.type is click.FLOAT else "3")]


@pytest.mark.parametrize(("command", "option"), [*options(recipe_flags.RecipeOption)])
def test_every_flag_of_a_recipe_reaches_its_key(command, option):
    """An option that is declared cannot be forgotten on the way to the recipe."""
    default = getattr(Recipe(), option.table, Recipe())
    flag, values = another(option, getattr(default, option.key))
    arguments = [flag, *values]
    for needed in command.params:
        if needed.required and needed is not option:
            arguments += ["x"] if isinstance(needed, click.Argument) else [needed.opts[-1], "x"]
    with command.make_context(command.name, arguments):
        found = recipe_flags.recipe_of(Recipe(), ())
    table = getattr(found, option.table) if option.table else found
    assert getattr(table, option.key) != getattr(default, option.key)
    others = dataclasses.replace(table, **{option.key: getattr(default, option.key)})
    required = {each.key for each in command.params if getattr(each, "key", "") and each.required}
    assert others == default or required


def test_no_option_of_build_is_left_over():
    build = main.commands["build"]
    own = {"arch", "recipe_name", "settings", "out", "force", "as_json"}
    others = [each for each in build.params if not isinstance(each, recipe_flags.RecipeOption)]
    assert {each.name for each in others} == own


def test_a_flag_goes_before_set_and_set_before_the_file(tmp_path):
    file = tmp_path / "recipe.toml"
    file.write_text("[model]\nwidth = 0.5\n[prune]\nsteps = 5\nepochs = 3\n")
    arguments = ["--recipe", str(file), "--set", "prune.steps=4", "--set", "model.width=0.25"]
    with main.commands["build"].make_context("build", [*arguments, "--width", "0.75"]) as context:
        found = recipe_flags.recipe_of(recipe.load(file), context.params["settings"])
    assert (found.model.width, found.prune.steps, found.prune.epochs) == (0.75, 4, 3)


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("prune.steps=4", 4),
        ("prune.importance=norm", "norm"),
        ('prune.importance="norm"', "norm"),
        ("prune.include=first,se", ("first", "se")),
        ('prune.include=["last"]', ("last",)),
        ("prune.distill=false", False),
        ("train.learning_rate=1e-3", 1e-3),
        ("seed=7", 7),
    ],
)
def test_set_takes_any_key_of_the_recipe(setting, value):
    found = recipe.assign(Recipe(), [setting])
    for name in setting.partition("=")[0].split("."):
        found = getattr(found, name)
    assert found == value


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ("prune.stepps=4", "no key 'prune.stepps' in a recipe; did you mean 'prune.steps'?"),
        ("prune.steps", "no key 'prune.steps' in a recipe"),
        ("prune.steps=many", "--set prune.steps: must be a whole number, 1 to 20, got 'many'"),
        ("prune=4", "no key 'prune' in a recipe"),
    ],
)
def test_a_mistake_in_set_is_one_line(setting, said):
    shown = run("build", "mobilenet", "--set", setting)
    assert shown.exit_code == 2
    [line] = shown.stderr.splitlines()
    assert said in line


# -- help ----------------------------------------------------------------------------------------


def test_build_shows_its_options_in_groups_with_their_defaults():
    shown = run("build", "--help").output
    titles = re.findall(r"^(\w.*):$", shown, re.M)
    assert titles[:4] == ["Model", "Data and training", "Pruning", "Quantization"]
    assert re.search(r"How the int8 ranges are chosen. +.default:\s+auto", shown)
    assert len(shown.split("\nPruning:")[1].split("\nQuantization:")[0].splitlines()) < 24


def test_a_fixed_set_is_a_choice():
    """What the recipe takes one of a few words for, a flag takes the same words for."""
    for command, option in (each.values for each in options(recipe_flags.RecipeOption)):
        key = {each.name: each for each in dataclasses.fields(
            getattr(Recipe(), option.table) if option.table else Recipe)}[option.key]  # fmt: skip
        words = getattr(key.metadata.get("allowed"), "words", "")
        assert isinstance(option.type, click.Choice) == (" | " in words), (command, option)


@pytest.mark.parametrize(("command", "option"), [*options()])
def test_an_option_has_one_sentence_of_help(command, option):
    assert option.hidden or (option.help and option.help.endswith((".", "..."))), command
    assert "if left out" not in option.help


def test_one_word_means_one_thing():
    types = {}
    for _, option in (each.values for each in options()):
        for flag in option.opts:
            if flag.startswith("--max-"):
                types.setdefault(flag, set()).add(id(option.type))
    assert all(len(found) == 1 for found in types.values()), types


# -- mistakes ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ("build mobilenet --method mim", "--method: must be minmax | percentile"),
        ("build mobilenet --wdth 1", "--wdth: no such option; did you mean '--width'?"),
        ("build mobilenet more", "unexpected extra argument (more); see edgecv build --help"),
        ("build mobilenet --width wide", "--width: 'wide' is not a valid float."),
        ("build mobilenet --device rpi4", "--device rpi4: is where pruning measures"),
        ("prune m.keras", "--data: is required; see edgecv prune --help"),
        ("profile", "MODELS...: is required; see edgecv profile --help"),
        ("choose --max-latency 30", "--max-latency: must be a number above 0 with a unit, ms | s"),
        ("suggest --device rpi4 --min-top1 70", "--min-top1: must be 0 to 1, or a percentage"),
        ("check run --baseline b.csv --max-drop 101", "--max-drop: must be 0 to 100, got 101"),
        ("quantize m --calibration p -o q --max-drop x", "--max-drop: must be 0 to 100, got x"),
        ("devices lst", "No such command 'lst'"),
    ],
)
def test_a_mistake_in_a_command_is_one_line(arguments, said):
    shown = run(*arguments.split())
    assert shown.exit_code == 2
    [line] = shown.stderr.splitlines()
    assert line.startswith("Error: ")
    assert said in line


@pytest.mark.parametrize("name", sorted(MOVED))
def test_an_option_of_before_names_the_one_of_now(name):
    shown = run("profile" if "runs" in name else "prune", "model", name, "1")
    assert shown.exit_code == 2
    [line] = shown.stderr.splitlines()
    assert line == f"Error: {name}: is now {MOVED[name]}"
    replacement = MOVED[name].split()[0].strip(",")
    flags = [flag for _, command in commands() for each in command.params for flag in each.opts]
    assert replacement in flags


# -- completion ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "offered"),
    [
        ("edgecv build mobilenet_v3_s", "mobilenet_v3_small"),
        ("edgecv plan efficientnet_l", "efficientnet_lite0"),
        ("edgecv build --recipe squeeze", "squeezenet_1_1_100_128_int8"),
        ("edgecv build mobilenet --method p", "percentile"),
        ("edgecv build mobilenet --set prune.im", "prune.importance="),
        ("edgecv profile m.tflite --device rpi", "rpi5"),
        ("edgecv profile m.tflite --device rpi4,rp", "rpi4,rpi5"),
        ("edgecv suggest --device rpi", "rpi4"),
        ("edgecv devices check rpi", "rpi4"),
        ("edgecv prune m.keras --prune m", "magnitude"),
    ],
)
def test_tab_completes_names(line, offered):
    words = line.split()
    env = {
        "_EDGECV_COMPLETE": "bash_complete",
        "COMP_WORDS": line,
        "COMP_CWORD": str(len(words) - 1),
    }
    shown = CliRunner().invoke(main, [], env=env, prog_name="edgecv")
    assert f"plain,{offered}" in shown.output.splitlines()


def test_help_says_how_completion_is_switched_on():
    assert "_EDGECV_COMPLETE=bash_source edgecv" in run("--help").output
    env = {"_EDGECV_COMPLETE": "zsh_source"}
    assert "compdef" in CliRunner().invoke(main, [], env=env, prog_name="edgecv").output


# -- choose --------------------------------------------------------------------------------------


@pytest.fixture
def busy(tmp_path):
    """Two runs whose latencies were measured on a busy machine."""
    for name, top1 in (("a", 0.9), ("b", 0.8)):
        table = many_runs.report(top1=top1, size=2e6 * top1**9)
        slow = [{**each, "valid": False, "reason": "other work"} for each in table["latency"]]
        many_runs.leave(tmp_path / "runs" / name, {**table, "latency": slow})
    return tmp_path / "runs"


def test_choose_answers_by_accuracy_and_size_where_no_latency_is_valid(busy):
    shown = run("choose", busy)
    assert shown.exit_code == 0, shown.stderr
    quality, *_ = shown.stdout.splitlines()
    assert quality.startswith("Quality") and " ms" not in quality
    assert "No latency on made_up is valid: other work." in shown.stderr
    again = re.search(r"Measure again.*: edgecv (profile .* --device made_up)", shown.stderr)[1]
    command = again.split()
    assert main.commands["profile"].make_context("profile", command[1:])


def test_a_limit_of_latency_that_could_not_be_tested_is_exit_code_3(busy):
    shown = run("choose", busy, "--max-latency", "30ms", "--min-top1", "85%", "--json")
    assert shown.exit_code == 3
    assert {each["top1"] for each in json.loads(shown.stdout)["chosen"].values()} >= {0.9}
    assert shown.stderr.splitlines()[-1].startswith("Error: --max-latency: not tested")


# -- progress ------------------------------------------------------------------------------------


def test_progress_without_a_terminal_says_how_far_it_is_and_how_long_it_took(capsys):
    progress = Terminal(seconds_between_lines=0)
    for number in progress.track([1, 2, 3], "calibrate"):
        progress.figures(loss=number / 2)
    lines = capsys.readouterr().err.splitlines()
    assert [line.split()[:4] for line in lines[:2]] == [
        ["calibrate", str(done), "of", "3,"] for done in (1, 2)
    ]
    assert re.fullmatch(r"calibrate +loss 1.5  \d+ s", lines[2])
    assert len(lines) == 3


def test_progress_of_a_short_stage_is_one_line(capsys):
    assert list(Terminal().track(iter("ab"), "convert")) == ["a", "b"]
    assert re.fullmatch(r"convert +\d+ s\n", capsys.readouterr().err)
