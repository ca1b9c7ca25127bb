"""The state of a training after an epoch, to resume a killed run: plain arrays, no pickles."""

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgecv.train.array_store import load_arrays, save_arrays

Arrays = list[NDArray[np.float32]]


@dataclass
class Checkpoint:
    """The state after `epoch` finished epochs."""

    epoch: int = 0
    weights: Arrays = field(default_factory=list)
    slots: Arrays = field(default_factory=list)  # of the optimizer
    best: Arrays = field(default_factory=list)  # the weights with the lowest monitored loss
    best_loss: float = float("inf")
    best_epoch: int = 0

    def save(self, path: Path) -> None:
        """Write it whole."""
        scalars = np.array([self.epoch, self.best_loss, self.best_epoch], np.float64)
        groups = {"weights": self.weights, "slots": self.slots, "best": self.best}
        save_arrays(path, {"scalars": [scalars], **groups})


def load(path: Path) -> Checkpoint:
    """The checkpoint at `path`; a fresh one when there is none."""
    if not path.exists():
        return Checkpoint()
    groups = load_arrays(path)
    epoch, best_loss, best_epoch = groups["scalars"][0]
    weights, slots, best = (groups.get(name, []) for name in ("weights", "slots", "best"))
    return Checkpoint(int(epoch), weights, slots, best, float(best_loss), int(best_epoch))
