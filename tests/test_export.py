"""What leaves the house: a card that says only what is known, C source that a compiler takes."""

import json
import re
import shutil
import subprocess

import pytest
from click.testing import CliRunner

from edgecv.cli import main
from edgecv.export import carray, micro
from edgecv.tflite import flatbuffer, operators
from tests import tiny_models
from tests.many_runs import latency, report

PRINT = """
#include <stdio.h>
#include "{name}.h"
int main(void) {{
  if ((unsigned long)(const void *){symbol} % 16) return 1;
  fwrite({symbol}, 1, {symbol}_len, stdout);
  for (int place = 0; place < {upper}_LABELS; place++) fputs({symbol}_labels[place], stderr);
  fprintf(stderr, "|%d %g %d", {upper}_INPUT_DIM_1, {upper}_INPUT_SCALE, {upper}_INPUT_ZERO_POINT);
  return 0;
}}
"""
ODD = ['a "quoted" one', "back\\slash", "schön", "??/ trigraph", "7up"]


@pytest.fixture
def run(tmp_path):
    """A finished run's folder around a real int8 model."""
    tiny, folder = tiny_models.tiny(), tmp_path / "run"
    folder.mkdir()
    table = report(warnings=["too few images of *stop*"])
    for scheme, model in (("float32", tiny.float32), ("int8", tiny.int8)):
        shutil.copy(model.path, folder / f"model_{scheme}.tflite")
        table["files"][scheme] = model.describe() | {"path": f"model_{scheme}.tflite"}
    (folder / "report.json").write_text(json.dumps(table))
    (folder / "labels.txt").write_text("\n".join(tiny.labels) + "\n")
    (folder / "recipe.toml").write_text('[data]\npath = "photos"\nsha256 = "abc"\n')
    return folder


def export(*arguments):
    return CliRunner().invoke(main, ["export", *map(str, arguments)])


@pytest.mark.skipif(not shutil.which("gcc"), reason="no gcc")
@pytest.mark.parametrize("compiler", [["gcc", "-std=c11"], ["g++", "-x", "c++"]])
@pytest.mark.parametrize("name", ["model_int8", "7-odd name"])
def test_the_array_is_the_file(tmp_path, name, compiler):
    if not shutil.which(compiler[0]):
        pytest.skip(f"no {compiler[0]}")
    model = tiny_models.tiny().int8.path
    carray.export(model, ODD, tmp_path, name)
    symbol = carray.identifier(name)
    main_file = tmp_path / "main.c"
    main_file.write_text(PRINT.format(name=name, symbol=symbol, upper=symbol.upper()))
    flags = ["-Wall", "-Wextra", "-Werror", "-o", tmp_path / "program"]
    subprocess.run([*compiler, *flags, tmp_path / f"{name}.c", main_file], check=True)
    shown = subprocess.run([tmp_path / "program"], capture_output=True, check=True)
    assert shown.stdout == model.read_bytes()
    labels, _, facts = shown.stderr.decode().partition("|")
    assert labels == "".join(ODD)
    size, scale, zero_point = facts.split()
    assert size == "32" and float(scale) == pytest.approx(1 / 127.5, rel=0.01)
    assert int(zero_point) in (127, 128)


def test_a_card_says_what_is_known_and_what_is_not(run):
    shown = export(run)
    assert shown.exit_code == 0, shown.output
    card = (run / "export" / "MODEL_CARD.md").read_text()
    assert "70.0 ± 1.4 %" in card and "1000 images of photos" in card
    assert "`photos`" in card and "`abc`" in card
    assert "not known to edgecv" in card
    assert "too few images of \\*stop\\*" in card
    assert "trained in this run, from nothing" in card
    assert (run / "export" / "model_int8.tflite").read_bytes() == (
        run / "model_int8.tflite"
    ).read_bytes()
    assert (run / "export" / "labels.txt").read_text() == (run / "labels.txt").read_text()


