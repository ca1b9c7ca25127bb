"""What it costs to calibrate without images: top-1 and agreement with float, of runs on the signs.

    python -m tests.bench.bench_datafree RUN [RUN ...]

Each RUN is a folder that `edgecv build` made of the built-in signs, with a batch-norm record. Its
float model is quantized from 100 images, by minimum and maximum and by the default, and by
`--calibration bn`; all are scored on the run's 500 held-out images.
"""

import argparse
import os
import sys
import tempfile
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from edgecv.artifacts import TFLiteModel
from edgecv.data import Signs
from edgecv.evaluate.accuracy import evaluate
from edgecv.quantize.datafree import data_free
from edgecv.quantize.engine import Stages, post_training
from edgecv.recipe import load

BARE = Stages(equalize=False, correct=False)


def measure(run: Path, folder: Path) -> None:
    """Print a row for each way of one run."""
    recipe = load(run / "recipe.toml")
    signs, side = Signs(recipe.seed), recipe.model.resolution or 224
    model = TFLiteModel(run / "model_float32.tflite", "float32")
    images = [each.image for each in signs.calibration(side, 100)]
    path = folder / "int8.tflite"
    ways = {
        "images, minmax": lambda: post_training(model, images, path, method="minmax", stages=BARE),
        "images": lambda: post_training(model, images, path),
        "bn": lambda: data_free(model, path),
    }
    for name, make in ways.items():
        samples = signs.validation(side)
        found = evaluate(model, make().file, samples, signs.labels, "signs").accuracy
        print(
            f"{recipe.model.arch:20} {name:16} {found['float32']['top1']:7.4f}"
            f" {found['int8']['top1']:7.4f} {found['agreement']:7.4f}",
            flush=True,
        )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("runs", type=Path, nargs="+", help="folders made by edgecv build")
    args = parser.parse_args()
    print(f"{'model':20} {'ranges from':16} {'float':>7} {'int8':>7} {'agree':>7}")
    with tempfile.TemporaryDirectory() as folder:
        for run in args.runs:
            measure(run, Path(folder))
    return 0


if __name__ == "__main__":
    sys.exit(main())
