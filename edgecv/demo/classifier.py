"""A model at work: squares of pixels go straight into its input tensor, and scores come out."""

from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from edgecv.data import images
from edgecv.demo.frames import Pixels
from edgecv.demo.options import DemoModel
from edgecv.errors import UnsupportedModelError
from edgecv.tflite import runtime

Scores = NDArray[np.float32]


class Classifier:
    """An interpreter for a model; `fill`, then `scores`, from one thread at a time.

    Raises UnsupportedModelError when the runtime refuses the model, DeviceError when the runtime or
    the Edge TPU is not there.
    """

    def __init__(
        self, model: DemoModel, threads: int = 1, runtime_: str = "auto", delegate: str = "auto"
    ) -> None:
        self.model = model
        self.threads = threads
        self.runtime = runtime.runtime_name(runtime_)
        data = _bytes(Path(model.path))
        self._interpreter = runtime.load(data, threads, runtime_, delegate, checked=True)
        runtime.check_image_input(self._interpreter, model.path)
        image = self._interpreter.get_input_details()[0]
        self._output = self._interpreter.get_output_details()[0]
        self.side = int(image["shape"][1])
        self._image = self._interpreter.tensor(image["index"])
        bytes_in_order = np.arange(256, dtype=np.uint8).repeat(3).reshape(1, 256, 1, 3)
        table = runtime.as_input(bytes_in_order, image, model.normalization).reshape(1, 256, 3)
        takes_bytes = table.dtype == np.uint8 and (table == bytes_in_order.reshape(1, 256, 3)).all()
        self._table = None if takes_bytes else np.ascontiguousarray(table)
        self._gives_logits = False
        self.fill(np.zeros((self.side, self.side, 3), np.uint8))
        if len(self.scores()) != len(model.labels) and model.labels:
            raise UnsupportedModelError(
                f"{model.path}: gives {len(self.scores())} scores, but there are"
                f" {len(model.labels)} labels"
            )

    def square(self, pixels: Pixels) -> Pixels:
        """What the model is shown of a picture, at its input's size: as `edgecv evaluate` does."""
        return images.central(pixels, self.model.crop, self.side)

    def fill(self, square: Pixels) -> None:
        """Write a square BGR [side, side, 3] into the input tensor, in the model's own terms."""
        tensor = self._image()[0]  # a view, which must be gone before the next inference
        if self._table is None:
            cv2.cvtColor(square, cv2.COLOR_BGR2RGB, dst=tensor)
        else:
            cv2.LUT(cv2.cvtColor(square, cv2.COLOR_BGR2RGB), self._table, dst=tensor)

    def scores(self) -> Scores:
        """A probability for each class, for what is in the input tensor."""
        self._interpreter.invoke()
        values = self._interpreter.get_tensor(self._output["index"])
        real = runtime.dequantized(values, self._output).ravel()
        low, high = float(real.min()), float(real.max())
        self._gives_logits = self._gives_logits or low < -0.01 or high > 1.01
        if not self._gives_logits:
            return real
        raised = np.exp(real - high)
        probabilities: Scores = raised / raised.sum()
        return probabilities


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise UnsupportedModelError(f"{path}: cannot be read: {error.strerror}") from error
