"""`make bench`: every benchmark, one after the other, each in a process of its own."""

import subprocess
import sys

ALL = (
    "bench_convert",
    "bench_build",
    "bench_real",
    "bench_weights",
    "bench_emulated",
    "bench_coral",
)

for name in ALL:
    print(f"\n== {name}", flush=True)
    subprocess.run([sys.executable, "-m", f"tests.bench.{name}"], check=True)
