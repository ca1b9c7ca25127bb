"""An average of the weights of the last steps: better than those of the very last alone."""

from edgecv.train.checkpoint import Arrays

HORIZON = 0.1  # of the training's time, over which weights fade from the average


class Average:
    """An exponential moving average of a model's weights (Polyak and Juditsky 1992)."""

    def __init__(self, weights: Arrays) -> None:
        self.weights = weights

    def update(self, weights: Arrays, share: float) -> None:
        """Take in the weights after a step that was this share of the training."""
        before = self.weights or weights
        rate = min(1.0, share / HORIZON)
        self.weights = [old + rate * (new - old) for old, new in zip(before, weights, strict=True)]
