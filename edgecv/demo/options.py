"""The options of a demo: frozen dataclasses that also travel to a board as JSON."""

import dataclasses
import json
from dataclasses import dataclass
from typing import Any

from edgecv.artifacts import Normalization

PORT = 8080


@dataclass(frozen=True)
class DemoModel:
    """A classifier on this machine, and what its file says of itself."""

    path: str
    name: str
    labels: tuple[str, ...]
    crop: float = 1.0  # central share of a picture's shorter side that the model sees
    normalization: Normalization | None = None  # of pixels; what the input's grid says, if None
    facts: str = ""  # size, input, classes and data, for people


@dataclass(frozen=True)
class DemoOptions:
    """The source, the models and the place of a demo."""

    models: tuple[DemoModel, ...]
    source: str = "0"
    size: tuple[int, int] = (640, 480)  # width, height asked of a camera
    fps: float | None = None  # asked of a camera; pictures a second of a folder
    once: bool = False  # a file or folder ends, and no picture of it is left out
    threads: int = 1
    runtime: str = "auto"
    delegate: str = "auto"
    host: str = "127.0.0.1"
    port: int | None = None  # the usual one, or any that is free
    token: str = ""  # what viewers must know; none on the loopback interface
    socket: str = ""  # a Unix socket in place of a port
    snapshots: str = "snapshots"  # a folder; none sends them to where the demo was started from

    def to_json(self) -> str:
        """The options in one line."""
        return json.dumps(dataclasses.asdict(self))


def from_json(text: str) -> DemoOptions:
    """The options in a line that `to_json` wrote."""
    table: dict[str, Any] = json.loads(text)
    models = tuple(_model(entry) for entry in table.pop("models"))
    width, height = table.pop("size")
    return DemoOptions(models=models, size=(width, height), **table)


def _model(table: dict[str, Any]) -> DemoModel:
    said = table.pop("normalization")
    normalization = Normalization(*(tuple(values) for values in said)) if said else None
    return DemoModel(labels=tuple(table.pop("labels")), normalization=normalization, **table)
