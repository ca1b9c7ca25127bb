"""What a sweep saves, and what kill -9 does to it.

`python -m tests.bench.bench_sweep` builds twelve cells (four ways to choose int8 ranges times three
prunings of one small float model) as a sweep, then each of them with `edgecv build` in a folder of
its own, and prints the ratio of the times; before that, it sweeps again. With `--kill`, in place of
the builds, it kills a sweep of shorter trainings ten times at random moments; when that has come to
its end, its models must be those of the first.
"""

import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from edgecv.files import sha256
from edgecv.sweep import grid

GRID = """
[model]
width = 0.25
resolution = 64
[train]
epochs = 6
images_per_epoch = 1200
[quantize]
images = 20
[profile]
runs = 20
[grid]
quantize.method = ["minmax", "percentile", "mse", "entropy"]
prune = [{}, { kind = "magnitude", sparsity = 0.5, epochs = 1 }, { kind = "2:4", epochs = 1 }]
"""
KILLS = 10


def main():
    kill = "--kill" in sys.argv
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        (folder / "grid.toml").write_text(
            GRID.replace("epochs = 6", "epochs = 1") if kill else GRID
        )
        cells = grid.load(folder / "grid.toml").cells
        swept = edgecv(folder, "sweep", "grid.toml", "-o", "first")
        print(f"sweep of {len(cells)} cells: {swept:.0f} s", flush=True)
        again = edgecv(folder, "sweep", "grid.toml", "-o", "first")
        print(f"the same sweep again: {again:.1f} s", flush=True)
        if kill:
            killed(folder, swept)
            return
        alone = sum(built(folder, cell) for cell in cells)
        print(f"{len(cells)} builds of their own: {alone:.0f} s; ratio {swept / alone:.2f}")


def edgecv(folder, *arguments):
    """Seconds that a command takes."""
    start = time.perf_counter()
    command = [sys.executable, "-m", "edgecv", *map(str, arguments)]
    subprocess.run(command, cwd=folder, check=True, capture_output=True)
    return time.perf_counter() - start


def built(folder, cell):
    """Seconds that a cell takes as a build."""
    (folder / "recipe.toml").write_text(cell.recipe.to_toml())
    seconds = edgecv(folder, "build", "--recipe", "recipe.toml", "-o", f"alone/{cell.name}")
    print(f"  {seconds:5.0f} s  {cell.name}", flush=True)
    return seconds


def killed(folder, seconds):
    """Kill a sweep again and again; then let it come to its end."""
    command = [sys.executable, "-m", "edgecv", "sweep", "grid.toml", "-o", "second"]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "cwd": folder}
    chance = random.Random(1)
    for number in range(KILLS):
        moment = chance.uniform(3, 0.3 * seconds)
        with subprocess.Popen(command, **quiet) as running:
            try:
                running.wait(moment)
                print("came to its end")
            except subprocess.TimeoutExpired:
                os.kill(running.pid, signal.SIGKILL)
        done = len(list((folder / "second").glob("*/report.json")))
        print(f"kill -9 number {number + 1} after {moment:.0f} s, {done} cells done", flush=True)
    print(f"the rest: {edgecv(folder, 'sweep', 'grid.toml', '-o', 'second'):.0f} s")
    equal = hashes(folder / "first") == hashes(folder / "second")
    left = list((folder / "second").rglob("*.partial*"))
    print(f"models {'equal' if equal else 'DIFFERENT'}, {len(left)} partial files left")


def hashes(folder):
    """The models in a folder."""
    return {
        str(each.relative_to(folder)): sha256(each)
        for each in sorted(folder.rglob("model_*.tflite"))
    }


if __name__ == "__main__":
    main()
