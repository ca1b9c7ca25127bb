"""An Edge TPU on a board, as far as it goes without one: probing, checks, a crash in a child.

The driver is a fake: a C library of the driver's interface that sees what it is told to, and either
crashes or refuses when a runtime loads it. Nothing is ever run on it, or measured with it.
"""

import shutil
import subprocess

import numpy as np
import pytest
from click.testing import CliRunner

from edgecv.cli import main
from edgecv.coral import edge_tpu_check
from edgecv.device import board as boards
from edgecv.device import description
from edgecv.device.description import Device
from edgecv.errors import DeviceError, RecipeError
from edgecv.tflite import flatbuffer
from tests import made_packages
from tests.coral_models import classifier

FAKE_DRIVER = """
#include <signal.h>
#include <stdlib.h>
struct edgetpu_device { int type; const char *path; };
static struct edgetpu_device seen[2] = {{1, "/sys/bus/usb/devices/2-1"}, {0, "/dev/apex_0"}};
const char *edgetpu_version(void) { return "BuildLabel(fake), RuntimeVersion(RUNTIME)"; }
struct edgetpu_device *edgetpu_list_devices(size_t *count) {
  *count = DEVICES;
  return DEVICES ? seen : NULL;
}
void edgetpu_free_devices(struct edgetpu_device *given) { if (given != seen) abort(); }
void *tflite_plugin_create_delegate(char **keys, char **values, size_t count, void *report) {
  if (CRASHES) raise(SIGSEGV);
  for (size_t at = 0; at < count; at++)
    ((void (*)(const char *))report)(values[at]);
  return NULL;
}
void tflite_plugin_destroy_delegate(void *delegate) { }
"""
HERE = Device(name="here", host="local", delegate="edgetpu")

pytestmark = pytest.mark.skipif(
    not shutil.which("gcc"), reason="a C compiler makes the fake driver"
)


@pytest.fixture
def fake_driver(tmp_path, monkeypatch):
    """Puts a driver where the agent's processes look for libedgetpu.so.1."""

    def made(runtime=14, devices=1, crashes=0):
        values = {"RUNTIME": runtime, "DEVICES": devices, "CRASHES": crashes}
        text = FAKE_DRIVER
        for name, value in values.items():
            text = text.replace(name, str(value))
        folder = tmp_path / "fake_driver"
        folder.mkdir()
        (folder / "fake.c").write_text(text)
        command = ["gcc", "-shared", "-fPIC", "-o", folder / "libedgetpu.so.1", folder / "fake.c"]
        subprocess.run(command, check=True)
        monkeypatch.setenv("LD_LIBRARY_PATH", str(folder))

    return made


@pytest.fixture
def compiled(tmp_path):
    return made_packages.written(tmp_path / "model_edgetpu.tflite", made_packages.cached())


def attempt():
    with boards.connect(HERE) as agent:
        return agent.call("attempt", {"name": "edgetpu"})


def test_the_fake_driver_is_probed_for_its_version_and_its_devices(fake_driver):
    fake_driver(runtime=14, devices=2)
    assert attempt() == {
        "version": "BuildLabel(fake), RuntimeVersion(14)",
        "devices": [
            {"kind": "usb", "path": "/sys/bus/usb/devices/2-1"},
            {"kind": "pci", "path": "/dev/apex_0"},
        ],
    }


def test_a_driver_that_is_missing_comes_with_how_to_install_it(compiled):
    with pytest.raises(
        DeviceError, match=r"here: no Edge TPU driver: .*cannot open.*install libedgetpu.*Google"
    ):
        edge_tpu_check.check_ready(HERE, compiled)


@pytest.mark.parametrize(
    ("driver", "said"),
    [
        (
            {"runtime": 12},
            r"needs runtime 13 or later, the driver there has 12; .*--min-runtime 12",
        ),
        ({"devices": 0}, r"sees no Edge TPU.*edgecv devices check here"),
        (
            {"crashes": 1},
            r"crashed \(signal 11 \(SIGSEGV\)\) with libedgetpu BuildLabel\(fake\).*what works:"
            r".*tflite-runtime 2\.5\.0\.post1.*feranick/libedgetpu",
        ),
        ({}, "Failed to load delegate"),
    ],
)
def test_each_way_to_fail_is_one_line_that_says_what_to_do(fake_driver, compiled, driver, said):
    fake_driver(**driver)
    with pytest.raises(DeviceError, match=said) as caught:
        edge_tpu_check.check_ready(HERE, compiled)
    assert "\n" not in str(caught.value)


