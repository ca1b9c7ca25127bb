"""A model's scores on the runtime of choice: tflite-runtime cannot be loaded beside TensorFlow.

`python score_images.py RUNTIME IMAGES.npy MODEL.tflite OUT.npy`
"""

import sys
from pathlib import Path

import numpy as np

from edgecv.tflite import runtime


def main(name, images, model, out):
    """Write real-valued scores [images, classes] for RGB images."""
    np.save(out, runtime.run(runtime.load(Path(model), runtime=name), np.load(images)))


if __name__ == "__main__":
    main(*sys.argv[1:])
