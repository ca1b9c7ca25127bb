"""The contents of the pages beside report.json."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgecv.artifacts import Range

if TYPE_CHECKING:  # a report is read where neither OpenCV nor a runtime is installed
    from edgecv.evaluate.accuracy import Prediction


@dataclass(frozen=True)
class Details:
    """Labels, calibrated ranges and predictions of a run; empty where it has none."""

    labels: Sequence[str] = ()
    ranges: Mapping[str, Range] = field(default_factory=dict)  # by tensor, in layer order
    predictions: Sequence["Prediction"] = ()
    sensitivity: Sequence[Mapping[str, Any]] = ()  # as report.sensitivity takes them
    model: Path | None = None  # the file that the run was for
