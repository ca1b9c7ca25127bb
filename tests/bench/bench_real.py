"""Real models in int8 on real photographs: stock tools, and ours stage by stage.

    python -m tests.bench.bench_real [--models NAME,...] [--rows NAME,...] [--json FILE]

The models, the photographs and score.py, which does the counting, are looked for in EDGECV_REAL, or
in `../shared/real` beside the repository; without them there is nothing to print. Every row is made
in a process of its own, whose peak memory is the row's; what a tool cannot do is a row as well.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np

from edgecv.artifacts import TFLiteModel
from edgecv.device.conditions import peak_rss_bytes
from edgecv.quantize.calibrate import observed
from edgecv.quantize.engine import Stages, post_training
from edgecv.tflite import flatbuffer, tf_logging
from tests.real.test_real_models import REAL, photographs, scored

CALIBRATED = "mobilenet_v2_1.0_224"  # whose calibration is timed
ROUNDS = 3  # of ours and TensorFlow's in turn; the fastest of each counts
Images = list[np.ndarray[Any, Any]]


class Ours(NamedTuple):
    """A row of ours: how ranges are chosen, and what is done beyond them."""

    method: str
    stages: Stages

    def __call__(self, model: Path, images: Images, out: Path) -> None:
        """Write the int8 file."""
        float32 = TFLiteModel(model, "float32")
        post_training(float32, images, out, method=self.method, stages=self.stages)


def real_inputs(images: Images) -> list[np.ndarray[Any, Any]]:
    """The images as the float models take them."""
    return [(image[np.newaxis].astype(np.float32) - 127.5) / 127.5 for image in images]


def stock_tensorflow(model: Path, images: Images, out: Path) -> None:
    """TensorFlow's own calibration, by minimum and maximum, and its quantizer.

    Its uint8 input has every pixel half way between two levels, and score.py rounds half to even:
    int8, where half a level is lost alike for all pixels, is the fair way in.
    """
    import tensorflow as tf
    from tensorflow.lite.python.convert import mlir_quantize
    from tensorflow.lite.python.optimize.calibrator import Calibrator

    found = Calibrator(model.read_bytes()).calibrate(
        lambda: ([each] for each in real_inputs(images))
    )
    out.write_bytes(mlir_quantize(found, input_data_type=tf.int8, output_data_type=tf.int8))


def stock_ai_edge_quantizer(model: Path, images: Images, out: Path) -> None:
    """ai-edge-quantizer's static int8 recipe with its default calibration."""
    from ai_edge_quantizer import quantizer, recipe

    tool = quantizer.Quantizer(str(model))
    tool.load_quantization_recipe(recipe.static_wi8_ai8())
    (key,), inputs = tool_inputs(model), real_inputs(images)
    found = tool.calibrate({key[0]: [{key[1]: each} for each in inputs]})
    out.write_bytes(tool.quantize(found).quantized_model)


def tool_inputs(model: Path) -> list[tuple[str, str]]:
    """The signature of a model and the name of its input, as ai-edge-quantizer asks for them."""
    from ai_edge_litert.interpreter import Interpreter

    signatures = Interpreter(str(model)).get_signature_list()
    return [(key, each["inputs"][0]) for key, each in signatures.items()]


ROWS: dict[str, Callable[[Path, Images, Path], None]] = {
    "stock TensorFlow": stock_tensorflow,
    "stock ai-edge-quantizer": stock_ai_edge_quantizer,
    "minmax": Ours("minmax", Stages(equalize=False, correct=False)),
    "ranges": Ours("auto", Stages(equalize=False, correct=False)),
    "+equalize": Ours("auto", Stages(correct=False)),
    "+correct": Ours("auto", Stages(round=False)),
    "+round": Ours("auto", Stages()),
}


def calibration_images(name: str) -> Images:
    """The 100 photographs of calibration.txt at the model's size."""
    names = (REAL / "calibration.txt").read_text().split()
    return list(photographs(names, int(name.rsplit("_", maxsplit=1)[-1])))


