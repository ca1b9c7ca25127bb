"""Training on every GPU of the machine, where it has several."""

from collections.abc import Sequence
from typing import Any


def gpus() -> list[str]:
    """Names of the GPUs that TensorFlow can use."""
    import tensorflow as tf

    return [device.name for device in tf.config.list_logical_devices("GPU")]


def strategy(devices: Sequence[str]) -> Any:
    """How a step is spread over devices: each gets a share of the batch; fewer than two get it all.

    The batch stays what it was, so the schedule does too; batch-norm looks at a device's share.
    """
    import tensorflow as tf

    if len(devices) < 2:
        return tf.distribute.get_strategy()
    # Of TensorFlow's ways to add up gradients, the one that starts no threads: those of the
    # default, CollectiveAllReduce, keep a process from ending.
    return tf.distribute.MirroredStrategy([*devices], tf.distribute.HierarchicalCopyAllReduce())
