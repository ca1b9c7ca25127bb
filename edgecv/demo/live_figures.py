"""Figures of a running demo: rates, percentiles over the last seconds, the state of the machine."""

import threading
from collections import deque
from typing import Any

import numpy as np

from edgecv.demo.classifier import Scores
from edgecv.demo.frames import now
from edgecv.device import conditions

WINDOW = 600  # inferences that percentiles are of
RATE_SECONDS = 2.0  # over which a rate is taken
MACHINE_SECONDS = 2.0  # between two looks at the machine; vcgencmd is a process each time
SMOOTH_SECONDS = 0.4  # in which a score goes two thirds of the way to a new one


class Figures:
    """The times of inferences, added by one thread and read by others."""

    def __init__(self) -> None:
        self.done = 0
        self._lock = threading.Lock()
        self._prepare, self._infer, self._delay = (deque[float](maxlen=WINDOW) for _ in range(3))
        self._times: deque[float] = deque(maxlen=4096)

    def add(self, prepared: float, inferred: float, delay: float) -> None:
        """Count an inference: seconds of its two steps, and those since its picture was taken."""
        with self._lock:
            self.done += 1
            self._prepare.append(prepared)
            self._infer.append(inferred)
            self._delay.append(delay)
            self._times.append(now())

    def clear(self) -> None:
        """Forget the times of another model, but not the count."""
        with self._lock:
            for values in (self._prepare, self._infer, self._delay, self._times):
                values.clear()

    def read(self) -> dict[str, Any]:
        """Rate in frames per second and times in ms; without inferences, the count alone."""
        with self._lock:
            steps = [list(values) for values in (self._prepare, self._infer, self._delay)]
            times = list(self._times)
        recent = [moment for moment in times if moment > now() - RATE_SECONDS]
        figures: dict[str, Any] = {"frames": self.done, "fps": _rate(recent)}
        if steps[0]:
            prepare, infer, delay = (1e3 * np.asarray(values) for values in steps)
            figures["prepare_ms"] = {"p50": _rounded(np.percentile(prepare, 50))}
            figures["inference_ms"] = _percentiles(infer)
            figures["delay_ms"] = _percentiles(delay)
        return figures


def _rate(times: list[float]) -> float:
    """Events a second, between the first and the last of them."""
    if len(times) < 2 or times[-1] == times[0]:
        return 0.0
    return round((len(times) - 1) / (times[-1] - times[0]), 2)


def _percentiles(milliseconds: Any) -> dict[str, float]:
    p50, p99 = np.percentile(milliseconds, (50, 99))
    return {"p50": _rounded(p50), "p99": _rounded(p99)}


def _rounded(value: Any) -> float:
    return round(float(value), 3)


class Smoothed:
    """Scores that follow new ones within some time, however many come in it."""

    def __init__(self) -> None:
        self._scores: Scores | None = None
        self._at = 0.0

    def add(self, scores: Scores, at: float) -> Scores:
        """The smoothed scores after these, found at a time in seconds."""
        if self._scores is None or len(self._scores) != len(scores):
            self._scores = scores.copy()
        else:
            share = 1 - np.exp(-(at - self._at) / SMOOTH_SECONDS)
            self._scores = self._scores + np.float32(share) * (scores - self._scores)
        self._at = at
        return self._scores


class Machine:
    """The machine's temperature, clock, throttle flag and this process's memory, now and then."""

    def __init__(self) -> None:
        self._read: dict[str, Any] = {}
        self._at = -MACHINE_SECONDS
        self._lock = threading.Lock()

    def read(self) -> dict[str, Any]:
        """The machine's temperature, clock and memory, read at most every two seconds."""
        with self._lock:
            if now() - self._at >= MACHINE_SECONDS:
                self._at = now()
                state = conditions.state()
                kept = ("temperature_celsius", "clock_mhz", "throttled")
                self._read = {key: state[key] for key in kept if key in state}
                self._read["memory_bytes"] = resident_bytes()
            return self._read


def resident_bytes() -> int:
    """The memory of this process that is in use now."""
    text = conditions.read_text("/proc/self/status") or ""
    sizes = [line.split()[1] for line in text.splitlines() if line.startswith("VmRSS:")]
    return 1024 * int(sizes[0]) if sizes else conditions.peak_rss_bytes()
