"""Debian 12's package sources, of which the emulated board is made, on a newer Debian."""

import platform
import re
from pathlib import Path

from edgecv.errors import DeviceError

SUITE = "bookworm"  # Debian 12: its Python is the last that tflite-runtime has wheels for
APT = Path("/etc/apt")


def host_suite() -> str:
    """The code name of this machine's Debian. Raises DeviceError on any other system."""
    try:
        system = platform.freedesktop_os_release()
    except OSError:
        system = {}
    if system.get("ID") != "debian":
        raise DeviceError(
            "emulated board: is made of Debian's packages, this is"
            f" {system.get('ID', 'no Debian')}; use Debian 12 or 13, or a container of it"
        )
    return system.get("VERSION_CODENAME", SUITE)


def settings(folder: Path, suite: str, apt: Path = APT) -> dict[str, str]:
    """Apt's settings for sources of Debian 12: those in `apt` with another suite, in `folder`."""
    if suite == SUITE:
        return {}
    (folder / "sources.list.d").mkdir(parents=True)
    (folder / "sources.list").touch()
    files = [apt / "sources.list", *(apt / "sources.list.d").glob("*")]
    for file in files:
        if file.suffix in (".list", ".sources") and file.is_file():
            text = re.sub(rf"\b{suite}\b", SUITE, file.read_text(encoding="utf-8"))
            (folder / file.relative_to(apt)).write_text(text, encoding="utf-8")
    return {
        "Dir::Etc::sourcelist": str(folder / "sources.list"),
        "Dir::Etc::sourceparts": str(folder / "sources.list.d"),
    }
