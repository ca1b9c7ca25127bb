#!/usr/bin/env python3
"""Measures TFLite models on the machine this file lies on: a board, or the host itself.

One file that needs Python 3.7, numpy and a TFLite runtime. A request is one line of JSON on stdin,
`{"method": "hello", "params": {}}`; the answer is one line on stdout, `{"result": ...}` or
`{"error": "..."}`, and before it any number of `{"progress": [done, total]}`. Only the methods in
the two tables below can be called. When stdin ends, the agent and what it started end too.
"""

import importlib
import importlib.util
import json
import os
import platform
import select
import subprocess
import sys
import threading
import time
from types import ModuleType
from typing import IO, Any, Callable, Dict, List, NamedTuple, Optional, TextIO, cast

Reply = Dict[str, Any]
Tell = Callable[[int, int], None]  # hears how many of how many inferences are done

PROGRESS_SECONDS = 0.5  # rarely enough that the reader of the news does not disturb the timing
OTHER_LOAD_SECONDS = 0.5  # the system counts busy time in steps of 0.01 s


class Runtime(NamedTuple):
    """A package that runs .tflite files."""

    label: str  # in reports, before the version
    package: str


RUNTIMES = {  # in the order `auto` looks for them
    "litert": Runtime("litert", "ai_edge_litert"),
    "tflite": Runtime("tflite-runtime", "tflite_runtime"),
}


def hello() -> Reply:
    """What this machine is, and which runtimes it has."""
    runtimes = {name: version(each) for name, each in RUNTIMES.items() if installed(each)}
    return {
        "python": platform.python_version(),
        "system": platform.platform(),
        "machine": platform.machine(),
        "cpu": cpu_model(),
        "cores": core_count(),
        "runtimes": runtimes,
    }


def benchmark(
    tell: Tell, model: str, runs: int, warmup_runs: int = 5, threads: int = 1, runtime: str = "auto"
) -> Reply:
    """Seconds of every single inference on fixed random input; statistics are the host's work."""
    chosen = find_runtime(runtime)
    module = importlib.import_module(chosen.package + ".interpreter")
    idle_rss_bytes = peak_rss_bytes()
    load = OtherLoad()
    start = time.perf_counter()
    interpreter = module.Interpreter(model_path=model, num_threads=threads)
    interpreter.allocate_tensors()
    load_seconds = time.perf_counter() - start
    fill_inputs(interpreter)
    seconds = []
    for done in range(1 + warmup_runs + runs):
        start = time.perf_counter()
        interpreter.invoke()
        seconds.append(time.perf_counter() - start)
        tell(done + 1, 1 + warmup_runs + runs)
    return {
        "runtime": "%s %s" % (chosen.label, version(chosen)),
        "delegate": delegate(interpreter),
        "load_seconds": load_seconds,
        "first_seconds": seconds[0],
        "seconds": seconds[1 + warmup_runs :],
        "peak_rss_bytes": peak_rss_bytes(),
        "idle_rss_bytes": idle_rss_bytes,  # Python, numpy and the runtime before the model
        "other_load": load.cores_used(),
        "state": state(),
    }


METHODS = {"hello": hello}
MEASUREMENTS = {"benchmark": benchmark}  # each in a process of its own


def find_runtime(name: str) -> Runtime:
    """The runtime of that name, or with `auto` the first that is installed."""
    wanted = list(RUNTIMES.values()) if name == "auto" else [RUNTIMES[name]]
    for each in wanted:
        if installed(each):
            return each
    raise LookupError("%s is not installed" % " or ".join(each.label for each in wanted))


def installed(runtime: Runtime) -> bool:
    """Whether Python finds the runtime's package; its native library may still fail to load."""
    return importlib.util.find_spec(runtime.package) is not None


def version(runtime: Runtime) -> str:
    """The version that the package says it has."""
    package: ModuleType = importlib.import_module(runtime.package)
    return str(getattr(package, "__version__", "of unknown version"))


def fill_inputs(interpreter: Any) -> None:
    """Give every input the same random values in every run; zeros could be faster than images."""
    import numpy as np  # here, so that the process that waits stays small

    random = np.random.RandomState(0)
    for tensor in interpreter.get_input_details():
        dtype, shape = tensor["dtype"], tensor["shape"]
        if np.issubdtype(dtype, np.floating):
            values = random.uniform(-1, 1, shape).astype(dtype)
        else:
            values = random.randint(0, 256, shape).astype(np.uint8).view(np.int8).astype(dtype)
        interpreter.set_tensor(tensor["index"], values)


def delegate(interpreter: Any) -> str:
    """`xnnpack` when it took at least one part of the graph, otherwise `builtin`.

    A runtime replaces the part that a delegate takes by one node named DELEGATE; the only delegate
    a runtime applies by itself is XNNPACK.
    """
    names = {node["op_name"] for node in interpreter._get_ops_details()}
    return "xnnpack" if "DELEGATE" in names else "builtin"


class OtherLoad:
    """How many cores everything but this process keeps busy, from now on."""

    def __init__(self) -> None:
        self.start = (time.perf_counter(), time.process_time(), busy_seconds())

    def cores_used(self) -> Optional[float]:
        """The average since the start, at least half a second; None where the system is silent."""
        wall, own, busy = self.start
        time.sleep(max(0.0, wall + OTHER_LOAD_SECONDS - time.perf_counter()))
        now = busy_seconds()
        if busy is None or now is None:
            return None
        others = (now - busy) - (time.process_time() - own)
        return max(0.0, others / (time.perf_counter() - wall))


