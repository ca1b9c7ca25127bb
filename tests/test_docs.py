"""The README says what there is, and shows what the commands print."""

import re
from pathlib import Path

import pytest
from click.testing import CliRunner

from edgecv import models
from edgecv.cli import main

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", sorted(main.commands))
def test_every_command_is_in_the_readme(name):
    assert f"edgecv {name} " in README


@pytest.mark.parametrize("recipe", sorted((ROOT / "recipes").glob("*.toml")), ids=lambda p: p.stem)
def test_every_recipe_is_in_the_readme(recipe):
    assert f"`{recipe.stem}`" in README


def test_every_family_is_in_the_readme():
    for name in models.ALIASES:
        assert f"`{name}`" in README


def test_the_plan_shown_is_what_the_command_prints():
    command, shown = re.search(r"\$ edgecv (plan .*)\n([^`]*)```", README).groups()
    printed = CliRunner().invoke(main, command.split())
    assert printed.stdout.strip() == shown.strip()
