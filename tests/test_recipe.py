"""Recipes: every key checked once, at load, with a message that says what to write instead."""

import re
from pathlib import Path

import pytest

from edgecv import models, recipe
from edgecv.errors import RecipeError
from edgecv.recipe import ModelOptions, Recipe

SHIPPED = sorted((Path(__file__).parent.parent / "recipes").glob("*.toml"))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        pytest.param(
            "[model]\nwidht = 1.0", "model.widht: unknown key; did you mean 'width'", id="typo"
        ),
        pytest.param(
            "[modle]\nwidth = 1.0", "modle: unknown key; did you mean 'model'", id="section"
        ),
        pytest.param(
            '[model]\nwidth = "big"',
            "model.width: must be a number, 0.1 to 4, got 'big'",
            id="type",
        ),
        pytest.param("[model]\nwidth = 17", "model.width: must be 0.1 to 4, got 17", id="high"),
        pytest.param("[model]\nwidth = nan", "model.width: must be 0.1 to 4, got nan", id="nan"),
        pytest.param(
            "[model]\nresolution = 96.5", "must be a whole number, 32 to 1024", id="float"
        ),
        pytest.param("[model]\nresolution = true", "must be a whole number", id="bool"),
        pytest.param('[quantize]\nscheme = "int9"', "did you mean 'int8'", id="word"),
        pytest.param('[quantize]\nmethod = "mean"', "must be minmax | percentile", id="method"),
        pytest.param("[train]\nqat = 1", "train.qat: must be true or false, got 1", id="switch"),
        pytest.param("model = 3", "model: must be a table, got 3", id="table"),
        pytest.param(f"[model]\nwidth = 1{'0' * 400}", "must be 0.1 to 4, got inf", id="huge"),
        pytest.param(f"seed = {'9' * 5001}", "not a readable TOML file", id="digits"),
        pytest.param("[model\n", "not a readable TOML file", id="syntax"),
    ],
)
def test_a_mistake_is_named_with_file_key_and_what_is_allowed(tmp_path, text, said):
    file = tmp_path / "mine.toml"
    file.write_text(text)
    with pytest.raises(RecipeError, match=re.escape(said)) as caught:
        recipe.load(file)
    assert str(file) in str(caught.value)
    assert "\n" not in str(caught.value).strip()


def test_a_file_that_is_not_text_is_refused(tmp_path):
    file = tmp_path / "image.toml"
    file.write_bytes(b"\xff\xd8\xff\xe0" * 100)
    with pytest.raises(RecipeError, match="not a readable TOML file"):
        recipe.load(file)


def test_a_byte_order_mark_is_no_mistake(tmp_path):
    (tmp_path / "notepad.toml").write_text("seed = 5", encoding="utf-8-sig")
    assert recipe.load(tmp_path / "notepad.toml").seed == 5


def test_what_was_written_loads_equal(tmp_path):
    mine = Recipe(seed=3, model=ModelOptions("mobilenet_v2", width=0.35, weights="imagenet"))
    (tmp_path / "again.toml").write_text(mine.to_toml())
    assert recipe.load(tmp_path / "again.toml") == mine


def test_flags_override_a_recipe_and_are_checked_alike():
    changed = recipe.override(Recipe(), {"seed": 7}, {"model": {"width": 0.5, "arch": None}})
    assert (changed.seed, changed.model.width, changed.model.arch) == (7, 0.5, "mobilenet_v1")
    with pytest.raises(RecipeError, match="--res: must be 32 to 1024, got 31"):
        recipe.override(Recipe(), {}, {"model": {"resolution": 31}})


@pytest.mark.parametrize("file", SHIPPED, ids=lambda file: file.stem)
def test_a_shipped_recipe_is_found_by_its_name_which_says_what_it_builds(file):
    from edgecv.pipeline.build import run_name

    assert run_name(recipe.load(recipe.find(file.stem))) == file.stem


def test_every_family_has_a_recipe():
    families = {models.MODELS[recipe.load(file).model.arch].family for file in SHIPPED}
    assert families == {variant.family for variant in models.MODELS.values()}


def test_every_method_of_the_engine_can_be_asked_for_and_no_other():
    from edgecv.quantize.select import CUTS

    assert {*recipe.METHODS} == {"minmax", "auto", *CUTS}


def test_an_unknown_recipe_names_the_nearest():
    with pytest.raises(RecipeError, match="did you mean 'mobilenet_v2_050_160_int8'"):
        recipe.find("mobilenet_v2_05_160_int8")
