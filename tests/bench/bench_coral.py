"""Every family at its own width and resolution, planned for the Edge TPU; nothing is compiled.

    python -m tests.bench.bench_coral [ARCH ...]

Counted on shapes: what maps, bytes and cycles come from shapes alone. The last
column is the median of five plans of the file, in seconds, and the time of `edgecv coral plan` for
MobileNetV2 as a whole process follows.
"""

import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from edgecv import models
from edgecv.coral.planner import CoralPlan, plan
from edgecv.models.float_file import float_model
from edgecv.recipe import ModelOptions
from edgecv.tflite import flatbuffer
from edgecv.tflite.int8_shapes import int8_shapes

ARCHS = [arch for arch in models.MODELS if arch not in {f"efficientnet_b{n}" for n in range(4, 8)}]
HEAD = (
    "| model | mapped | parameters, MiB | cache | cycles, M | element-wise | USB 3, ms | Pi 4, ms"
    " | plan, s |"
)


def twin(arch: str, folder: Path) -> Path:
    """A file with the int8 model's operators and shapes."""
    flat = float_model(models.network(ModelOptions(arch=arch), 1000))
    return flatbuffer.write(int8_shapes(flat), folder / f"{arch}.tflite")


def timed(path: Path) -> tuple[CoralPlan, float]:
    """The plan of a file, and the median seconds of reading and planning it."""
    seconds = []
    for _ in range(5):
        start = time.perf_counter()
        found = plan(flatbuffer.read(path), path.stem)
        seconds.append(time.perf_counter() - start)
    return found, statistics.median(seconds)


def row(found: CoralPlan, seconds: float) -> str:
    """A line of the table."""
    milliseconds = {
        each["host"]: f"{each['ms']:.1f} ({each['low_ms']:.1f} to {each['high_ms']:.1f})"
        for each in found.latency
    }
    share = found.summary()["elementwise_share"]
    cells = [
        Path(found.model).stem,
        f"{found.mapped} of {len(found.operators)}",
        f"{found.parameter_bytes / 2**20:.2f}",
        found.cache.verdict + (", crowded" if found.cache.crowded else ""),
        f"{found.cycles['total'] / 1e6:.2f}",
        f"{share:.0%}",
        milliseconds.get("usb3_desktop", ""),
        milliseconds.get("rpi4_usb3", ""),
        f"{seconds:.2f}",
    ]
    return f"| {' | '.join(cells)} |"


def command_seconds(path: Path) -> float:
    """The least seconds of three runs of the whole command."""
    seconds = []
    for _ in range(3):
        start = time.perf_counter()
        command = [sys.executable, "-m", "edgecv", "coral", "plan", str(path)]
        subprocess.run(command, stdout=subprocess.DEVNULL, check=False)
        seconds.append(time.perf_counter() - start)
    return min(seconds)


def main(archs: list[str]) -> int:
    lines = [HEAD, "|---" * HEAD.count(" | ") + "|---|"]
    with tempfile.TemporaryDirectory() as name:
        for arch in archs:
            path = twin(arch, Path(name))
            lines.append(row(*timed(path)))
            print(lines[-1], file=sys.stderr, flush=True)
            if arch == "mobilenet_v2":
                whole = f"edgecv coral plan, {arch}: {command_seconds(path):.2f} s as a process"
                lines.append(whole)
    print("\n".join(sorted(lines, key=lambda line: line.startswith("edgecv"))))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:] or ARCHS))
