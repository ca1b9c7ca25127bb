"""The artifacts of stages: frozen dataclasses, each a file on disk plus what later stages need.

`Report` is report.json (schema 1). A figure that nobody measured is absent, not null or zero.
"""

import dataclasses
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from edgecv.files import gzip_bytes, sha256

SCHEMA = 1


class Normalization(NamedTuple):
    """Mean and deviation per channel, which turn RGB pixels of 0..255 into a network's input."""

    mean: tuple[float, float, float] = (127.5, 127.5, 127.5)
    std: tuple[float, float, float] = (127.5, 127.5, 127.5)


CENTERED = Normalization()  # [-1, 1]; what every .tflite of ours takes as float input
# What most networks were trained on. Keras stores the deviations as variances by mistake
# (tensorflow/tensorflow#49930) and divides by their root once more: in sum, this.
IMAGENET = Normalization(
    mean=(255 * 0.485, 255 * 0.456, 255 * 0.406), std=(255 * 0.229, 255 * 0.224, 255 * 0.225)
)


class Range(NamedTuple):
    """The lowest and the highest value an activation takes."""

    low: float
    high: float


@dataclass(frozen=True)
class TFLiteModel:
    """A .tflite on disk and how its numbers are stored: float32 | float16 | dynamic | int8."""

    path: Path
    scheme: str
    normalization: Normalization | None = None  # of pixels; what the file says, if None

    def describe(self) -> dict[str, Any]:
        """Its entry in report.json: name within the run, sizes in bytes, hash."""
        return {
            "path": self.path.name,
            "bytes": self.path.stat().st_size,
            "gzip_bytes": gzip_bytes(self.path),
            "sha256": sha256(self.path),
        }


@dataclass(frozen=True)
class Report:
    """report.json: what was built, how large, how good and how fast it is."""

    edgecv: str
    arch: str
    width: float
    resolution: int
    classes: int
    parameters: int
    macs: int
    weights: str  # trained | imagenet | file | random
    files: dict[str, dict[str, Any]]
    quantization: dict[str, Any]
    accuracy: dict[str, Any] | None = None
    pruning: dict[str, Any] = field(default_factory=lambda: {"kind": "none", "sparsity": 0.0})
    latency: list[dict[str, Any]] = field(default_factory=list)
    seconds: dict[str, float] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)
    coral: dict[str, Any] | None = None  # what is estimated, and what was compiled, each on its own
    date: str | None = None  # when it was finished: 2026-11-28
    data: dict[str, Any] | None = None  # how many images were for what
    training: dict[str, list[dict[str, Any]]] | None = None  # a row an epoch, by stage
    schema: int = SCHEMA

    def to_json(self) -> str:
        """report.json's text, in the order of the contract."""
        table = dataclasses.asdict(self)
        order = ["schema", *(key for key in table if key != "schema")]
        return json.dumps({key: table[key] for key in order if table[key] is not None}, indent=1)