def busy_seconds() -> Optional[float]:
    """Seconds that all cores together have worked since boot, for anybody (Linux only)."""
    text = read_text("/proc/stat")
    if text is None:
        return None
    user, nice, system, _, _, irq, soft_irq, steal = map(int, text.split()[1:9])
    return float(user + nice + system + irq + soft_irq + steal) / os.sysconf("SC_CLK_TCK")


def state() -> Reply:
    """What may explain a slow run; only what this machine tells."""
    governor = read_text("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor")
    clock_khz = read_text("/sys/devices/system/cpu/cpu0/cpufreq/scaling_cur_freq")
    temperature = read_text("/sys/class/thermal/thermal_zone0/temp")  # thousandths of a degree
    known = {
        "load_average": os.getloadavg()[0],
        "governor": governor,
        "clock_mhz": clock_khz and int(clock_khz) / 1000,
        "temperature_celsius": temperature and int(temperature) / 1000,
    }
    return {name: value for name, value in known.items() if value is not None}


def cpu_model() -> str:
    """The board's name where there is a device tree, otherwise the processor's."""
    board = read_text("/proc/device-tree/model")
    if board:
        return board.strip("\0")
    for line in (read_text("/proc/cpuinfo") or "").splitlines():
        name, _, value = line.partition(":")
        if name.strip() in ("model name", "Model", "Hardware"):
            return value.strip()
    return platform.processor() or "unknown"


def core_count() -> int:
    """Cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def peak_rss_bytes() -> int:
    """The most memory this process ever had resident.

    Not ru_maxrss where it can be avoided: a new process inherits its parent's.
    """
    for line in (read_text("/proc/self/status") or "").splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    import resource  # not on Windows

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def read_text(path: str) -> Optional[str]:
    """The text of a file of the system, or None where there is none."""
    try:
        with open(path) as file:
            return file.read().strip()
    except OSError:
        return None


def main(arguments: List[str]) -> None:
    """Answer requests until stdin ends; `measure` answers a single one, in a process for it."""
    replies = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # runtimes print to stdout from C; only replies may go there
    if arguments == ["measure"]:
        measure(sys.stdin.readline(), replies)
    for line in sys.stdin:
        if not delegated(line, replies):
            send(replies, answer(line))


def answer(line: str) -> Reply:
    """The reply to a request for one of METHODS; whatever goes wrong, the host must hear of it."""
    try:
        request = json.loads(line)
        if request["method"] not in METHODS:
            raise LookupError("no method named %r" % request["method"])
        return {"result": METHODS[request["method"]](**request["params"])}
    except Exception as error:
        return failure(error)


def delegated(line: str, replies: TextIO) -> bool:
    """Whether the request was a measurement; then a process of its own has answered it.

    So the peak memory is that of one model, and a model that crashes the runtime is an answer.
    """
    try:
        if json.loads(line)["method"] not in MEASUREMENTS:
            return False
    except (ValueError, KeyError, TypeError):
        return False
    command = [sys.executable, os.path.abspath(__file__), "measure"]
    child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    requests = cast(IO[bytes], child.stdin)
    requests.write(line.encode())
    requests.flush()
    relay(child, replies)
    code = child.wait()
    if code:
        send(replies, {"error": "the runtime ended with %s" % exit_words(code)})
    return True


def relay(child: "subprocess.Popen[bytes]", replies: TextIO) -> None:
    """Pass on what a measurement writes; end it when the host sends something or hangs up."""
    answers = cast(IO[bytes], child.stdout)
    while True:
        ready, _, _ = select.select([answers, sys.stdin], [], [])
        if sys.stdin in ready:
            child.kill()
            sys.exit()
        chunk = os.read(answers.fileno(), 65536)
        if not chunk:
            return
        replies.write(chunk.decode())
        replies.flush()


def measure(line: str, replies: TextIO) -> None:
    """Answer one measurement, then leave at once: a crash while cleaning up spoils nothing."""
    threading.Thread(target=leave_with_stdin, daemon=True).start()
    told = [time.perf_counter()]

    def tell(done: int, total: int) -> None:
        now = time.perf_counter()
        if now - told[0] > PROGRESS_SECONDS:
            told[0] = now
            send(replies, {"progress": [done, total]})

    request = json.loads(line)
    try:
        reply = {"result": MEASUREMENTS[request["method"]](tell, **request["params"])}
    except Exception as error:
        reply = failure(error)
    send(replies, reply)
    os._exit(0)


def leave_with_stdin() -> None:
    """End this process when the one that started it is gone."""
    sys.stdin.read()
    os._exit(1)


def failure(error: Exception) -> Reply:
    """An error as a reply."""
    return {"error": "%s: %s" % (type(error).__name__, " ".join(str(error).split()))}


def exit_words(code: int) -> str:
    """What an exit code of subprocess means: `signal 11` or `exit code 1`."""
    return "signal %d" % -code if code < 0 else "exit code %d" % code


def send(replies: TextIO, reply: Reply) -> None:
    """Write one line, now."""
    replies.write(json.dumps(reply) + "\n")
    replies.flush()


if __name__ == "__main__":
    main(sys.argv[1:])
