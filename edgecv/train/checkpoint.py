"""What training keeps after every epoch, so that a killed run goes on: plain arrays, no pickles."""

import io
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgecv.files import write_bytes

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
        groups = {"weights": self.weights, "slots": self.slots, "best": self.best}
        arrays = {
            f"{group}.{n:05}": array
            for group, each in groups.items()
            for n, array in enumerate(each)
        }
        scalars = np.array([self.epoch, self.best_loss, self.best_epoch], np.float64)
        archive = io.BytesIO()
        np.savez(archive, scalars=scalars, **arrays)
        write_bytes(path, archive.getvalue())


def load(path: Path) -> Checkpoint:
    """The checkpoint at `path`; a fresh one when there is none."""
    if not path.exists():
        return Checkpoint()
    with np.load(path, allow_pickle=False) as file:
        epoch, best_loss, best_epoch = file["scalars"]
        names = sorted(file.files)
        weights, slots, best = (
            [file[name] for name in names if name.startswith(f"{group}.")]
            for group in ("weights", "slots", "best")
        )
    return Checkpoint(int(epoch), weights, slots, best, float(best_loss), int(best_epoch))
