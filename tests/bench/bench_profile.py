"""Does `edgecv profile` report what others measure, and what does its agent cost?

    python -m tests.bench.bench_profile MODEL.tflite ... [--rounds 10] [--runs 200]

Medians of `profile()`, of litert-benchmark and of a bare loop around `invoke`, by turns in a random
order; then the agent's memory over that of a bare loop, and the seconds until a board behind ssh,
here a real sshd on loopback, is ready to measure for the second time. Tables, then JSON.
"""

import argparse
import base64
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter

from edgecv.artifacts import TFLiteModel
from edgecv.device import board, description
from edgecv.profile import profile
from edgecv.profile.statistics import median_interval
from edgecv.recipe import ProfileOptions
from tests import sshd

BARE_LOOP = """
import json, sys, time
import numpy as np
from ai_edge_litert.interpreter import Interpreter
model, threads, runs = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
interpreter = Interpreter(model, num_threads=threads)
interpreter.allocate_tensors()
for each in interpreter.get_input_details():
    values = np.random.randint(0, 256, each["shape"]).astype(each["dtype"])
    interpreter.set_tensor(each["index"], values)
begin = time.perf_counter()
while time.perf_counter() - begin < 0.3:
    interpreter.invoke()
seconds = []
for _ in range(runs):
    start = time.perf_counter()
    interpreter.invoke()
    seconds.append(time.perf_counter() - start)
peak = [line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM")][0]
found = {"p50_ms": float(np.median(seconds)) * 1e3, "min_ms": min(seconds) * 1e3}
print(json.dumps({**found, "peak_rss_bytes": int(peak) * 1024}))
"""
Measured = dict[str, float]


def ours(model: Path, threads: int, runs: int) -> Measured:
    """What `edgecv profile` reports."""
    entry = profile(TFLiteModel(model, model.stem), ProfileOptions(runs=runs, threads=threads))
    return {key: entry[key] for key in ("p50_ms", "min_ms", "peak_rss_bytes", "valid")}


def bare(model: Path, threads: int, runs: int) -> Measured:
    """A loop that does nothing but invoke."""
    return json.loads(output(sys.executable, "-c", BARE_LOOP, model, threads, runs))


def litert_benchmark(model: Path, threads: int, runs: int) -> Measured:
    """ai-edge-litert's own tool; it rounds to 0.01 ms."""
    with tempfile.NamedTemporaryFile(suffix=".json") as file:
        output(
            Path(sys.executable).with_name("litert-benchmark"),
            *("--model", model, "--num_threads", threads, "--num_runs", runs),
            *("--warmup_runs", runs, "--result_json", file.name),
        )
        found = json.loads(file.read())["latency"]
        return {"p50_ms": found["median_ms"], "min_ms": found["min_ms"]}


TOOLS: dict[str, Callable[[Path, int, int], Measured]] = {
    "profile": ours,
    "bare": bare,
    "litert-benchmark": litert_benchmark,
}


