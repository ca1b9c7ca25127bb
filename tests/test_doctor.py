"""The doctor's checks: what they find in the facts of a board, and how to mend it."""

import pytest

from edgecv.device import doctor, wheels
from edgecv.device.description import Board, Device
from edgecv.device.facts import Facts, Loaded

MISSING = Loaded("", "LookupError: litert is not installed")
FIT = Facts(
    cpu="Raspberry Pi 5 Model B Rev 1.0",
    python="3.11.2",
    machine="aarch64",
    cores=4,
    bits=64,
    glibc="2.36",
    page_bytes=4096,
    free_disk_bytes=8_000_000_000,
    free_memory_bytes=3_000_000_000,
    throttled=0,
    governor="performance",
    temperature_celsius=45.0,
    other_load=0.1,
    usb={"18d1:9302": 5000.0},
    pcie_edgetpu=False,
    libraries={
        "numpy": Loaded("1.26.4"),
        "litert": Loaded("2.3.0"),
        "tflite": Loaded("2.14.0"),
        "edgetpu": Loaded("BuildLabel(COMPILER=6.3.0), RuntimeVersion(14)"),
    },
)
CORAL = Device(name="coral", host="x", delegate="edgetpu")
PI5 = Device(name="pi5", host="x", board=Board(model="Raspberry Pi 5", throttles_celsius=80))


def libraries(**changed):
    return {**FIT.libraries, **changed}


@pytest.mark.parametrize(
    ("python", "glibc", "machine", "requirement"),
    [
        pytest.param("3.11.2", "2.36", "aarch64", "ai-edge-litert==2.3.0", id="Bookworm"),
        pytest.param("3.13.5", "2.41", "aarch64", "ai-edge-litert==2.3.0", id="Trixie"),
        pytest.param("3.9.2", "2.31", "aarch64", "ai-edge-litert==1.4.0", id="Bullseye"),
        pytest.param("3.11.2", "2.36", "armv7l", "tflite-runtime==2.14.0 numpy<2", id="32 bit"),
        pytest.param("3.9.2", "2.31", "armv7l", "tflite-runtime==2.13.0 numpy<2", id="old 32 bit"),
        pytest.param("3.7.3", "2.28", "aarch64", "tflite-runtime==2.11.0 numpy<2", id="Mendel"),
        pytest.param("3.13.5", "2.41", "armv7l", None, id="Trixie, 32 bit"),
        pytest.param("3.11.2", "", "aarch64", None, id="no glibc"),
        pytest.param("3.11.2", "2.36", "armv6l", None, id="Pi Zero W"),
    ],
)
def test_wheel_is_the_newest_that_fits(python, glibc, machine, requirement):
    found = wheels.choose_wheel(python, glibc, machine)
    assert (found and found.requirement) == requirement


def test_a_fit_board_has_nothing_to_mend():
    for device in (PI5, CORAL, Device(name="any", host="x", runtime="tflite")):
        assert {each.status for each in doctor.examine(FIT, device)} == {"ok"}