def test_the_delegate_gets_the_devices_options(fake_driver, compiled):
    fake_driver()
    device = Device(
        name="here", host="local", delegate="edgetpu", edgetpu="usb:1", edgetpu_clock="low"
    )
    assert device.delegate_options == {"device": "usb:1", "Performance": "Low"}
    assert HERE.delegate_options == {}
    with pytest.raises(DeviceError, match=r"usb:1.*Low|Low.*usb:1"):
        edge_tpu_check.check_ready(device, compiled)


def test_the_first_inference_keeps_to_the_devices_cores(fake_driver, compiled):
    fake_driver()
    device = Device(name="here", host="local", delegate="edgetpu", affinity=(255,))
    with pytest.raises(DeviceError, match=r"affinity: must be of .* got \[255\]"):
        edge_tpu_check.check_ready(device, compiled)


def test_a_device_file_says_which_edge_tpu(tmp_path):
    path = tmp_path / "stick.toml"
    path.write_text('host = "pi@pi"\ndelegate = "edgetpu"\nedgetpu = "pci:0"\n')
    assert description.load(path).delegate_options == {"device": "pci:0"}
    path.write_text('host = "pi@pi"\nedgetpu = "usb0"\n')
    with pytest.raises(RecipeError, match=r"edgetpu: must be usb, pci, usb:N"):
        description.load(path)


def test_a_model_that_is_not_compiled_is_a_warning(tmp_path):
    model = flatbuffer.write(classifier(), tmp_path / "model.tflite")
    assert edge_tpu_check.check_ready(HERE, model) == [
        f"{model}: is not compiled for the Edge TPU; it runs on the processor"
    ]


@pytest.mark.parametrize("command", ["profile", "evaluate"])
def test_commands_check_the_edge_tpu_first(fake_driver, compiled, tmp_path, command):
    import cv2

    fake_driver(devices=0)
    device = tmp_path / "stick.toml"
    device.write_text('host = "local"\ndelegate = "edgetpu"\n')
    photos = tmp_path / "photos"
    for label in "abcdefghij":
        (photos / label).mkdir(parents=True)
        pixels = np.random.default_rng(0).integers(0, 255, (16, 16, 3), np.uint8)
        cv2.imwrite(str(photos / label / "0.png"), pixels)
    data = ["--data", str(photos)] if command == "evaluate" else []
    shown = CliRunner().invoke(main, [command, str(compiled), "--device", str(device), *data])
    assert shown.exit_code == 1, shown.output
    assert shown.stderr.splitlines()[-1].startswith("Error: stick: the driver sees no Edge TPU")


def test_the_first_inference_is_a_process_of_its_own(tmp_path):
    """By a model for the processor, since there is no Edge TPU: what `first` answers."""
    model = flatbuffer.write(classifier(), tmp_path / "model.tflite")
    device = Device(name="here", host="local")
    with boards.connect(device) as agent:
        found = agent.call("first", {"model": str(model), "runtime": "litert"})
        again = agent.call("first", {"model": str(model), "runtime": "litert"})
    assert found["delegate"] in ("xnnpack", "builtin")
    assert min(found["load_seconds"], found["first_seconds"], again["first_seconds"]) > 0


def test_parity_compares_a_compiled_model_with_the_one_before_compiling(compiled, tmp_path):
    """What an Edge TPU gives is held against the processor's: here the pairing alone is tested."""
    from edgecv.artifacts import TFLiteModel
    from edgecv.evaluate.on_device import OnDevice

    with OnDevice(HERE, TFLiteModel(compiled, "edgetpu")) as running:
        with pytest.raises(DeviceError, match=r"before compiling, model.tflite, is not beside it"):
            running._comparable()
        source = flatbuffer.write(classifier(), tmp_path / "model.tflite")
        assert running._comparable() == source
