#!/usr/bin/env python3
"""Holds a TFLite runtime for the agent beside it: what may crash, crashes here.

It needs Python 3.7, numpy and a TFLite runtime, and imports nothing of edgecv but `conditions.py`
and `edgetpu.py`, which are copied to the board with it, and with `agent.py`, whose protocol it
speaks.
"""

import base64
import ctypes
import importlib
import importlib.util
import json
import os
import queue
import signal
import sys
import threading
import time
from types import ModuleType
from typing import Any, Callable, Dict, List, NamedTuple, Optional, Sequence, TextIO, Tuple

import conditions  # type: ignore[import-not-found]  # the files beside this one
import edgetpu  # type: ignore[import-not-found]

Reply = Dict[str, Any]
Tell = Callable[[int, int], None]  # hears how many of how many inferences are done

PROGRESS_SECONDS = 0.5  # rarely enough that the reader of the news does not disturb the timing
STEADY = 0.02  # between the medians of two rounds: caches are full, the clock is where it stays
ROUND_RUNS, ROUND_SECONDS = 3, 0.1  # a governor takes that long to raise the clock
WARMUP_SECONDS = 5.0  # at the most; what is slower than that needs no warm-up
POWER_SECONDS = 1.0
PR_SET_PDEATHSIG = 1


class Runtime(NamedTuple):
    """A package that runs .tflite files."""

    label: str  # in reports, before the version
    package: str


RUNTIMES = {  # in the order `auto` looks for them
    "litert": Runtime("litert", "ai_edge_litert"),
    "tflite": Runtime("tflite-runtime", "tflite_runtime"),
}


def benchmark(
    tell: Tell, model: str, runs: int, warmup_runs: int = 5, runtime: str = "auto", **options: Any
) -> Reply:
    """Seconds of every single inference on fixed random input; statistics are the host's work."""
    chosen, module = import_runtime(runtime)
    idle_rss_bytes, idle_power = conditions.peak_rss_bytes(), conditions.vcgencmd("pmic_read_adc")
    load = conditions.OtherLoad()
    start = time.perf_counter()
    interpreter = interpreter_of(module, model, **options)
    load_seconds = time.perf_counter() - start
    fill_inputs(interpreter)
    first_seconds = time_inference(interpreter)
    warmup = 0 if first_seconds > WARMUP_SECONDS else warm_up(interpreter, warmup_runs)
    before = conditions.state()
    interpreter.invoke()  # what was read has pushed the model out of the caches
    seconds = []
    for done in range(runs):
        seconds.append(time_inference(interpreter))
        tell(done + 1, runs)
    return {
        "runtime": "%s %s" % (chosen.label, version(chosen)),
        "delegate": delegate_of(interpreter),
        "load_seconds": load_seconds,
        "first_seconds": first_seconds,
        "warmup_runs": warmup,
        "seconds": seconds,
        "before": before,
        "after": conditions.state(),
        "busy": load.seconds(),
        "peak_rss_bytes": conditions.peak_rss_bytes(),
        "idle_rss_bytes": idle_rss_bytes,  # Python, numpy and the runtime before the model
        "power": [idle_power, *power(interpreter)] if idle_power else [],
    }


def run(
    tell: Tell, model: str, count: int, inputs: List[str], runtime: str = "auto", **options: Any
) -> Reply:
    """The outputs for `count` items, one inference each; the model stays loaded for the next call.

    `inputs` has the bytes of all items for each input tensor, base64; so have the outputs.
    """
    import numpy as np

    chosen, module = import_runtime(runtime)
    interpreter = reuse_interpreter(module, model, options)
    tensors = []
    for tensor, data in zip(interpreter.get_input_details(), inputs):
        values = np.frombuffer(base64.b64decode(data), tensor["dtype"])
        tensors.append((tensor["index"], values.reshape([count, *tensor["shape"]])))
    seconds = []
    collected: List[List[Any]] = [[] for _ in interpreter.get_output_details()]
    for item in range(count):
        for index, values in tensors:
            interpreter.set_tensor(index, values[item])
        seconds.append(time_inference(interpreter))
        for tensor, outputs in zip(interpreter.get_output_details(), collected):
            outputs.append(interpreter.get_tensor(tensor["index"]))
        tell(item + 1, count)
    return {
        "runtime": "%s %s" % (chosen.label, version(chosen)),
        "delegate": delegate_of(interpreter),
        "seconds": seconds,
        "outputs": [encode_array(np.stack(outputs)) for outputs in collected],
    }


