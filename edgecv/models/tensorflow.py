"""TensorFlow, brought in quietly and only by the commands that need it."""

import logging
import os

from edgecv.errors import EdgecvError
from edgecv.tflite import tf_logging

INSTALL = "pip install 'edgecv[build]'"


def import_tensorflow() -> None:
    """Import TensorFlow and OpenCV without what they say about GPUs and instruction sets.

    Raises EdgecvError with the line to type when one of them is not installed.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("TF_USE_LEGACY_KERAS", "1")
    try:
        with tf_logging.silence_tensorflow():
            import cv2  # noqa: F401
            import tensorflow
            import tf_keras  # noqa: F401

            tensorflow.config.list_physical_devices()  # looks for drivers, and complains, once
    except ImportError as error:
        missing = "apt-get install libgl1 libglib2.0-0" if ".so" in str(error) else INSTALL
        raise EdgecvError(
            f"this command needs more than is installed ({error}); {missing}"
        ) from error
    logging.getLogger("absl").setLevel(logging.ERROR)
    tensorflow.get_logger().setLevel(logging.ERROR)
