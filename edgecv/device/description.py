"""Devices: what a board is and how to reach it, as frozen dataclasses read from `devices/*.toml`.

The fields are the TOML keys, checked by the loader of the recipes. A user's own files lie in
`~/.config/edgecv/devices` (`EDGECV_DEVICES` names another folder) and go before the shipped ones.
"""

import dataclasses
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tomli_w

from edgecv.errors import RecipeError, nearest
from edgecv.files import write_text
from edgecv.recipe import RUNTIMES, Allowed, between, one_of, option, read

SHIPPED = (Path(__file__).parents[1] / "devices", Path(__file__).parents[2] / "devices")
EDGETPU = Allowed(
    lambda value: re.fullmatch(r"|usb|pci|(usb|pci)?:\d{1,2}", value) is not None,
    "usb, pci, usb:N, pci:N or :N, or nothing for any of them",
)


@dataclass(frozen=True)
class Board:
    """`[board]`: facts of the hardware, with their sources; what is left out is not known.

    `model` is how /proc/device-tree/model begins; without one, any machine is taken for the board.
    Caches are those of one core, or of all where the core has none of its own.
    """

    model: str = ""
    soc: str = ""
    core: str = ""
    cores: int | None = option(None, between(1, 256))
    clock_mhz: int | None = option(None, between(100, 10_000))
    dot_product: bool | None = None  # SDOT and UDOT, of ARMv8.2
    l1d_kib: int | None = option(None, between(1, 10_000))
    l2_kib: int | None = option(None, between(1, 1_000_000))
    l3_kib: int | None = option(None, between(1, 1_000_000))
    memory_mib: int | None = option(None, between(64, 10_000_000))  # of the smallest one sold
    copy_mb_s: int | None = option(None, between(1, 1_000_000))  # one core copying, measured
    throttles_celsius: int | None = option(None, between(30, 120))
    usb: int | None = option(None, between(2, 4))  # the fastest socket
    accelerator: str = option("", one_of("", "edgetpu"))
    emulated: bool = False  # then nothing that it measures is a latency
    runtimes: tuple[str, ...] = option((), one_of(*RUNTIMES))  # that have wheels for it
    sources: tuple[str, ...] = ()


@dataclass(frozen=True)
class Device:
    """A board, and how to reach and use it.

    `host` is anything ssh accepts, `local` this machine. Without `python`, edgecv's own venv on
    the board is used where there is one, else `python3`. `cooldown` is in seconds, before each
    measurement; `affinity` the cores to run on; empty for all of them.
    """

    name: str = ""  # in reports; "" for the file's name
    host: str = ""
    ssh_config: str = ""  # a file for `ssh -F`, in place of the user's own
    python: str = ""
    runtime: str = option("auto", one_of("auto", *RUNTIMES))
    delegate: str = option("auto", one_of("auto", "builtin", "edgetpu"))
    edgetpu: str = option("", EDGETPU)  # which one, where there are several
    edgetpu_clock: str = option("", one_of("", "low", "medium", "high", "max"))
    threads: int = option(1, between(1, 64))
    affinity: tuple[int, ...] = option((), between(0, 255))
    cooldown: float = option(0.0, between(0, 3600))
    board: Board = Board()

    @property
    def local(self) -> bool:
        """Whether it is the machine that edgecv runs on."""
        return self.host == "local"

    @property
    def delegate_options(self) -> dict[str, str]:
        """The delegate's own options, in its words; what is not said is left to it."""
        options = {"device": self.edgetpu, "Performance": self.edgetpu_clock.capitalize()}
        return {name: value for name, value in options.items() if value}

    def run_options(self, runtime: str = "", threads: int = 0) -> dict[str, Any]:
        """How the board's agent runs a model: as described here, but for what is named."""
        return {
            "runtime": runtime or self.runtime,
            "threads": threads or self.threads,
            "delegate": self.delegate,
            "delegate_options": self.delegate_options,
            "cores": self.affinity,
        }

    def to_toml(self) -> str:
        """The description as TOML, without the keys that are at their default."""
        defaults = dataclasses.asdict(Device())
        return tomli_w.dumps(_changed(dataclasses.asdict(self), defaults))


def user_folder() -> Path:
    """Where a user's own device files lie."""
    config = Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config")
    return Path(os.environ.get("EDGECV_DEVICES") or config / "edgecv" / "devices")


def files() -> dict[str, Path]:
    """The device files by name: the shipped ones, and the user's in their place or beside them."""
    folders = (*SHIPPED, user_folder())
    return {path.stem: path for folder in folders for path in sorted(folder.glob("*.toml"))}


def load(path: Path) -> Device:
    """Read and check a device file. Raises RecipeError, naming the file and the key."""
    device = read(Device, path)
    if not device.host:
        raise RecipeError(f"{path}: host: missing; what ssh accepts, or 'local' for this machine")
    return dataclasses.replace(device, name=device.name or path.stem)


def find(name: str) -> Device:
    """The device of a file, or of that name. Raises RecipeError."""
    if name.endswith(".toml") or Path(name).is_file():
        return load(Path(name))
    paths = files()
    if name not in paths:
        raise RecipeError(
            f"device '{name}': not known; there are: {', '.join(paths)}{nearest(name, paths)}"
        )
    return load(paths[name])


def find_by_model(model: str) -> Device | None:
    """The shipped description of the board whose device tree says `model`: the closest one.

    Of two, the one that says nothing of what is plugged in.
    """
    fitting = [
        device
        for device in (load(path) for folder in SHIPPED for path in sorted(folder.glob("*.toml")))
        if device.board.model and model.startswith(device.board.model)
        if not device.board.emulated
    ]
    return max(
        fitting,
        key=lambda device: (len(device.board.model), device.delegate != "edgetpu"),
        default=None,
    )


def save(device: Device) -> Path:
    """Write a device to the user's folder, under its name. Raises RecipeError if it is there."""
    path = user_folder() / f"{device.name}.toml"
    if path.exists():
        raise RecipeError(f"{path}: is there already; choose another --name, or remove it")
    return write_text(path, dataclasses.replace(device, name="").to_toml())


def _changed(table: Mapping[str, Any], defaults: Mapping[str, Any]) -> dict[str, Any]:
    """The keys that differ from their default, tables within included."""
    changed: dict[str, Any] = {}
    for key, value in table.items():
        if isinstance(value, Mapping):
            changed[key] = _changed(value, defaults[key])
        elif value != defaults[key]:
            changed[key] = value
    return {key: value for key, value in changed.items() if value != {}}