def output(*command: object) -> str:
    """What a program prints."""
    done = subprocess.run([str(each) for each in command], capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{command[0]}: {done.stderr[-500:]}")
    return done.stdout


def compare(model: Path, threads: int, rounds: int, runs: int) -> dict[str, object]:
    """Medians over the rounds, and the ratios of ours to the others', round by round."""
    found: dict[str, list[Measured]] = {name: [] for name in TOOLS}
    shuffled = random.Random(0)
    for _ in range(rounds):
        for name in shuffled.sample(list(TOOLS), len(TOOLS)):
            found[name].append(TOOLS[name](model, threads, runs))
    p50 = {name: [each["p50_ms"] for each in rows] for name, rows in found.items()}
    ratios = {name: np.divide(p50["profile"], p50[name]) for name in TOOLS if name != "profile"}
    peaks = [[each["peak_rss_bytes"] for each in found[name]] for name in ("profile", "bare")]
    return {
        "model": str(model.relative_to(model.parents[1])),
        "threads": threads,
        **{f"{name}_ms": round(float(np.median(values)), 4) for name, values in p50.items()},
        **{f"to_{name}": round(float(np.median(each)), 3) for name, each in ratios.items()},
        **{f"to_{name}_95": np.round(median_interval([each]), 3).tolist()
           for name, each in ratios.items()},
        **{f"{name}_min_ms": round(min(each["min_ms"] for each in rows), 4)
           for name, rows in found.items()},
        "valid": sum(bool(each["valid"]) for each in found["profile"]),
        "rss_over_bare_mb": round(float(np.subtract(*map(np.median, peaks))) / 1e6, 2),
    }  # fmt: skip


ONE_INFERENCE = """
import sys
import numpy as np
from ai_edge_litert.interpreter import Interpreter
interpreter = Interpreter(sys.argv[1])
interpreter.allocate_tensors()
for each in interpreter.get_input_details():
    interpreter.set_tensor(each["index"], np.zeros(each["shape"], each["dtype"]))
interpreter.invoke()
print(flush=True)
sys.stdin.read()
"""


def agent_memory(model: Path) -> dict[str, float]:
    """What agent and worker hold after one inference beyond a process that did the same, in MB.

    Of the agent, what it does not share with its worker.
    """
    command = [sys.executable, "-c", ONE_INFERENCE, str(model)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as bare:
        bare.stdout.readline()
        bare_rss = memory_mb(bare.pid, "Rss")
        bare.stdin.close()
    with board.connect(description.find("host")) as agent:
        parent = agent._agent.pid
        details = Interpreter(str(model)).get_input_details()
        pixels = [np.zeros(each["shape"], each["dtype"]).tobytes() for each in details]
        inputs = [base64.b64encode(each).decode() for each in pixels]
        agent.call("run", {"model": str(model), "count": 1, "inputs": inputs})
        worker = int(Path(f"/proc/{parent}/task/{parent}/children").read_text())
        private = memory_mb(parent, "Private_Clean") + memory_mb(parent, "Private_Dirty")
        worker_rss = memory_mb(worker, "Rss")
    return {
        "bare_rss_mb": round(bare_rss, 1),
        "worker_over_bare_mb": round(worker_rss - bare_rss, 2),
        "agent_private_mb": round(private, 2),
    }


def memory_mb(pid: int, kind: str) -> float:
    """A line of the process's smaps_rollup."""
    rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
    return int(rollup.partition(f"\n{kind}:")[2].split()[0]) / 1e3


def second_start(model: Path, folder: Path, patch: pytest.MonkeyPatch) -> dict[str, float]:
    """Seconds until a board behind ssh has its agent and the model, and those of Python alone."""
    with sshd.boards(folder, patch) as start:
        device = description.load(start().device())
        seconds = []
        for _ in range(6):
            begun = time.perf_counter()
            with board.connect(device) as agent:
                board.place(agent, device, model)
                seconds.append(time.perf_counter() - begun)
    begun = time.perf_counter()
    output(sys.executable, "-c", "import ai_edge_litert.interpreter")
    python = time.perf_counter() - begun
    return {
        "first_seconds": round(seconds[0], 2),
        "second_seconds": round(float(np.median(seconds[1:])), 2),
        "python_and_runtime_seconds": round(python, 2),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("models", nargs="+", type=Path)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--runs", type=int, default=200)
    arguments = parser.parse_args()
    load = os.getloadavg()[0]
    rows, memory = [], [agent_memory(each) for each in arguments.models]
    print(*memory, sep="\n")
    for model in arguments.models:
        for threads in (1, 2):
            rows.append(compare(model.resolve(), threads, arguments.rounds, arguments.runs))
            print("  ".join(f"{name} {value}" for name, value in rows[-1].items()), flush=True)
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        cost = second_start(arguments.models[0], Path(folder), patch)
    print("  ".join(f"{name} {value}" for name, value in cost.items()))
    machine = {"machine": os.uname().machine, "cores": os.cpu_count(), "load": load}
    print(json.dumps({**machine, "rows": rows, "memory": memory, **cost}))


if __name__ == "__main__":
    main()
