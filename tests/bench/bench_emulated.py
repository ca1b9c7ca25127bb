"""The emulated Pi: seconds to have one, its int8 outputs against the host's, instruction counts.

    python -m tests.bench.bench_emulated [--parts start,outputs,counts,stock] [--models NAME,...]

Models are untrained, with batch-norm statistics from data and logits spread out, so that every
layer and every output is alive. Nothing here is a latency.
"""

import argparse
import itertools
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import pytest

from edgecv.artifacts import TFLiteModel
from edgecv.device import emulate, instructions
from edgecv.tflite import flatbuffer, operators

ARCHS = (
    "mobilenet_v1",
    "mobilenet_v2",
    "mobilenet_v3_small",
    "mobilenet_v3_large",
    "squeezenet_1_1",
    "efficientnet_b0",
    "efficientnet_lite0",
)
WIDTH, RESOLUTION, CLASSES = 0.35, 96, 100
IMAGES = 20
BOARDS = ("pi3", "pi4", "pi5")
LOGIT_SPREAD = 4.0  # standard deviation of the logits over images
OUTPUTS = Path(__file__).with_name("outputs.py")


def live_models(arch: str, folder: Path) -> tuple[TFLiteModel, TFLiteModel]:
    """An architecture's float and int8 models, alive up to their scores."""
    from edgecv.convert.keras import convert
    from edgecv.quantize.calibrate import calibrate
    from edgecv.quantize.int8 import quantize
    from tests.live_models import live_model, smooth_images

    images = smooth_images(32, RESOLUTION, seed=1)
    model = live_model(arch, WIDTH, RESOLUTION, CLASSES)
    spread_scores(model, images)
    float_model = convert(model, folder / f"{arch}_float32.tflite")
    return float_model, quantize(
        float_model, calibrate(float_model, images), folder / f"{arch}_int8.tflite"
    )


def spread_scores(model, images: np.ndarray) -> None:
    """Scale the layer before the softmax, so that scores differ from image to image."""
    from tests.live_models import centered

    layer = next(each for each in reversed(model.layers) if each.weights)
    logits = np.log(model(centered(images)).numpy() + 1e-12)
    scale = LOGIT_SPREAD / (logits - logits.mean(axis=1, keepdims=True)).std()
    layer.set_weights([each * scale for each in layer.get_weights()])


def show_logits(model: Path) -> Path:
    """Make what goes into the softmax the model's first output, in the file itself; the file.

    XNNPACK takes all of an int8 classifier but the softmax, whose float exponential differs by a
    step between machines now and then.
    """
    read = flatbuffer.read(model)
    softmax = next(each for each in operators.operators(read) if each.name == "SOFTMAX")
    graph = read.subgraphs[0]
    graph.outputs = np.array([softmax.inputs[0], *graph.outputs], np.int32)
    read.signatureDefs = None
    return flatbuffer.write(read, model)


@contextmanager
def emulated_boards(*boards: str) -> Iterator[list[emulate.Running]]:
    """Boards that run inside the block, and after it those that ran before."""
    ran_before = emulate.running_boards()
    try:
        yield [emulate.start(board) for board in boards]
    finally:
        for board in set(boards) - set(ran_before):
            emulate.stop(board)


def print_start() -> None:
    """Seconds from nothing, in a cache folder of its own, and from the cache."""
    with tempfile.TemporaryDirectory() as cache, pytest.MonkeyPatch.context() as patch:
        patch.setenv("EDGECV_EMULATED_PI", cache)
        for words in ("pi4, from nothing", "pi4, from the cache"):
            start = time.perf_counter()
            with emulated_boards("pi4"):
                print(f"{words:24} {time.perf_counter() - start:6.1f} s")
        size = subprocess.run(["du", "-sm", cache], capture_output=True, text=True).stdout.split()
        print(f"{'on disk':24} {size[0]:>6} MB")


def host_outputs(folder: Path, runtime: str, archs: tuple[str, ...]) -> dict[str, np.ndarray]:
    """What this machine computes."""
    command = [sys.executable, OUTPUTS, runtime, folder / "images.npy", folder / "host.npz"]
    subprocess.run([*command, *models_of(folder, archs)], check=True, capture_output=True)
    return dict(np.load(folder / "host.npz"))


def board_outputs(
    board: emulate.Running, folder: Path, runtime: str, archs: tuple[str, ...]
) -> dict[str, np.ndarray]:
    """What an emulated board computes, by scp and ssh."""
    config = ["-q", "-F", board.config]
    files = [OUTPUTS, folder / "images.npy", *models_of(folder, archs)]
    subprocess.run(["scp", *config, *files, f"{board.host}:"], check=True)
    names = [f"{arch}_int8.tflite" for arch in archs]
    program = [board.pythons[runtime], "outputs.py", runtime, "images.npy", "board.npz", *names]
    subprocess.run(["ssh", *config, board.host, *program], check=True, capture_output=True)
    subprocess.run(["scp", *config, f"{board.host}:board.npz", folder], check=True)
    return dict(np.load(folder / "board.npz"))


