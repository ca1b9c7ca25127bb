"""A power cut in the middle of a training."""

from edgecv.progress import Progress


class Killed(Exception):
    """Stands in for the power cut."""


class KilledAfter(Progress):
    """Ends the training when it starts on an epoch, whose label begins with `stage`."""

    def __init__(self, epoch, stage="epoch"):
        super().__init__()
        self.start = f"{stage} {epoch}/"

    def track(self, items, label, total=None):
        if label.startswith(self.start):
            raise Killed
        return super().track(items, label, total)