def compare(
    tell: Tell, models: List[str], runs: int, rounds: int = 5, runtime: str = "auto", **options: Any
) -> Reply:
    """Seconds of `runs` inferences of each model, on fixed random input, by turns in `rounds`.

    The first inference of a turn is not counted: another model had the caches.
    """
    chosen, module = import_runtime(runtime)
    interpreters = [interpreter_of(module, model, **options) for model in models]
    for interpreter in interpreters:
        fill_inputs(interpreter)
    load, before = conditions.OtherLoad(), conditions.state()
    samples: List[List[float]] = [[] for _ in models]
    for done in range(rounds):
        for interpreter, seconds in zip(interpreters, samples):
            interpreter.invoke()
            seconds += [time_inference(interpreter) for _ in range(-(-runs // rounds))]
        tell(done + 1, rounds)
    return {
        "runtime": "%s %s" % (chosen.label, version(chosen)),
        "delegates": [delegate_of(interpreter) for interpreter in interpreters],
        "seconds": samples,
        "before": before,
        "after": conditions.state(),
        "other_load": load.cores_used(),
    }


def attempt(name: str) -> Reply:
    """The version of numpy, a runtime or libedgetpu, after really loading it."""
    if name == "edgetpu":
        return dict(edgetpu.probe())
    if name in RUNTIMES:
        import_runtime(name)
        return {"version": version(RUNTIMES[name])}
    return {"version": importlib.import_module("numpy").__version__}


def first(model: str, runtime: str = "auto", **options: Any) -> Reply:
    """Seconds to load a model and of its first inference, which also fills an Edge TPU's cache."""
    chosen, module = import_runtime(runtime)
    start = time.perf_counter()
    interpreter = interpreter_of(module, model, **options)
    load_seconds = time.perf_counter() - start
    fill_inputs(interpreter)
    return {
        "runtime": "%s %s" % (chosen.label, version(chosen)),
        "delegate": delegate_of(interpreter),
        "load_seconds": load_seconds,
        "first_seconds": time_inference(interpreter),
    }


METHODS: Dict[str, Callable[..., Reply]] = {
    "probe": conditions.probe,
    "attempt": attempt,
    "first": first,
}
MEASUREMENTS: Dict[str, Callable[..., Reply]] = {  # with news
    "benchmark": benchmark,
    "compare": compare,
    "run": run,
}


def import_runtime(name: str) -> Tuple[Runtime, Any]:
    """A runtime and its imported interpreter module; `auto` takes the first that is installed."""
    wanted = list(RUNTIMES.values()) if name == "auto" else [RUNTIMES[name]]
    for spec in wanted:
        if is_installed(spec):
            return spec, importlib.import_module(spec.package + ".interpreter")
    raise LookupError("%s is not installed" % " or ".join(spec.label for spec in wanted))


def interpreter_of(
    module: Any,
    model: str,
    threads: int = 1,
    delegate: str = "auto",
    cores: Sequence[int] = (),
    delegate_options: Optional[Dict[str, str]] = None,
) -> Any:
    """An interpreter with its tensors allocated, on these cores of the processor.

    XNNPACK, which `auto` tries first, refuses some int8 scales that the runtime's own kernels take.
    """
    options: Dict[str, Any] = {}
    if cores:
        pin_to_cores(cores)
    if delegate == "edgetpu":
        options["experimental_delegates"] = [
            module.load_delegate(edgetpu.LIBRARY, delegate_options or {})
        ]
    elif delegate == "builtin":
        kernels = module.OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
        options["experimental_op_resolver_type"] = kernels
    interpreter = module.Interpreter(model_path=model, num_threads=threads, **options)
    try:
        interpreter.allocate_tensors()
    except RuntimeError as error:
        if delegate != "auto" or "XNNPack" not in str(error):
            raise
        return interpreter_of(module, model, threads, "builtin")
    return interpreter


def pin_to_cores(cores: Sequence[int]) -> None:
    """Run on these cores alone."""
    there = os.sched_getaffinity(0)
    if not there.issuperset(cores):
        raise ValueError("affinity: must be of %s, got %s" % (sorted(there), sorted(cores)))
    os.sched_setaffinity(0, cores)


LOADED: Dict[str, Any] = {}


def reuse_interpreter(module: Any, model: str, options: Reply) -> Any:
    """The interpreter of the call before, when it was for the same model in the same way."""
    key = repr((module.__name__, model, sorted(options.items())))
    if key not in LOADED:
        LOADED.clear()
        LOADED[key] = interpreter_of(module, model, **options)
    return LOADED[key]


def is_installed(runtime: Runtime) -> bool:
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


def time_inference(interpreter: Any) -> float:
    """Seconds of one inference."""
    start = time.perf_counter()
    interpreter.invoke()
    return time.perf_counter() - start


def warm_up(interpreter: Any, least: int) -> int:
    """How many inferences it took until two rounds in a row had the same median."""
    begun, done, before = time.perf_counter(), 0, 0.0
    while True:
        start, seconds = time.perf_counter(), []  # type: float, List[float]
        while len(seconds) < ROUND_RUNS or time.perf_counter() - start < ROUND_SECONDS:
            seconds.append(time_inference(interpreter))
        done, median = done + len(seconds), sorted(seconds)[len(seconds) // 2]
        steady = abs(median - before) <= STEADY * before and done >= least
        if steady or time.perf_counter() - begun > WARMUP_SECONDS:
            return done
        before = median


def power(interpreter: Any) -> List[str]:
    """The readings of a Pi 5's power chip, repeated while inferences run."""
    import subprocess

    readings, begun = [], time.perf_counter()
    while time.perf_counter() - begun < POWER_SECONDS:
        reader = subprocess.Popen(["vcgencmd", "pmic_read_adc"], stdout=subprocess.PIPE)
        while reader.poll() is None:
            interpreter.invoke()
            if time.perf_counter() - begun > POWER_SECONDS + conditions.FIRMWARE_SECONDS:
                reader.kill()
        readings.append(reader.communicate()[0].decode())
    return readings


def encode_array(array: Any) -> Reply:
    """An array as JSON can carry it."""
    data = base64.b64encode(array.tobytes()).decode()
    return {"shape": list(array.shape), "dtype": str(array.dtype), "data": data}


def delegate_of(interpreter: Any) -> str:
    """`edgetpu` or `xnnpack` when it took at least one part of the graph, otherwise `builtin`.

    A runtime replaces the part that a delegate takes by one node named DELEGATE; the only delegate
    a runtime applies by itself is XNNPACK.
    """
    names = {node["op_name"] for node in interpreter._get_ops_details()}
    if "edgetpu-custom-op" in names:
        return "edgetpu"
    return "xnnpack" if "DELEGATE" in names else "builtin"


def main() -> None:
    """Answer the requests on stdin, one after the other; end with it."""
    replies = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # runtimes print to stdout from C; only replies may go there
    libc = ctypes.CDLL(None)
    if hasattr(libc, "prctl"):  # Linux: what hangs in C dies with the agent as well
        libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    lines: "queue.Queue[str]" = queue.Queue()
    threading.Thread(target=read_lines, args=(lines,), daemon=True).start()
    while True:
        reply = answer(lines.get(), replies)
        replies.write(json.dumps(reply) + "\n")
        replies.flush()


def answer(line: str, replies: TextIO) -> Reply:
    """The reply to a request; whatever goes wrong, the host must hear of it."""
    last_sent = [time.perf_counter()]

    def tell(done: int, total: int) -> None:
        now = time.perf_counter()
        if now - last_sent[0] > PROGRESS_SECONDS:
            last_sent[0] = now
            replies.write(json.dumps({"progress": [done, total]}) + "\n")
            replies.flush()

    request = json.loads(line)
    method, params = request["method"], request["params"]
    try:
        if method in METHODS:
            return {"result": METHODS[method](**params)}
        return {"result": MEASUREMENTS[method](tell, **params)}
    except Exception as error:
        return {"error": describe_error(error)}


def describe_error(error: BaseException) -> str:
    """An error in one line, with what caused it: numpy 2 is only named there."""
    cause = " (%s)" % describe_error(error.__cause__) if error.__cause__ else ""
    return "%s: %s%s" % (type(error).__name__, " ".join(str(error).split()), cause)


def read_lines(lines: "queue.Queue[str]") -> None:
    """Put the lines of stdin into a queue; end the process when its parent ends."""
    for line in sys.stdin:
        lines.put(line)
    os._exit(1)


if __name__ == "__main__":
    main()
