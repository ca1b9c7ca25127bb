"""`edgecv build` from start to end: the demo, and a folder of photographs.

    python -m tests.bench.bench_build

The photographs are looked for in EDGECV_REAL, or in `../shared/real` beside the repository; that
row is left out without them.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

REAL = Path(os.environ.get("EDGECV_REAL", Path(__file__).parents[3] / "shared" / "real"))
DEMO = ("mobilenet", "--width", "0.75", "--res", "160")
FLOWERS = ("mobilenet_v2", "--width", "0.5", "--res", "96", "--data", str(REAL / "flowers"))


def measure(arguments: tuple[str, ...]) -> dict[str, float]:
    """Seconds of the whole command, and what its report says of accuracy."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "edgecv", "build", *arguments, "--json", "-o"]
        start = time.perf_counter()
        done = subprocess.run([*command, f"{folder}/run"], stdout=subprocess.PIPE, check=True)
        seconds = time.perf_counter() - start
    accuracy = json.loads(done.stdout)["accuracy"]
    tops = {scheme: accuracy[scheme]["top1"] for scheme in ("float32", "int8")}
    return {"seconds": seconds, **tops, "agreement": accuracy["agreement"]}


def main() -> int:
    rows = [DEMO, FLOWERS] if (REAL / "flowers").is_dir() else [DEMO]
    found = [(row, measure(row)) for row in rows]
    print(f"\n{'seconds':>8} {'float32':>8} {'int8':>8} {'agree':>8}  edgecv build ...")
    for row, each in found:
        figures = " ".join(f"{each[name]:8.3f}" for name in ("float32", "int8", "agreement"))
        shown = " ".join(Path(word).name if "/" in word else word for word in row)
        print(f"{each['seconds']:8.0f} {figures}  {shown}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
