"""The state of a training after an epoch, to resume a killed run: plain arrays, no pickles."""

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgecv.files import write_text
from edgecv.train.array_store import load_arrays, save_arrays

Arrays = list[NDArray[np.float32]]
GROUPS = ("weights", "slots", "best", "history", "average")  # of arrays, as the file has them
FIGURES = ("resolution", "loss", "accuracy", "monitor_loss", "monitor_accuracy")  # of an epoch


@dataclass
class Checkpoint:
    """The state after `epoch` finished epochs."""

    epoch: int = 0
    weights: Arrays = field(default_factory=list)
    slots: Arrays = field(default_factory=list)  # of the optimizer
    best: Arrays = field(default_factory=list)  # the weights with the lowest monitored loss
    best_loss: float = float("inf")
    best_epoch: int = 0
    history: Arrays = field(default_factory=list)  # FIGURES of each epoch; NaN: not monitored
    seen: Sequence[float] = ()  # monitored loss and accuracy of this epoch, where it has them
    average: Arrays = field(default_factory=list)  # of the weights, where it is kept

    def save(self, path: Path) -> None:
        """Write it whole."""
        scalars = np.array([self.epoch, self.best_loss, self.best_epoch], np.float64)
        groups = {name: getattr(self, name) for name in GROUPS}
        save_arrays(path, {"scalars": [scalars], **groups})

    def add_figures(self, resolution: int, loss: float, accuracy: float) -> None:
        """Append this epoch's figures to the history, and what was seen of the monitored images."""
        monitored = self.seen or (math.nan, math.nan)
        figures = np.array([resolution, loss, accuracy, *monitored], np.float32)
        self.history = [*self.history, figures]

    def write_history(self, path: Path) -> None:
        """Write the figures of every epoch as JSON, without those of what was not looked at."""
        rows = [
            {
                name: round(value, 5)
                for name, value in zip(FIGURES, row, strict=True)
                if not math.isnan(value)
            }
            for row in (figures.tolist() for figures in self.history)
        ]
        write_text(path, json.dumps(rows))


def load(path: Path) -> Checkpoint:
    """The checkpoint at `path`; a fresh one when there is none."""
    if not path.exists():
        return Checkpoint()
    groups = load_arrays(path)
    epoch, best_loss, best_epoch = groups["scalars"][0]
    arrays: dict[str, Any] = {name: groups.get(name, []) for name in GROUPS}
    return Checkpoint(int(epoch), **arrays, best_loss=float(best_loss), best_epoch=int(best_epoch))
