"""What an int8 input saves of a uint8 one: both files by turns, in one run.

`python -m tests.bench.bench_input` prints, for one thread and for two, the least milliseconds of
both and their ratio: of an inference alone, and with a picture written into the input before it, as
it is for uint8, with the highest bit of every byte flipped for int8. Weights are untrained,
batch-norm statistics from images. The two of a pair take turns, so that what else the machine does
meets both.
"""

import tempfile
import time
from pathlib import Path

import numpy as np

from edgecv import models
from edgecv.convert.keras import convert
from edgecv.quantize.calibrate import calibrate
from edgecv.quantize.int8 import quantize
from edgecv.recipe import ModelOptions
from edgecv.tflite import contract, int8_input, pixels, runtime
from tests.live_models import enliven, smooth_images

ROWS = (
    ModelOptions("mobilenet_v1", width=0.75, resolution=160),
    ModelOptions("mobilenet_v3_small", width=0.35, resolution=96),
)
THREADS = (1, 2)
ROUNDS, RUNS = 200, 10
CLASSES = 10


def int8_file(options, path):
    """An int8 file of an untrained model, its input uint8."""
    images = smooth_images(20, options.resolution)
    model = models.build(options, CLASSES)
    enliven(model, images[:8])
    float32 = convert(model, path.with_suffix(".float.tflite"))
    return quantize(float32, calibrate(float32, images), path).path


def timed(path, threads):
    """A function that feeds a picture and runs the model; the seconds of that, and of the run."""
    interpreter = runtime.load(path, threads)
    image, entry = contract.read(path).image, interpreter.get_input_details()[0]
    picture, tensor = smooth_images(1, image.height), interpreter.tensor(entry["index"])
    flip = np.uint8(pixels.SIGN_BIT if image.grid.dtype == "int8" else 0)

    def run():
        start = time.perf_counter()
        if flip:
            np.bitwise_xor(picture, flip, out=tensor().view(np.uint8))
        else:
            np.copyto(tensor(), picture)
        fed = time.perf_counter()
        interpreter.invoke()
        end = time.perf_counter()
        return end - start, end - fed

    return run


def milliseconds(paths, threads):
    """The least [whole, inference] of each file, the files taking turns."""
    runs = [timed(path, threads) for path in paths]
    least = np.full((len(runs), 2), np.inf)
    for turn in range(ROUNDS):
        for place in (0, 1) if turn % 2 else (1, 0):
            runs[place]()  # the other model had the caches
            least[place] = np.minimum(least[place], np.min([runs[place]() for _ in range(RUNS)], 0))
    return 1e3 * least


def main():
    head = f"{'uint8, ms':>10} {'int8, ms':>9} {'ratio':>6}"
    print(f"{'model':<30} {'threads':>7} {head} {'fed: ' + head.strip():>32}")
    with tempfile.TemporaryDirectory() as folder:
        for options in ROWS:
            name = f"{options.arch} {options.width:g}/{options.resolution}"
            uint8 = int8_file(options, Path(folder) / f"{options.arch}.tflite")
            int8 = uint8.with_suffix(".int8.tflite")
            int8.write_bytes(uint8.read_bytes())
            int8_input.rewrite(int8)
            for threads in THREADS:
                before, after = milliseconds((uint8, int8), threads)
                cells = [
                    f"{before[kind]:10.4f} {after[kind]:9.4f} {after[kind] / before[kind]:6.3f}"
                    for kind in (1, 0)
                ]
                print(f"{name:<30} {threads:7} {'      '.join(cells)}", flush=True)


if __name__ == "__main__":
    main()
