"""Ours against the stock path: seconds to an int8 file, its size, its latency.

    python -m tests.bench.bench_convert [--models NAME,...] [--json FILE]

Stock is what every tutorial shows: `TFLiteConverter.from_keras_model` on the model of
tf_keras.applications, full integer, with the same 100 images. Weights are untrained, batch-norm
statistics from data. Conversions take turns, and so do single-threaded LiteRT inferences; the least
of the former and the median of the latter count.
"""

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import tensorflow as tf
import tf_keras

from edgecv import models
from edgecv.artifacts import TFLiteModel
from edgecv.convert.keras import convert
from edgecv.quantize.calibrate import calibrate
from edgecv.quantize.int8 import float_operators, quantize
from edgecv.recipe import ModelOptions
from edgecv.tflite import flatbuffer, operators, runtime, tf_logging
from tests.live_models import enliven, smooth_images


class Row(NamedTuple):
    """A model, its stock twin, and what ours may cost of the stock one's."""

    arch: str
    stock: str
    seconds: float | None
    latency: float


ROWS = (
    Row("mobilenet_v1", "MobileNet", 0.6, 1.02),
    Row("mobilenet_v2", "MobileNetV2", 0.6, 1.02),
    Row("mobilenet_v3_small", "MobileNetV3Small", None, 0.35),
    Row("mobilenet_v3_large", "MobileNetV3Large", None, 0.45),
    Row("efficientnet_b0", "EfficientNetB0", 0.6, 0.80),
)
IMAGES = 100
CONVERSIONS = 2  # of each model
ROUNDS = 30
RUNS = 10  # inferences of each model in a round


def ours(model: tf_keras.Model, images: np.ndarray, folder: Path) -> TFLiteModel:
    """Convert, calibrate, quantize."""
    float_model = convert(model, folder / "ours_float32.tflite")
    return quantize(float_model, calibrate(float_model, images), folder / "ours_int8.tflite")


def stock(model: tf_keras.Model, images: np.ndarray, folder: Path) -> TFLiteModel:
    """The tutorials' full-integer conversion."""

    def representative_dataset() -> Iterator[list[np.ndarray]]:
        for image in images:
            yield [(image[np.newaxis].astype(np.float32) - 127.5) / 127.5]

    converter = tf.lite.TFLiteConverter.from_keras_model(model)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.representative_dataset = representative_dataset
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    converter.inference_input_type = converter.inference_output_type = tf.uint8
    path = folder / "stock_int8.tflite"
    with tf_logging.silence_tensorflow():
        path.write_bytes(converter.convert())
    return TFLiteModel(path, "int8")


def seconds(work: Callable[[], TFLiteModel]) -> tuple[float, TFLiteModel]:
    """How long `work` took, and what it made."""
    start = time.perf_counter()
    made = work()
    return time.perf_counter() - start, made


def latencies_ms(paths: list[Path]) -> list[float]:
    """The median latency of each model, 1 thread, the models taking turns."""
    interpreters = [runtime.load(path) for path in paths]
    for interpreter in interpreters:
        entry = interpreter.get_input_details()[0]
        image = np.random.default_rng(0).integers(0, 256, entry["shape"]).astype(np.uint8)
        interpreter.set_tensor(entry["index"], image)
        interpreter.invoke()
    samples: list[list[float]] = [[] for _ in paths]
    for _ in range(ROUNDS):
        for interpreter, mine in zip(interpreters, samples, strict=True):
            for _ in range(RUNS):
                start = time.perf_counter()
                interpreter.invoke()
                mine.append((time.perf_counter() - start) * 1000)
    return [statistics.median(each) for each in samples]


def measure(row: Row, folder: Path) -> dict[str, Any]:
    """One model's figures."""
    images = smooth_images(IMAGES, 224)
    stock_model = getattr(tf_keras.applications, row.stock)(weights=None, input_shape=(224, 224, 3))
    our_model = models.build(ModelOptions(arch=row.arch), 1000)
    for model in (stock_model, our_model):
        enliven(model, images[:8])
    turns = []
    for _ in range(CONVERSIONS):
        our_turn, our_file = seconds(lambda: ours(our_model, images, folder))
        stock_turn, stock_file = seconds(lambda: stock(stock_model, images, folder))
        turns.append((our_turn, stock_turn))
    our_seconds, stock_seconds = (min(each) for each in zip(*turns, strict=True))
    our_ms, stock_ms = latencies_ms([our_file.path, stock_file.path])
    our_bytes, stock_bytes = our_file.path.stat().st_size, stock_file.path.stat().st_size
    return {
        "arch": row.arch,
        "seconds": our_seconds,
        "stock_seconds": stock_seconds,
        "seconds_ratio": our_seconds / stock_seconds,
        "seconds_allowed": row.seconds,
        "ms": our_ms,
        "stock_ms": stock_ms,
        "ms_ratio": our_ms / stock_ms,
        "ms_allowed": row.latency,
        "bytes": our_bytes,
        "stock_bytes": stock_bytes,
        "float_operators": float_operators(our_file.path),
        "operators": operators.counts(flatbuffer.read(our_file.path)),
        "stock_operators": operators.counts(flatbuffer.read(stock_file.path)),
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--models", help="only these, with commas between")
    parser.add_argument("--json", type=Path, help="write the figures there")
    args = parser.parse_args()
    chosen = [row for row in ROWS if not args.models or row.arch in args.models.split(",")]
    found = []
    print(
        f"{'model':20} {'seconds':>8} {'stock':>7} {'ratio':>6} {'ms':>7} {'stock':>7}"
        f" {'ratio':>6} {'bytes':>10} {'stock':>10}"
    )
    with tempfile.TemporaryDirectory() as folder:
        for row in chosen:
            each = measure(row, Path(folder))
            found.append(each)
            print(
                f"{row.arch:20} {each['seconds']:8.2f} {each['stock_seconds']:7.2f}"
                f" {each['seconds_ratio']:6.3f} {each['ms']:7.2f} {each['stock_ms']:7.2f}"
                f" {each['ms_ratio']:6.3f} {each['bytes']:10,} {each['stock_bytes']:10,}",
                flush=True,
            )
    if args.json:
        args.json.write_text(json.dumps(found, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
