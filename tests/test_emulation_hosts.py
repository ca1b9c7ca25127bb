"""Hosts of the emulated board other than Debian 12: what is said, and what is asked of apt."""

import platform

import pytest

from edgecv.device import debian_sources, emulate, instructions
from edgecv.errors import DeviceError

LIST = "deb http://deb.example/debian trixie main\ndeb http://deb.example/s trixie-security main\n"
DEB822 = "Types: deb\nURIs: http://deb.example/debian\nSuites: trixie trixie-updates\n"


def test_a_newer_debian_asks_for_debian_12s_packages(tmp_path):
    apt = tmp_path / "apt"
    (apt / "sources.list.d").mkdir(parents=True)
    (apt / "sources.list").write_text(LIST)
    (apt / "sources.list.d" / "debian.sources").write_text(DEB822)
    (apt / "sources.list.d" / "old.save").write_text(LIST)
    made = debian_sources.settings(tmp_path / "etc", "trixie", apt)
    folder = tmp_path / "etc"
    assert made == {
        "Dir::Etc::sourcelist": str(folder / "sources.list"),
        "Dir::Etc::sourceparts": str(folder / "sources.list.d"),
    }
    assert (folder / "sources.list").read_text() == LIST.replace("trixie", "bookworm")
    (parts,) = (folder / "sources.list.d").iterdir()
    assert "Suites: bookworm bookworm-updates" in parts.read_text()
    assert debian_sources.settings(tmp_path / "other", "bookworm", apt) == {}


def test_another_system_is_named_before_anything_is_downloaded(monkeypatch):
    monkeypatch.setattr(platform, "freedesktop_os_release", lambda: {"ID": "fedora"})
    with pytest.raises(DeviceError, match="made of Debian's packages, this is fedora; use Debian"):
        debian_sources.host_suite()


def test_a_qemu_that_takes_no_plugin_is_named(tmp_path, monkeypatch):
    for name in ("qemu-aarch64", "gcc"):
        (tmp_path / name).write_text("#!/bin/sh\necho usage\n")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    (tmp_path / "m.tflite").write_bytes(b"")
    with pytest.raises(
        DeviceError, match="--count: this qemu-aarch64 takes no plugin, as Debian 13"
    ):
        instructions.count(tmp_path / "m.tflite")


def test_without_a_running_board_a_pi_4_is_counted(tmp_path, monkeypatch):
    monkeypatch.setenv("EDGECV_EMULATED_PI", str(tmp_path))
    (tmp_path / "ssh_config").write_text("Host pi5 emulated_pi\n")
    assert emulate.last_started() == "pi4"
