"""`edgecv inspect`: any .tflite, looked into without running it and without TensorFlow."""

import json
import subprocess
import sys
import zipfile

import numpy as np
import pytest
from click.testing import CliRunner

from edgecv.cli import main
from edgecv.tflite import flatbuffer
from tests import foreign_files
from tests.foreign_files import Network


def run(*arguments):
    return CliRunner().invoke(main, [*map(str, arguments)])


@pytest.fixture
def classifier(tmp_path):
    """A float classifier with labels behind it."""
    path = tmp_path / "my model.tflite"
    path.write_bytes(flatbuffer.serialized(foreign_files.classifier()))
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("labels.txt", "cat\ndog\neel\n")
    return path


def test_both_ends_costs_and_sections_are_shown(classifier):
    found = json.loads(run("inspect", classifier, "--json").stdout)
    image, output = found["contract"]["input"], found["contract"]["output"]
    assert (image["height"], image["width"], image["channels"]) == (16, 16, 3)
    assert (image["dtype"], image["pixels"]["origin"]) == ("float32", "assumed")
    assert output["labels"] == {"count": 3, "origin": "archive in the file"}
    assert found["labels"] == ["cat", "dog", "eel"]
    assert found["macs"] == sum(row["macs"] for row in found["layers"]) > 0
    assert sum(found["sections"].values()) == found["bytes"] == classifier.stat().st_size
    assert found["sections"]["constants"] == found["parameter_bytes"]
    assert found["delegate"]["origin"] == "estimated"


def test_what_is_shown_ends_with_the_next_command(classifier):
    shown = run("inspect", classifier).stdout
    assert "3 labels (archive in the file)" in shown
    assert shown.splitlines()[-1].startswith(f"Next: edgecv quantize '{classifier}' ")
    assert "are assumed to go in as [-1, 1]" in shown


def test_what_takes_no_image_is_shown_as_its_tensors(tmp_path):
    network = Network((1, 28, 28)).then("RELU", (1, 28, 28))
    graph = network.graph
    graph.subgraph.inputs, graph.subgraph.outputs = (
        np.array([each], np.int32) for each in (network.image, network.at)
    )
    path = tmp_path / "signal.tflite"
    path.write_bytes(flatbuffer.serialized(graph.model))
    shown = run("inspect", path)
    assert shown.exit_code == 0, shown.stderr
    assert "image 1x28x28 float32" in shown.stdout
    assert f"Next: edgecv profile {path}" in shown.stdout
    assert "the input must be one RGB or gray image" in shown.stdout


def test_text_tensors_are_no_damage_to_who_only_looks(classifier):
    model = flatbuffer.read(classifier)
    graph = foreign_files.Graph(model)
    kinds = flatbuffer.schema().TensorType
    graph.tensors[int(graph.subgraph.outputs[0])].type = kinds.STRING
    classifier.write_bytes(flatbuffer.serialized(model))
    shown = run("inspect", classifier, "--json")
    assert shown.exit_code == 0, shown.stderr
    assert "STRING" in json.loads(shown.stdout)["no_contract"]


@pytest.mark.parametrize("content", [b"", b"TFL3", b"\0\0\0\0TFL3" + bytes(range(200))])
def test_what_is_no_model_is_one_line(content, tmp_path):
    (tmp_path / "bad.tflite").write_bytes(content)
    shown = run("inspect", tmp_path / "bad.tflite")
    assert shown.exit_code == 1
    assert len(shown.stderr.strip().splitlines()) == 1


def test_plan_points_there(classifier):
    shown = run("plan", classifier)
    assert shown.exit_code == 2
    assert f"edgecv inspect '{classifier}'" in shown.stderr


def test_nothing_heavy_is_imported(classifier):
    heavy = ("tensorflow", "tf_keras", "cv2", "rich", "matplotlib", "scipy")
    code = (
        "import sys; from edgecv.cli import main\n"
        f"try: main(['inspect', {str(classifier)!r}])\n"
        "except SystemExit: pass\n"
        f"print([name for name in {heavy} if name in sys.modules])"
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert shown.stdout.splitlines()[-1] == "[]", shown.stderr
