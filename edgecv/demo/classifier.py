"""A model at work: squares of pixels go straight into its input tensor, and scores come out."""

from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from edgecv.data import images
from edgecv.demo.frames import Pixels
from edgecv.demo.options import DemoModel
from edgecv.errors import UnsupportedModelError
from edgecv.tflite import contract, int8_input, pixels, runtime
from edgecv.tflite.scores import sigmoid, softmax

Scores = NDArray[np.float32]


class Classifier:
    """An interpreter for a model; `fill`, then `scores`, from one thread at a time.

    A uint8 input becomes an int8 one, which has an operator less and gives the same scores.

    Raises UnsupportedModelError when the runtime refuses the model, DeviceError when the runtime or
    the Edge TPU is not there.
    """

    def __init__(
        self, model: DemoModel, threads: int = 1, runtime_: str = "auto", delegate: str = "auto"
    ) -> None:
        self.model = model
        self.threads = threads
        self.runtime = runtime.runtime_name(runtime_)
        data = int8_input.without_copy(_bytes(Path(model.path)))
        self._interpreter = runtime.load(data, threads, runtime_, delegate, checked=True)
        entries, outputs = (
            self._interpreter.get_input_details(),
            self._interpreter.get_output_details(),
        )
        contract.check_count(len(entries), len(outputs), model.path)
        self._input = contract.image_of(entries[0], model.path, model.normalization)
        self._scores, self._output = outputs[0]["index"], contract.output_of(outputs[0])
        self._image = self._interpreter.tensor(entries[0]["index"])
        self._table = _table(self._input)
        self._gives_logits = False
        self.fill(np.zeros((*self._input.size, 3), np.uint8))
        if len(self.scores()) != len(model.labels) and model.labels:
            raise UnsupportedModelError(
                f"{model.path}: gives {len(self.scores())} scores, but there are"
                f" {len(model.labels)} labels"
            )

    def square(self, pixels: Pixels) -> Pixels:
        """A picture as the model sees it, at its input's size, as in `edgecv evaluate`."""
        return images.crop_center(pixels, self.model.crop, self._input.size)

    def fill(self, square: Pixels) -> None:
        """Write a picture BGR of the input's size into its tensor, in the model's own terms."""
        tensor = self._image()[0]  # a view, which must be gone before the next inference
        code = cv2.COLOR_BGR2RGB if self._input.channels == 3 else cv2.COLOR_BGR2GRAY
        if self._table is None:
            stored = tensor.view(np.uint8)
            cv2.cvtColor(square, code, dst=stored)
            if tensor.dtype == np.int8:
                np.bitwise_xor(stored, pixels.SIGN_BIT, out=stored)
        else:
            cv2.LUT(cv2.cvtColor(square, code), self._table, dst=tensor)

    def scores(self) -> Scores:
        """A probability for each class, for what is in the input tensor."""
        self._interpreter.invoke()
        real = self._output.decode(self._interpreter.get_tensor(self._scores)[np.newaxis])
        low, high = float(real.min()), float(real.max())
        self._gives_logits = self._gives_logits or low < -0.01 or high > 1.01
        if real.size == 1:
            second = sigmoid(real) if self._gives_logits else real
            both: Scores = np.hstack([1 - second, second])[0]
            return both
        shares: Scores = (softmax(real) if self._gives_logits else real)[0]
        return shares


def _table(taken: contract.ImageInput) -> Pixels | None:
    """The input's value for each byte [1, 256, channels].

    None where it is the byte itself, or as int8 the byte with its highest bit flipped: that takes
    a tenth of the time of a table.
    """
    if pixels.takes_bytes(taken.grid, taken.normalization):
        return None
    every = np.arange(256, dtype=np.uint8).repeat(taken.channels).reshape(1, 256, -1)
    return np.ascontiguousarray(taken.encode(every))


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise UnsupportedModelError(f"{path}: cannot be read: {error.strerror}") from error
