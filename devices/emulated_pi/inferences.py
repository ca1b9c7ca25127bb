"""Run inside the emulated board: one inference, then N, then 2N, and a mark around each.

    inferences.py MODEL PACKAGE N

The mark is a question for a process group that no system has; on the board nothing happens, and the
counter outside sees it.
"""

import contextlib
import importlib
import os
import sys

import numpy as np

MARK = 0x45444745


def main(model: str, package: str, inferences: int) -> None:
    """Infer on fixed random input, in one thread."""
    runtime = importlib.import_module(package + ".interpreter")
    interpreter = runtime.Interpreter(model_path=model, num_threads=1)
    interpreter.allocate_tensors()
    random = np.random.RandomState(0)
    for tensor in interpreter.get_input_details():
        values = random.randint(0, 128, tensor["shape"]).astype(tensor["dtype"])
        interpreter.set_tensor(tensor["index"], values)
    for count in (1, inferences, 2 * inferences):
        mark()
        for _ in range(count):
            interpreter.invoke()
    mark()


def mark() -> None:
    """Tell the counter to note where it stands."""
    with contextlib.suppress(ProcessLookupError):
        os.getpgid(MARK)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
