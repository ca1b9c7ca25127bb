"""A callback that keeps pruned weights at zero in training."""

from typing import Any

import numpy as np
import tf_keras


class ZerosStay(tf_keras.callbacks.Callback):  # type: ignore[misc]
    """After each batch, the kernel weights that were zero in `model` are zero again."""

    def __init__(self, model: tf_keras.Model) -> None:
        super().__init__()
        self.masks = {
            weight.name: mask
            for weight in model.trainable_weights
            if "kernel" in weight.name
            and not (mask := (weight.numpy() != 0).astype(np.float32)).all()
        }
        self.masked: list[tuple[Any, Any]] = []

    def on_train_begin(self, logs: Any = None) -> None:  # noqa: ARG002
        """Find the kernels in the model that is trained, by their names."""
        variables = {variable.name: variable for variable in self.model.weights}
        self.masked = [(variables[name], mask) for name, mask in self.masks.items()]

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:  # noqa: ARG002
        """Set them back."""
        for kernel, mask in self.masked:
            kernel.assign(kernel * mask)
