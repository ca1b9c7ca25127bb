"""The table of runtimes: what every part of edgecv says of them comes from it."""

import ast
from pathlib import Path

import pytest

from edgecv import recipe
from edgecv.device import wheels
from edgecv.device.description import Device
from edgecv.errors import RecipeError
from edgecv.recipe import RUNTIMES, Recipe, override
from edgecv.tflite import runtime

WORKER = Path(recipe.__file__).with_name("device") / "worker.py"


def on_board():
    """The rows of the board's own table: its file imports nothing of edgecv."""
    for node in ast.walk(ast.parse(WORKER.read_text(encoding="utf-8"))):
        names = [getattr(target, "id", "") for target in getattr(node, "targets", ())]
        if isinstance(node, ast.Assign) and names == ["RUNTIMES"]:
            rows = zip(node.value.keys, node.value.values, strict=True)
            return {key.value: tuple(cell.value for cell in row.args) for key, row in rows}
    return {}


def test_a_board_knows_the_same_runtimes_in_the_same_order():
    table = {name: (row.label, row.package) for name, row in RUNTIMES.items()}
    assert list(on_board().items()) == list(table.items())


def test_every_wheel_is_of_a_runtime_and_brings_the_numpy_that_it_works_with():
    for wheel in wheels.WHEELS:
        row = RUNTIMES[wheel.runtime]
        assert wheel.requirement.startswith(f"{row.distribution}==")
        assert ("numpy<2" in wheel.requirement) == row.numpy_1
    assert {wheel.runtime for wheel in wheels.WHEELS} == set(RUNTIMES)


def test_recipes_and_devices_take_every_runtime_and_no_other():
    for name in ("auto", *RUNTIMES):
        assert override(Recipe(), {}, {"profile": {"runtime": name}}).profile.runtime == name
        assert Device(runtime=name).run_options()["runtime"] == name
    with pytest.raises(RecipeError, match=r"--runtime: must be auto \| litert \| tflite"):
        override(Recipe(), {}, {"profile": {"runtime": "lite"}})


def test_this_machine_runs_what_the_table_names_first():
    first = next(row for row in RUNTIMES.values() if row.beside_tensorflow)
    assert runtime.runtime_name().split()[0] == first.label


def test_a_device_says_how_it_runs_a_model_but_for_what_is_named():
    device = Device(runtime="tflite", threads=2, affinity=(0, 1), edgetpu="usb:0")
    assert device.run_options() == {
        "runtime": "tflite",
        "threads": 2,
        "delegate": "auto",
        "delegate_options": {"device": "usb:0"},
        "cores": (0, 1),
    }
    assert device.run_options("litert", 4)["threads"] == 4
