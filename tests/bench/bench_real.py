"""Our int8 files of real ImageNet models: top-1, agreement with float, seconds.

    python -m tests.bench.bench_real [--models NAME,...] [--json FILE]

The models, the photographs and score.py, which does the counting, are looked for in EDGECV_REAL, or
in `../shared/real` beside the repository; without them there is nothing to print.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from edgecv.quantize.calibrate import calibrate
from edgecv.quantize.int8 import quantize
from tests.real.test_real_models import REAL, lowered, photographs


def measure(name: str, folder: Path) -> dict[str, Any]:
    """One model's figures, from the 100 photographs of calibration.txt."""
    model = lowered(name, folder)
    names = (REAL / "calibration.txt").read_text().split()
    images = photographs(names, int(name.rsplit("_", maxsplit=1)[-1]))
    start = time.perf_counter()
    ranges = calibrate(model, images)
    calibrated = time.perf_counter()
    int8 = quantize(model, ranges, folder / "int8.tflite")
    done = time.perf_counter()
    scored = subprocess.run(
        [sys.executable, REAL / "score.py", REAL / "float" / f"{name}.tflite", int8.path],
        capture_output=True,
        text=True,
        check=True,
    )
    times = {"calibrate_seconds": calibrated - start, "quantize_seconds": done - calibrated}
    return {"model": name, **json.loads(scored.stdout), **times}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--models", help="only these, with commas between")
    parser.add_argument("--json", type=Path, help="write the figures there")
    args = parser.parse_args()
    names = sorted(path.stem for path in (REAL / "float").glob("*.tflite"))
    if not names:
        print(f"no real models in {REAL}; set EDGECV_REAL")
        return 0
    print(f"{'model':28} {'float':>7} {'int8':>7} {'agree':>7} {'XNNPACK':>8} {'seconds':>8}")
    found = []
    with tempfile.TemporaryDirectory() as folder:
        for name in names:
            if args.models and name not in args.models.split(","):
                continue
            each = measure(name, Path(folder))
            found.append(each)
            print(
                f"{name:28} {each['float_top1']:7.4f} {each['int8_top1']:7.4f}"
                f" {each['agreement']:7.4f} {each['int8_runs_on_xnnpack']!s:>8}"
                f" {each['calibrate_seconds'] + each['quantize_seconds']:8.2f}",
                flush=True,
            )
    if args.json:
        args.json.write_text(json.dumps(found, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
