"""The READMEs say what there is; every command, file and link in them is run, parsed or found."""

import re
import shlex
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from edgecv import models, recipe
from edgecv.cli import main
from edgecv.device import description
from edgecv.sweep import grid

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
FOLDERS = ("edgecv/convert", "edgecv/quantize", "edgecv/prune", "edgecv/coral", "edgecv/device",
           "edgecv/models/weights", "edgecv/sweep", "edgecv/demo", "recipes", "devices",
           "tests")  # fmt: skip
PAGES = {name: (ROOT / name).read_text(encoding="utf-8")
         for name in ("README.md", *(f"{folder}/README.md" for folder in FOLDERS))}  # fmt: skip
LINES = 250
MADE = ("recipe.toml", "recipe_pruned.toml")  # by a build


def blocks(kinds):
    """Fenced blocks of the READMEs, by the page they are in."""
    for page, text in PAGES.items():
        for kind, body in re.findall(r"^```(\w*)\n(.*?)^```", text, re.M | re.S):
            if kind in kinds:
                yield page, body


def shown(program):
    """Every line of the READMEs' blocks that calls a program, without its comment."""
    for page, body in blocks(("sh", "console")):
        for line in body.splitlines():
            words = shlex.split(line.removeprefix("$ "), comments=True)
            if words[:1] == [program]:
                yield pytest.param(words[1:], id=f"{page}: {shlex.join(words)}")


def command_of(words):
    """The command that words begin with, its name, and the words that are left."""
    command, name, *rest = main.commands[words[0]], *words
    while isinstance(command, click.Group) and rest:
        command, name, *rest = command.commands[rest[0]], *rest
    return command, name, rest


@pytest.mark.parametrize("name", sorted(main.commands))
def test_every_command_is_in_the_readme(name):
    assert f"edgecv {name} " in README


@pytest.mark.parametrize("words", [*shown("edgecv")])
def test_a_command_that_is_shown_is_understood(words):
    command, name, rest = command_of(words)
    context = command.make_context(name, rest)
    named = context.params.get("recipe_name")
    if named and "/" not in named:
        assert recipe.find(named).is_file()
    if context.params.get("arch"):
        assert context.params["arch"] in {**models.MODELS, **models.ALIASES}


def inline():
    """Commands and flags inside sentences and tables."""
    for page, text in PAGES.items():
        outside = re.sub(r"^```.*?^```", "", text, flags=re.M | re.S)
        for words in re.findall(r"`edgecv ([^`]+)`", outside):
            yield pytest.param(words.split(), id=f"{page}: edgecv {words}")


@pytest.mark.parametrize("words", [*inline()])
def test_a_command_inside_a_sentence_exists_with_its_flags(words):
    command, _, rest = command_of(words)
    flags = {flag for option in command.params for flag in (*option.opts, *option.secondary_opts)}
    assert {word for word in rest if word.startswith("-")} <= flags


@pytest.mark.parametrize("page", [*PAGES])
def test_a_flag_inside_a_sentence_exists(page):
    every = [main, *main.commands.values()]
    every += [leaf for group in every for leaf in getattr(group, "commands", {}).values()]
    flags = {flag for command in every for option in command.params for flag in
             (*option.opts, *option.secondary_opts)}  # fmt: skip
    named = set(re.findall(r"`(--[a-z][\w-]*)[^`]*`", PAGES[page]))
    assert named - flags - {"--help"} == set()


@pytest.mark.parametrize("goals", [*shown("make")])
def test_a_goal_of_make_exists(goals):
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    assert all(re.search(rf"^{goal}:", makefile, re.M) for goal in goals)


@pytest.mark.parametrize(
    "module", sorted(set(re.findall(r"python -m (tests[\w.]+\w)", "".join(PAGES.values()))))
)
def test_a_benchmark_that_is_named_exists(module):
    if "NAME" not in module:
        assert (ROOT / f"{module.replace('.', '/')}.py").is_file()


@pytest.mark.parametrize(("page", "text"), [*blocks(("toml",))])
def test_a_toml_file_that_is_shown_is_read(page, text, tmp_path):
    path = tmp_path / "shown.toml"
    path.write_text(text)
    if "[grid]" in text:
        assert len(grid.load(path).cells) > 1
    elif text.startswith("host"):
        assert description.load(path).host
    else:
        assert recipe.load(path) != recipe.Recipe()


@pytest.mark.parametrize("page", [*PAGES])
def test_links_and_files_that_are_named_exist(page):
    folder, text = (ROOT / page).parent, PAGES[page]
    for target, _, section in (link.partition("#") for link in re.findall(r"\]\(([^):]+)\)", text)):
        linked = folder / target if target else ROOT / page
        assert linked.exists(), target
        titles = re.findall(r"^#+ (.*)", linked.read_text(), re.M) if section else ()
        slugs = {re.sub(r"[^\w -]", "", title).lower().replace(" ", "-") for title in titles}
        assert not section or section in slugs, section
    for name in re.findall(r"`([\w/]+\.(?:py|toml))`", text):
        assert "NAME" in name or name in MADE or any((at / name).exists() for at in (folder, ROOT))


@pytest.mark.parametrize("page", [*PAGES])
def test_a_page_is_short_and_says_where_to_add(page):
    assert len(PAGES[page].splitlines()) < LINES
    if page != "README.md":
        assert f"]({page}" in README
        assert page.startswith("recipes") or "## Where to add the usual thing" in PAGES[page]


@pytest.mark.parametrize("path", sorted((ROOT / "recipes").glob("*.toml")), ids=lambda p: p.stem)
def test_every_recipe_is_in_its_readme(path):
    assert f"`{path.stem}`" in PAGES["recipes/README.md"]


@pytest.mark.parametrize("path", sorted((ROOT / "devices").glob("*.toml")), ids=lambda p: p.stem)
def test_every_device_is_in_its_readme(path):
    assert f"`{path.stem}`" in PAGES["devices/README.md"]


def test_every_family_is_in_the_readme():
    for name in models.ALIASES:
        assert f"`{name}`" in README


def test_the_plan_shown_is_what_the_command_prints():
    command, text = re.search(r"\$ edgecv (plan .*)\n([^`]*)```", README).groups()
    printed = CliRunner().invoke(main, command.split())
    assert printed.stdout.strip() == text.strip()


@pytest.mark.parametrize("words", ["devices list", "coral rules",
                                   "suggest --device rpi5 --max-latency 33ms --max-size 4MB",
                                   "plan mobilenet_v2 --width 0.5 --device rpi4"])  # fmt: skip
def test_a_command_that_needs_no_file_runs(words, tmp_path, monkeypatch):
    assert any(words in text for text in PAGES.values())
    monkeypatch.chdir(tmp_path)
    printed = CliRunner().invoke(main, words.split())
    assert printed.exit_code == 0, printed.stderr
    assert printed.stdout.strip()
