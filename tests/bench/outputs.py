"""What models compute, on any machine: standard library, numpy and a runtime alone.

The first output of each model is its logits, the second its scores.

outputs.py RUNTIME IMAGES.npy OUTPUTS.npz MODEL.tflite...
"""

import importlib
import sys
from pathlib import Path

import numpy as np

PACKAGES = {"litert": "ai_edge_litert", "tflite": "tflite_runtime"}


def main(runtime, images, outputs, *paths):
    """Write arrays [images, classes], named `MODEL logits` and `MODEL scores`."""
    module = importlib.import_module(PACKAGES[runtime] + ".interpreter")
    pixels = np.load(images)
    found = {}
    for path in paths:
        computed = results(module, path, pixels)
        for kind, values in zip(("logits", "scores"), computed, strict=True):
            found[f"{Path(path).stem} {kind}"] = values
    np.savez(outputs, **found)


def results(module, path, pixels):
    """A model's outputs, in their order, for every image."""
    interpreter = module.Interpreter(model_path=path, num_threads=1)
    interpreter.allocate_tensors()
    source = interpreter.get_input_details()[0]["index"]
    targets = [each["index"] for each in interpreter.get_output_details()]
    found = []
    for image in pixels:
        interpreter.set_tensor(source, image[np.newaxis])
        interpreter.invoke()
        found.append([interpreter.get_tensor(target)[0] for target in targets])
    return [np.stack(each) for each in zip(*found, strict=True)]


if __name__ == "__main__":
    main(*sys.argv[1:])