@pytest.mark.parametrize(
    ("check", "changed", "device", "status", "found", "mended"),
    [
        (
            "board",
            {"cpu": "Raspberry Pi 4 Model B"},
            PI5,
            "problem",
            "Raspberry Pi 4",
            "device file",
        ),
        ("python", {"python": "3.6.9"}, PI5, "problem", "3.6.9", "needs Python 3.7"),
        ("system", {"bits": 32}, PI5, "warning", "32 bit, aarch64", "64-bit system"),
        (
            "glibc",
            {"glibc": "2.12", "libraries": libraries(litert=MISSING, tflite=MISSING)},
            PI5,
            "problem",
            "2.12",
            "64-bit system",
        ),
        (
            "runtime",
            {"libraries": libraries(litert=MISSING, tflite=MISSING)},
            PI5,
            "problem",
            "none installed",
            "venv/bin/python -m pip install --disable-pip-version-check --only-binary :all:"
            " 'ai-edge-litert==2.3.0'",
        ),
        (
            "runtime",
            {"bits": 32, "libraries": libraries(litert=MISSING, tflite=MISSING)},
            PI5,
            "problem",
            "none installed",
            "'tflite-runtime==2.14.0' 'numpy<2'",
        ),
        (
            "runtime",
            {"libraries": libraries(litert=Loaded("", "the runtime ended with signal 4 (SIGILL)"))},
            Device(name="x", host="x", runtime="litert"),
            "problem",
            "litert: the runtime ended with signal 4 (SIGILL)",
            "Install a TFLite runtime",
        ),
        (
            "runtime",
            {"trial_error": "the runtime ended with signal 4 (SIGILL)"},
            PI5,
            "problem",
            "its wheel is built for a newer core than that of the Raspberry Pi 5",
            "'ai-edge-litert==1.4.0'",
        ),
        (
            "runtime",
            {
                "python": "3.13.5",
                "trial_error": "the runtime ended with signal 4 (SIGILL)",
            },
            PI5,
            "problem",
            "SIGILL",
            "Install a TFLite runtime that loads",
        ),
        (
            "runtime",
            {"trial_error": "RuntimeError: no such kernel"},
            PI5,
            "problem",
            "RuntimeError: no such kernel",
            "'ai-edge-litert==2.3.0'",
        ),
        (
            "numpy",
            {"libraries": libraries(litert=MISSING, numpy=Loaded("2.1.3"))},
            PI5,
            "problem",
            "2.1.3",
            "venv/bin/python -m pip install --disable-pip-version-check --only-binary :all:"
            " 'ai-edge-litert==2.3.0'",
        ),
        (
            "numpy",
            {"libraries": libraries(numpy=Loaded("", "gone"))},
            PI5,
            "problem",
            "gone",
            "numpy",
        ),
        (
            "edgetpu",
            {"libraries": libraries(edgetpu=Loaded("", "OSError: cannot open shared object file"))},
            CORAL,
            "problem",
            "cannot open",
            "Google's apt has TF 2.5",
        ),
        (
            "edgetpu",
            {"libraries": libraries(edgetpu=Loaded("RuntimeVersion(10)"))},
            CORAL,
            "warning",
            "runtime 10; 12 to 14 are known to work",
            "TF 2.5",
        ),
        ("usb", {"usb": {"1a6e:089a": 480.0}}, CORAL, "warning", "480 Mbit/s", "USB 3 socket"),
        ("usb", {"usb": {}}, CORAL, "problem", "no Coral stick", "Plug"),
        (
            "usb",
            {"usb_locked": frozenset({"18d1:9302"})},
            CORAL,
            "problem",
            "you may not open",
            "udev/rules.d/60-edgetpu.rules; sudo udevadm control --reload; sudo usermod -aG plug",
        ),
        ("pcie", {"pcie_card": True}, CORAL, "problem", "no driver", "install gasket-dkms"),
        (
            "pcie",
            {"pcie_card": True, "pcie_edgetpu": True, "pcie_locked": True},
            CORAL,
            "problem",
            "/dev/apex_0, which you may not open",
            "usermod -aG apex",
        ),
        (
            "glibc",
            {
                **{"python": "3.13.5", "bits": 32, "glibc": "2.41"},
                "libraries": libraries(litert=MISSING, tflite=MISSING),
            },
            PI5,
            "problem",
            "2.41, Python 3.13.5, armv7l; Python 3.11 has tflite-runtime==2.14.0, as in Debian 12",
            "64-bit system",
        ),
        (
            "runtime",
            {
                "externally_managed": True,
                "libraries": libraries(litert=MISSING, tflite=MISSING),
            },
            Device(name="x", host="x", python="/usr/bin/python3"),
            "problem",
            "none installed",
            "'ai-edge-litert==2.3.0'; then leave `python` out of the device file",
        ),
        (
            "power",
            {"throttled": None, "firmware_error": "VCHI initialization failed"},
            PI5,
            "warning",
            "vcgencmd: VCHI initialization failed",
            "usermod -aG video",
        ),
        ("page size", {"page_bytes": 16384}, PI5, "warning", "16384", "kernel8.img"),
        ("governor", {"governor": "ondemand"}, PI5, "warning", "ondemand", "echo performance"),
        ("temperature", {"temperature_celsius": 72.0}, PI5, "warning", "72 °C", "fan"),
        ("temperature", {"temperature_celsius": 82.0}, PI5, "problem", "82 °C", "fan"),
        (
            "power",
            {"throttled": 0x50005},
            PI5,
            "problem",
            "under-voltage, throttled, now",
            "supply",
        ),
        ("power", {"throttled": 0x50000}, PI5, "warning", "throttled, since it started", "supply"),
        ("power", {"throttled": 0x80008}, PI5, "problem", "soft temperature limit, now", "fan"),
        ("disk", {"free_disk_bytes": 10_000_000}, PI5, "problem", "10 MB", "Make room"),
        ("disk", {"free_disk_bytes": 200_000_000}, PI5, "warning", "200 MB", "Make room"),
        ("memory", {"free_memory_bytes": 20_000_000}, PI5, "problem", "20 MB", "End other"),
        ("load", {"other_load": 1.5}, PI5, "warning", "1.5 of 4 cores", "not valid"),
    ],
)
def test_check_finds_what_is_wrong_and_says_how_to_mend_it(
    check, changed, device, status, found, mended
):
    findings = {each.check: each for each in doctor.examine(FIT._replace(**changed), device)}
    assert findings[check].status == status
    assert found in findings[check].found
    assert mended in f"{findings[check].fix} {findings[check].command}"


def test_what_an_emulator_invents_is_not_shown_as_measured():
    emulated = FIT._replace(emulated=True, temperature_celsius=85.0, governor="ondemand")
    findings = {each.check: each for each in doctor.examine(emulated, PI5)}
    for name in ("temperature", "governor"):
        assert (findings[name].status, findings[name].found) == ("ok", doctor.EMULATED)


def test_what_a_board_does_not_tell_is_no_fault():
    silent = FIT._replace(
        throttled=None,
        governor=None,
        temperature_celsius=None,
        free_memory_bytes=None,
        other_load=None,
    )
    findings = doctor.examine(silent, PI5)
    assert {each.status for each in findings} == {"ok"}
    assert sum("does not tell" in each.found for each in findings) == 5


def test_every_check_says_what_to_do():
    for check in doctor.CHECKS:
        assert check.__doc__
        assert "\n" not in check.__doc__
