"""Inputs without a copy: an int8 input answers as a uint8 one does, bit by bit, on every way in."""

import json
import shutil
import subprocess
import zipfile

import numpy as np
import pytest
from click.testing import CliRunner

from edgecv.artifacts import CENTERED, Normalization, TFLiteModel
from edgecv.cli import main
from edgecv.demo import model_facts as demo_model
from edgecv.demo.classifier import Classifier
from edgecv.device import description
from edgecv.evaluate.accuracy import host_scorer
from edgecv.evaluate.on_device import OnDevice
from edgecv.recipe import Recipe, load
from edgecv.tflite import contract, flatbuffer, int8_input, pixels, runtime
from edgecv.tflite.feeding import render_python
from edgecv.tflite.graph import Graph
from edgecv.tflite.pixels import Grid
from tests import made_packages, tiny_models
from tests.builds import invoke, photographs, quick
from tests.many_runs import report

OFF_GRID = Normalization((123.7, 116.3, 103.5), (158.4, 147.1, 137.4))


@pytest.fixture(scope="module")
def tiny():
    return tiny_models.tiny()


@pytest.fixture(scope="module")
def photos(tiny, tmp_path_factory):
    return tiny_models.photos(tmp_path_factory.mktemp("photos"), tiny.samples[:20])


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """The int8 file with its labels, and the same one with an int8 input."""
    folder = tmp_path_factory.mktemp("files")
    both = [tiny_models.with_labels(folder / f"{name}.tflite") for name in ("uint8", "int8")]
    int8_input.rewrite(both[1])
    return both


def operators(path):
    graph = Graph(flatbuffer.read(path))
    return [graph.code(operator) for operator in graph.operators]


def pictures(tiny):
    return np.stack([sample.image for sample in tiny.samples[:32]])


def input_type(path):
    return np.dtype(runtime.load(path).get_input_details()[0]["dtype"]).name


def test_the_first_operator_is_gone_and_nothing_else(files):
    uint8, int8 = files
    assert operators(uint8)[0] == "QUANTIZE"
    assert operators(int8) == operators(uint8)[1:]
    assert [input_type(path) for path in files] == ["uint8", "int8"]
    assert zipfile.ZipFile(int8).read("labels.txt") == zipfile.ZipFile(uint8).read("labels.txt")


@pytest.mark.parametrize("normalization", [None, CENTERED, OFF_GRID])
def test_evaluate_scores_are_equal_bit_by_bit(files, tiny, normalization):
    uint8, int8 = (
        host_scorer(TFLiteModel(path, "int8", normalization))(pictures(tiny)) for path in files
    )
    np.testing.assert_array_equal(uint8, int8)
    assert len(np.unique(uint8)) > 10