def make(name: str, label: str, out: Path) -> dict[str, Any]:
    """Write one row's int8 file; seconds it took and this process's peak memory."""
    images = calibration_images(name)
    start = time.monotonic()
    ROWS[label](REAL / "float" / f"{name}.tflite", images, out)
    return {"seconds": time.monotonic() - start, "peak_bytes": peak_rss_bytes()}


def measure(name: str, label: str, folder: Path) -> dict[str, Any]:
    """One row's figures, or why there are none."""
    row = {"model": name, "row": label}
    out = folder / "int8.tflite"
    command = [sys.executable, "-m", "tests.bench.bench_real", "--make", name, label, str(out)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        return row | {"failed": (done.stderr.strip() or "no reason").splitlines()[-1][:90]}
    try:
        found = scored(name, out)
    except subprocess.CalledProcessError as error:
        return row | {"failed": error.stderr.strip().splitlines()[-1][:90]}
    return row | json.loads(done.stdout.splitlines()[-1]) | found


def shown(row: dict[str, Any]) -> str:
    """A row of the table."""
    start = f"{row['model']:28} {row['row']:24}"
    if "failed" in row:
        return f"{start} {row['failed']}"
    return (
        f"{start} {row['float_top1']:7.4f} {row['int8_top1']:7.4f} {row['agreement']:7.4f}"
        f" {row['seconds']:8.2f} {row['peak_bytes'] / 1e6:8.0f}"
        f" {'yes' if row['int8_runs_on_xnnpack'] else 'refused'}"
    )


def calibration_seconds() -> dict[str, float]:
    """Seconds of ours and of TensorFlow's calibration of 100 images, in turn in one process."""
    from tensorflow.lite.python.optimize.calibrator import Calibrator

    model, images = REAL / "float" / f"{CALIBRATED}.tflite", calibration_images(CALIBRATED)

    def theirs() -> None:
        Calibrator(model.read_bytes()).calibrate(lambda: ([each] for each in real_inputs(images)))

    def ours() -> None:
        observed(flatbuffer.read(model), images)

    seconds: dict[str, list[float]] = {"ours": [], "tensorflow": []}
    for _ in range(ROUNDS):
        for label, calibrate in (("ours", ours), ("tensorflow", theirs)):
            start = time.monotonic()
            with tf_logging.silence_tensorflow():
                calibrate()
            seconds[label].append(time.monotonic() - start)
    return {label: min(each) for label, each in seconds.items()}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--models", help="only these, with commas between")
    parser.add_argument("--rows", help="only these, with commas between")
    parser.add_argument("--json", type=Path, help="write the figures there")
    parser.add_argument("--make", nargs=3, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.make:
        name, label, out = args.make
        print(json.dumps(make(name, label, Path(out))))
        return 0
    names = sorted(path.stem for path in (REAL / "float").glob("*.tflite"))
    if not names:
        print(f"no real models in {REAL}; set EDGECV_REAL")
        return 0
    print(
        f"{'model':28} {'row':24} {'float':>7} {'int8':>7} {'agree':>7} {'seconds':>8}"
        f" {'peak MB':>8} XNNPACK"
    )
    found = []
    with tempfile.TemporaryDirectory() as folder:
        for name in args.models.split(",") if args.models else names:
            for label in args.rows.split(",") if args.rows else ROWS:
                found.append(measure(name, label, Path(folder)))
                print(shown(found[-1]), flush=True)
    took = calibration_seconds()
    print(
        f"calibrating 100 images, {CALIBRATED}: ours {took['ours']:.2f} s, TensorFlow"
        f" {took['tensorflow']:.2f} s, ratio {took['ours'] / took['tensorflow']:.2f} (at most 2.0)"
    )
    if args.json:
        args.json.write_text(json.dumps({"rows": found, "calibration": took}, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
