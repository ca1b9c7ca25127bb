"""Compare the median of `profile()` with a bare loop around `invoke`, taken in turns.

    python tests/bench/bench_profile.py MODEL.tflite ... [--rounds 5] [--runs 200]

Prints a table, then the same as JSON. The ratio should be within 3 % of 1 on a quiet machine: what
the agent adds (a process of its own, progress, counting other load) must not show in the figure.
"""

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np

from edgecv.artifacts import TFLiteModel
from edgecv.profile import profile
from edgecv.recipe import ProfileOptions
from edgecv.tflite import flatbuffer, operators, runtime

BARE_LOOP = """
import importlib, json, sys, time
import numpy as np
package, model, threads, runs = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
interpreter = importlib.import_module(package).Interpreter(model, num_threads=threads)
interpreter.allocate_tensors()
for _ in range(5):
    interpreter.invoke()
seconds = []
for _ in range(runs):
    start = time.perf_counter()
    interpreter.invoke()
    seconds.append(time.perf_counter() - start)
print(float(np.median(seconds)) * 1e3)
"""


def bare_p50_ms(model: Path, package: str, threads: int, runs: int) -> float:
    """The median of a loop that does nothing but invoke."""
    arguments = [f"{package}.interpreter", str(model), str(threads), str(runs)]
    done = subprocess.run(
        [sys.executable, "-c", BARE_LOOP, *arguments], capture_output=True, text=True, check=True
    )
    return float(done.stdout)


def compare(model: Path, name: str, threads: int, rounds: int, runs: int) -> dict[str, object]:
    """Medians of both over the rounds, and the median of the rounds' ratios."""
    options = ProfileOptions(runs=runs, threads=threads, runtime=name)
    ours, bare = [], []
    for turn in range(rounds):
        measurements = [
            lambda: ours.append(profile(TFLiteModel(model, scheme(model)), options)["p50_ms"]),
            lambda: bare.append(bare_p50_ms(model, runtime.RUNTIMES[name].package, threads, runs)),
        ]
        for measure in measurements[:: 1 if turn % 2 else -1]:
            measure()
    return {
        "model": model.name,
        "runtime": runtime.runtime_name(name),
        "threads": threads,
        "profile_p50_ms": round(float(np.median(ours)), 4),
        "bare_p50_ms": round(float(np.median(bare)), 4),
        "ratio": round(float(np.median(np.divide(ours, bare))), 3),
    }


def scheme(model: Path) -> str:
    """How the report would call it."""
    return "int8" if "QUANTIZE" in operators.counts(flatbuffer.read(model)) else "float32"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("models", nargs="+", type=Path)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--runs", type=int, default=200)
    arguments = parser.parse_args()
    rows = [
        compare(model, name, threads, arguments.rounds, arguments.runs)
        for model in arguments.models
        for name in runtime.RUNTIMES
        for threads in (1, 2)
    ]
    print(f"{'model':<32} {'runtime':<22} {'threads':>7} {'profile':>9} {'bare':>9} {'ratio':>6}")
    for row in rows:
        print(
            f"{row['model']:<32} {row['runtime']:<22} {row['threads']:>7}"
            f" {row['profile_p50_ms']:>9} {row['bare_p50_ms']:>9} {row['ratio']:>6}"
        )
    print(json.dumps({"machine": os.uname().machine, "cores": os.cpu_count(), "rows": rows}))


if __name__ == "__main__":
    main()