def models_of(folder: Path, archs: tuple[str, ...]) -> list[Path]:
    return [folder / f"{arch}_int8.tflite" for arch in archs]


def print_outputs(folder: Path, archs: tuple[str, ...]) -> None:
    """The table of int8 outputs, boards against host."""
    from tests.live_models import smooth_images

    np.save(folder / "images.npy", smooth_images(IMAGES, RESOLUTION, seed=2))
    for path in models_of(folder, archs):
        show_logits(path)
    print("| int8 model | runtime | values | logits | scores | same on all boards |")
    with emulated_boards(*BOARDS) as boards:
        for runtime in emulate.PYTHONS:
            host = host_outputs(folder, runtime, archs)
            found = [board_outputs(board, folder, runtime, archs) for board in boards]
            for arch in archs:
                names = [f"{arch}_int8 {output}" for output in ("logits", "scores")]
                cells = [difference(host[name], found[0][name]) for name in names]
                same = all((each[name] == found[0][name]).all() for each in found for name in names)
                values = len(np.unique(host[names[0]]))
                row = (arch, runtime, str(values), *cells, "yes" if same else "no")
                print(f"| {' | '.join(row)} |", flush=True)


def difference(expected: np.ndarray, found: np.ndarray) -> str:
    """`equal`, or how much and how often two int8 outputs differ, in steps."""
    apart = np.abs(expected.astype(int) - found.astype(int))
    if not apart.any():
        return "equal"
    same = (expected.argmax(axis=1) == found.argmax(axis=1)).sum()
    return f"max {apart.max()}, {100 * (apart > 0).mean():.2f} %, top-1 {same}/{len(expected)}"


def print_counts(folder: Path, archs: tuple[str, ...]) -> None:
    """Millions of instructions of one inference, by core, kind of model and runtime."""
    print("| model | runtime | " + " | ".join(BOARDS) + " | dot | multiply | load | store, pi4 |")
    kinds = itertools.product(("int8", "float32"), emulate.PYTHONS)
    for kind, runtime in kinds:
        for arch in archs:
            model = folder / f"{arch}_{kind}.tflite"
            found = {board: instructions.count(model, board, runtime) for board in BOARDS}
            totals = " | ".join(f"{each.total / 1e6:.3f}" for each in found.values())
            classes = " | ".join(f"{each / 1e6:.3f}" for each in found["pi4"][:4])
            print(f"| {arch} {kind} | {runtime} | {totals} | {classes} |", flush=True)


def print_stock(folder: Path) -> None:
    """MobileNetV3-Small 1.0/224 as the stock converter makes it, and ours; one count repeated."""
    import tf_keras

    from edgecv import models
    from edgecv.recipe import ModelOptions
    from tests.bench.bench_convert import ours, stock
    from tests.live_models import enliven, smooth_images

    images = smooth_images(IMAGES, 224)
    theirs = tf_keras.applications.MobileNetV3Small(weights=None, input_shape=(224, 224, 3))
    own = models.build(ModelOptions(arch="mobilenet_v3_small"), 1000)
    made = [
        ours(enliven(own, images), images, folder),
        stock(enliven(theirs, images), images, folder),
    ]
    for board in BOARDS:
        mine, stocks = (instructions.count(each.path, board).total for each in made)
        print(f"V3-Small 1.0/224, {board}: ours {mine}, stock {stocks}, ratio {mine / stocks:.3f}")
    again = [instructions.count(made[0].path, "pi4").total for _ in range(3)]
    print(f"three counts: {again}, spread {(max(again) - min(again)) / min(again):.2e}")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--parts", default="start,outputs,counts,stock")
    parser.add_argument("--models", default=",".join(ARCHS))
    args = parser.parse_args()
    parts, archs = args.parts.split(","), tuple(args.models.split(","))
    if shutil.which("qemu-aarch64-static") is None:
        print("qemu-aarch64-static is missing: nothing measured")
        return 0
    if "start" in parts:
        print_start()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if {"outputs", "counts"} & set(parts):
            for arch in archs:
                live_models(arch, folder)
        if "outputs" in parts:
            print_outputs(folder, archs)
        if "counts" in parts:
            print_counts(folder, archs)
        if "stock" in parts:
            print_stock(folder)
    return 0


if __name__ == "__main__":
    sys.exit(main())