def test_a_card_names_what_lies_beside_it_and_what_a_microcontroller_needs(run):
    assert export(run).exit_code == 0
    card, folder = (run / "export" / "MODEL_CARD.md").read_text(), run / "export"
    assert "float32.tflite" not in card and "microcontroller" not in card
    assert all((folder / name).exists() for name in re.findall(r"^- `([\w.]+)`", card, re.M))
    assert export(run, "--c").exit_code == 0
    card, header = (folder / "MODEL_CARD.md").read_text(), (folder / "model_int8.h").read_text()
    named = re.findall(r"`(model_int8\.\w+)`", card)
    assert {"model_int8.c", "model_int8.h"} < {*named}
    assert all((folder / name).exists() for name in named)
    counts = operators.counts(flatbuffer.read(folder / "model_int8.tflite"))
    for text in (card, header):
        assert f"MicroMutableOpResolver<{len(counts)}>" in text
        assert text.count("resolver.Add") == len(counts) and "resolver.AddConv2D();" in text
    peak = operators.activation_peak(flatbuffer.read(folder / "model_int8.tflite"))
    assert f"{peak:,} bytes" in card
    assert re.search(r"RP2040\) +\| +264 KiB +\| +2,048 KiB +\| +yes", card)


def test_boards_that_are_too_small_are_called_so():
    rows = micro.Needs(200 * 1024, 1024 * 1024, "").boards()
    assert [row[3].partition(",")[0] for row in rows][:2] == ["no", "no"], "more than 3/4 of them"
    assert rows[-1][3:] == ["yes, 10%", "yes, 1%"]
    assert rows[0][4] == "no, 100%"


@pytest.mark.parametrize(
    ("recipe", "words"),
    [
        ('[model]\nweights = "imagenet"', "ImageNet"),
        ('[model]\nweights = "mine.keras"', "license is their author's"),
        ('[model]\nweights = "random"', "nobody's"),
        ("", "never seen a road"),
    ],
)
def test_the_license_follows_the_weights(run, recipe, words):
    (run / "recipe.toml").write_text(recipe)
    export(run)
    assert words in (run / "export" / "MODEL_CARD.md").read_text()


def test_what_was_not_measured_is_said(run):
    table = json.loads((run / "report.json").read_text())
    del table["accuracy"]
    entry = latency(3.0, "model_int8", "8" * 64, valid=False)
    (run / "report.json").write_text(json.dumps(table | {"latency": [entry]}))
    export(run)
    card = (run / "export" / "MODEL_CARD.md").read_text()
    assert "Not measured." in card and "3.00 ms (not valid)" in card


def spoilt_report(spoil):
    def spoiling(run):
        table = json.loads((run / "report.json").read_text())
        spoil(table)
        (run / "report.json").write_text(json.dumps(table))

    return spoiling


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda run: (run / "labels.txt").unlink(), "labels.txt: cannot be read"),
        (lambda run: (run / "labels.txt").write_bytes(b"\xff"), "labels.txt: cannot be read"),
        (lambda run: (run / "recipe.toml").unlink(), "recipe.toml: cannot be read"),
        (lambda run: (run / "model_int8.tflite").unlink(), "model_int8.tflite: cannot be read"),
        (
            lambda run: shutil.copy(run / "model_float32.tflite", run / "model_int8.tflite"),
            "model_int8.tflite: is another file than report.json is of",
        ),
        (spoilt_report(lambda table: table.update(files={})), "names no model"),
        (spoilt_report(lambda table: table.update(quantization={})), "report.json"),
        (spoilt_report(lambda table: table["accuracy"].update(images=0)), "report.json"),
        (spoilt_report(lambda table: table["accuracy"]["int8"].update(top1="x")), "report.json"),
    ],
)
def test_a_run_that_is_not_what_its_report_says_is_not_exported(run, tmp_path, spoil, words):
    spoil(run)
    shown = export(run, "--c", "-o", tmp_path / "out")
    assert isinstance(shown.exception, SystemExit) and shown.exit_code in (1, 2)
    assert words in shown.stderr
    assert not (tmp_path / "out").exists()


def test_a_scheme_that_there_is_not_is_refused(run, tmp_path):
    shown = export(run, "--scheme", "int4", "-o", tmp_path / "out")
    assert shown.exit_code == 2 and "float32 | int8" in shown.stderr
    assert not (tmp_path / "out").exists()
    shown = export(tmp_path, "-o", tmp_path / "out")
    assert shown.exit_code == 1 and "report.json" in shown.stderr