def test_the_agents_scores_are_equal_bit_by_bit(files, tiny, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    host, found = description.find("host"), []
    for path in files:
        with OnDevice(host, TFLiteModel(path, "int8")) as device:
            found.append(device.scores(pictures(tiny)))
            assert device.figures()["parity"]["bit_equal"]
    np.testing.assert_array_equal(*found)
    np.testing.assert_array_equal(
        found[0], host_scorer(TFLiteModel(files[0], "int8"))(pictures(tiny))
    )


@pytest.mark.parametrize("normalization", [None, OFF_GRID])
def test_the_demo_scores_as_evaluate_does_without_the_operator_in_front(files, tiny, normalization):
    expected = host_scorer(TFLiteModel(files[0], "int8", normalization))(pictures(tiny)[:8])
    for described in demo_model.describe(files, normalization=normalization):
        classifier = Classifier(described)
        assert classifier._image().dtype == np.int8
        for image, scores in zip(pictures(tiny), expected, strict=False):
            classifier.fill(np.ascontiguousarray(image[..., ::-1]))
            np.testing.assert_array_equal(classifier.scores(), scores)


def test_bytes_without_a_uint8_input_or_a_model_are_left_alone(files, tiny):
    for data in (tiny.float32.path.read_bytes(), files[1].read_bytes(), b"no model", b""):
        assert int8_input.without_copy(data) == data


@pytest.mark.parametrize("zero", [0, 127, 128, 114])
@pytest.mark.parametrize("scale", [1.0, 1 / 255, 1 / 127.5, 4.758 / 255, 0.031])
@pytest.mark.parametrize("normalization", [CENTERED, OFF_GRID, pixels.BYTES])
def test_every_byte_goes_in_with_its_highest_bit_flipped(scale, zero, normalization):
    every = np.arange(256, dtype=np.uint8).repeat(3).reshape(1, 16, 16, 3)
    unsigned = pixels.encode(every, Grid("uint8", scale, zero), normalization)
    signed = pixels.encode(every, Grid("int8", scale, zero - 128), normalization)
    np.testing.assert_array_equal(signed.view(np.uint8), unsigned ^ 0x80)
    assert signed.dtype == np.int8


def test_a_first_layer_in_float_reads_int8_too(tiny):
    from edgecv.quantize.int8 import int8_twin

    first = Graph(flatbuffer.read(tiny.float32.path))
    name = first.name(int(first.operators[0].outputs[0]))
    ranges = {tensor: cut for tensor, cut in tiny.ranges.items() if tensor != name}
    model = int8_twin(flatbuffer.read(tiny.float32.path), ranges, "int8", "the model")
    before = runtime.run(runtime.load(flatbuffer.serialized(model)), pictures(tiny))
    assert int8_input.take_int8(model)
    graph = Graph(model)
    assert graph.dtype(int(graph.subgraph.inputs[0])) == "int8"
    after = runtime.run(runtime.load(flatbuffer.serialized(model)), pictures(tiny))
    np.testing.assert_array_equal(before, after)


def test_what_takes_no_uint8_or_does_more_with_it_stays_as_it_is(tiny, files, tmp_path):
    shifted = flatbuffer.read(files[0])
    graph = Graph(shifted)
    graph.tensors[int(graph.operators[0].outputs[0])].quantization.zeroPoint = np.array([1])
    for model in (flatbuffer.read(tiny.float32.path), flatbuffer.read(files[1]), shifted):
        before = flatbuffer.serialized(model)
        assert not int8_input.take_int8(model)
        assert flatbuffer.serialized(model) == before


def quantized(model, photos, out, *more):
    """What `edgecv quantize` says of the file that it wrote to `out`, quickly."""
    asked = [model, "--calibration", photos, "--method", "minmax", "-o", out, *more, "--json"]
    shown = CliRunner().invoke(main, ["quantize", *map(str, asked)])
    assert shown.exit_code == 0, shown.stderr
    return json.loads(shown.stdout)


def test_quantize_writes_either_and_both_answer_alike(tiny, photos, tmp_path):
    results, scores = [], []
    for name in ("uint8", "int8"):
        out = tmp_path / f"{name}.tflite"
        results.append(quantized(tiny.float32.path, photos, out, "--input-type", name))
        assert input_type(out) == name
        scores.append(host_scorer(TFLiteModel(out, "int8"))(pictures(tiny)))
    np.testing.assert_array_equal(*scores)
    assert results[0]["notes"] == results[1]["notes"]
    assert [result["input"] for result in results] == ["uint8", "int8"]
    assert results[1]["full_int8"]


def test_an_accuracy_budget_is_measured_on_the_file_that_is_written(tiny, photos, tmp_path):
    labels, out = tmp_path / "labels.txt", tmp_path / "int8.tflite"
    labels.write_text("\n".join(tiny.labels) + "\n")
    budget = ("--max-drop", 100, "--validation", photos, "--labels", labels)
    result = quantized(tiny.float32.path, photos, out, "--input-type", "int8", *budget)
    assert input_type(out) == "int8"
    assert result["ladder"]["rungs"][0]["bytes"] == result["bytes"] == out.stat().st_size


@pytest.mark.parametrize("command", ["quantize", "build"])
def test_another_type_is_refused_before_anything_is_read(command, tmp_path):
    arguments = {
        "quantize": ["no.tflite", "--calibration", tmp_path, "-o", tmp_path / "out.tflite"],
        "build": ["mobilenet", "-o", tmp_path / "run"],
    }
    shown = CliRunner().invoke(
        main, [command, *map(str, arguments[command]), "--input-type", "float32"]
    )
    assert shown.exit_code == 2
    line = shown.stderr.strip().splitlines()[-1]
    assert "--input-type" in line and "float32" in line and "uint8" in line and "int8" in line


def test_the_recipe_key_goes_there_and_back(tmp_path):
    path = tmp_path / "recipe.toml"
    path.write_text('[quantize]\ninput = "int8"\n')
    recipe = load(path)
    assert (recipe.quantize.input, Recipe().quantize.input) == ("int8", "uint8")
    path.write_text(recipe.to_toml())
    assert load(path) == recipe
    path.write_text('[quantize]\ninput = "float32"\n')
    with pytest.raises(
        Exception, match=r"quantize.input: must be uint8 \| int8, got 'float32'"
    ) as e:
        load(path)
    assert "\n" not in str(e.value)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run folder whose recipe asks for an int8 input."""
    folder = tmp_path_factory.mktemp("build")
    flags = ("--weights", "random", "--input-type", "int8", "-o", folder / "run")
    images = ("--calibration", photographs(folder / "photos", 8))
    shown = invoke(*quick(folder, "mobilenet", *flags, *images))
    assert shown.exit_code == 0, shown.stderr
    return folder / "run"


def test_a_build_says_what_its_input_takes_and_what_the_other_would(run):
    assert input_type(run / "model_int8.tflite") == "int8"
    assert load(run / "recipe.toml").quantize.input == "int8"
    words = json.loads((run / "report.json").read_text())["quantization"]["input"]
    assert "pixel ^ 0x80" in words and "--input-type uint8" in words
    for page in ("report.md", "report.html"):
        assert "--input-type uint8" in (run / page).read_text()


def test_ranges_from_batch_norms_go_with_an_int8_input(run, tmp_path):
    out = tmp_path / "int8.tflite"
    quantized(run / "model_float32.tflite", "bn", out, "--input-type", "int8")
    assert input_type(out) == "int8"


def exported(run, scheme, *more):
    """The folder that `edgecv export` makes of a run's model."""
    out = run / f"export_{scheme}"
    shown = CliRunner().invoke(
        main, ["export", str(run), "--scheme", scheme, "-o", str(out), *more]
    )
    assert shown.exit_code == 0, shown.output
    return out


@pytest.fixture(scope="module", params=["uint8", "int8"])
def either(request, files, tiny, tmp_path_factory):
    """A finished run's folder around the int8 file with this input, and the float one."""
    folder, table = tmp_path_factory.mktemp(request.param), report()
    models = {"float32": tiny.float32.path, "int8": files[request.param == "int8"]}
    for scheme, path in models.items():
        shutil.copy(path, folder / f"model_{scheme}.tflite")
        table["files"][scheme] = TFLiteModel(folder / f"model_{scheme}.tflite", scheme).describe()
    (folder / "report.json").write_text(json.dumps(table))
    (folder / "labels.txt").write_text("\n".join(tiny.labels) + "\n")
    (folder / "recipe.toml").write_text("")
    return folder


@pytest.mark.parametrize("scheme", ["int8", "float32"])
def test_the_python_of_the_card_feeds_as_evaluate_does(either, scheme, tiny, monkeypatch):
    out = exported(either, scheme)
    (model,) = out.glob("*.tflite")
    code = (out / "MODEL_CARD.md").read_text().split("```python\n")[1].split("```")[0]
    picture = pictures(tiny)[0]
    names = {"pixels": picture}
    monkeypatch.chdir(out)
    exec(code, names)
    expected = runtime.run(runtime.load(model), picture[np.newaxis], CENTERED)[0]
    grid = pixels.grid_of(runtime.load(model).get_output_details()[0])
    np.testing.assert_array_equal(pixels.decode(names["scores"], grid), expected)
    assert len(np.unique(expected)) > 1


def test_python_for_an_edge_tpu_loads_its_driver(tmp_path):
    model = made_packages.written(tmp_path / "it's_edgetpu.tflite", made_packages.cached())
    code = render_python(model)
    compile(code, "card", "exec")
    assert "import Interpreter, load_delegate" in code and "libedgetpu.so.1" in code


C_MAIN = """
#include <stdio.h>
#include "{name}.h"
int main(void) {{
  for (int pixel = 0; pixel < 256; pixel++) {{
    {symbol}_INPUT_TYPE stored = {symbol}_INPUT_OF(pixel);
    fwrite(&stored, sizeof stored, 1, stdout);
  }}
  return 0;
}}
"""


@pytest.mark.skipif(not shutil.which("gcc"), reason="no gcc")
@pytest.mark.parametrize("scheme", ["int8", "float32"])
def test_the_macro_of_the_header_feeds_as_evaluate_does(either, scheme):
    out = exported(either, scheme, "--c")
    name = f"model_{scheme}"
    (out / "main.c").write_text(C_MAIN.format(name=name, symbol=name.upper()))
    flags = ["-std=c11", "-Wall", "-Wextra", "-Werror", "-o", out / "program"]
    subprocess.run(["gcc", *flags, out / "main.c"], check=True)
    told = subprocess.run([out / "program"], capture_output=True, check=True).stdout
    image = contract.read(out / f"{name}.tflite").image
    every = np.arange(256, dtype=np.uint8)[:, np.newaxis].repeat(3, 1)[np.newaxis]
    np.testing.assert_array_equal(
        np.frombuffer(told, image.grid.dtype), image.encode(every)[0, :, 0]
    )


def test_inspect_says_how_pixels_go_in(run):
    shown = CliRunner().invoke(main, ["inspect", str(run / "model_int8.tflite")])
    assert "pixel ^ 0x80" in shown.stdout
