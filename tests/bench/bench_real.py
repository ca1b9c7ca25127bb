"""Real models in int8 on real photographs: top-1, agreement with float, seconds, stage by stage.

    python -m tests.bench.bench_real [--models NAME,...] [--stages NAME,...] [--json FILE]

The models, the photographs and score.py, which does the counting, are looked for in EDGECV_REAL, or
in `../shared/real` beside the repository; without them there is nothing to print. `minmax` is what
TensorFlow's own tools do with a model whose hard-swishes are lowered.
"""

import argparse
import json
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, NamedTuple

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from edgecv.artifacts import TFLiteModel
from edgecv.quantize.engine import Stages, post_training
from tests.real.test_real_models import REAL, photographs, scored


class Row(NamedTuple):
    """A row of the table: how ranges are chosen, and what is done beyond them."""

    method: str
    stages: Stages


ROWS = {
    "minmax": Row("minmax", Stages(equalize=False, correct=False)),
    "ranges": Row("auto", Stages(equalize=False, correct=False)),
    "+equalise": Row("auto", Stages(correct=False)),
    "+correct": Row("auto", Stages(round=False)),
    "+round": Row("auto", Stages()),
}


def measure(name: str, label: str, folder: Path) -> dict[str, Any]:
    """One row's figures, from the 100 photographs of calibration.txt."""
    row = ROWS[label]
    names = (REAL / "calibration.txt").read_text().split()
    images = list(photographs(names, int(name.rsplit("_", maxsplit=1)[-1])))
    model = TFLiteModel(REAL / "float" / f"{name}.tflite", "float32")
    start = time.monotonic()
    done = post_training(
        model, images, folder / "int8.tflite", method=row.method, stages=row.stages
    )
    seconds = time.monotonic() - start
    found = scored(name, done.file.path)
    return {"model": name, "stages": label, **found, "seconds": seconds, "notes": done.notes}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--models", help="only these, with commas between")
    parser.add_argument("--stages", help="only these rows, with commas between")
    parser.add_argument("--json", type=Path, help="write the figures there")
    args = parser.parse_args()
    names = sorted(path.stem for path in (REAL / "float").glob("*.tflite"))
    if not names:
        print(f"no real models in {REAL}; set EDGECV_REAL")
        return 0
    print(f"{'model':28} {'stages':10} {'float':>7} {'int8':>7} {'agree':>7} {'seconds':>8}")
    found = []
    with tempfile.TemporaryDirectory() as folder:
        for name in args.models.split(",") if args.models else names:
            for label in args.stages.split(",") if args.stages else ROWS:
                each = measure(name, label, Path(folder))
                found.append(each)
                print(
                    f"{name:28} {label:10} {each['float_top1']:7.4f} {each['int8_top1']:7.4f}"
                    f" {each['agreement']:7.4f} {each['seconds']:8.2f}"
                    f"{'' if each['int8_runs_on_xnnpack'] else ' (not on XNNPACK)'}",
                    flush=True,
                )
    if args.json:
        args.json.write_text(json.dumps(found, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
