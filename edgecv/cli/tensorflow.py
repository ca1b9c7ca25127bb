"""TensorFlow, brought in quietly and only by the commands that need it."""

import logging
import os

from edgecv.errors import EdgecvError
from edgecv.tflite import chatter


def import_tensorflow() -> None:
    """Import TensorFlow without what it says about GPUs and instruction sets.

    Raises EdgecvError with the line to type when it is not installed.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("TF_USE_LEGACY_KERAS", "1")
    try:
        with chatter.silenced():
            import tensorflow
            import tf_keras  # noqa: F401

            tensorflow.config.list_physical_devices()  # looks for drivers, and complains, once
    except ImportError as error:
        raise EdgecvError(
            f"this command needs TensorFlow ({error}); pip install 'edgecv[build]'"
        ) from error
    logging.getLogger("absl").setLevel(logging.ERROR)
    tensorflow.get_logger().setLevel(logging.ERROR)
