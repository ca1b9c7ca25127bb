"""One answer: of the models that fit a device and its limits, which to take.

Three are named. Quality is the most accurate, Compact the smallest file, and Balanced the nearest
to a model that had the best of each: every objective is scaled to 0..1 over what fits, size and
latency as logarithms. When nothing fits, it is said what is nearest, and which limit must give.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import Any, NamedTuple

from edgecv.tradeoff.front import front
from edgecv.tradeoff.runs import Candidate, Latency


@dataclass(frozen=True)
class Option:
    """A model on the device that is asked for."""

    candidate: Candidate
    latency: Latency | None  # the fastest valid one there
    top1: float
    ms: float
    bytes: float

    def to_json(self) -> dict[str, Any]:
        """The figures that decide, and the file."""
        latency = self.latency
        return {
            "run": str(self.candidate.run),
            "file": str(self.candidate.run / self.candidate.file),
            "scheme": self.candidate.scheme,
            "data": self.candidate.data,
            "top1": self.top1,
            "bytes": int(self.bytes),
            **({"latency_ms": self.ms, "measured": latency.where} if latency else {}),
        }


@dataclass(frozen=True)
class Limits:
    """The limits on a model; None sets none."""

    max_latency_ms: float | None = None
    min_top1: float | None = None
    max_bytes: float | None = None
    max_macs: float | None = None

    def allow(self, option: Option) -> bool:
        """Whether a model keeps to all of them."""
        return _excess(option, _asked(self)) == 0


class LimitFlag(NamedTuple):
    """One limit: its flag, and by what share a model exceeds it; 0 and below it is kept."""

    flag: str
    excess: Callable[[Option], float]


class Choice(NamedTuple):
    """Up to three answers by name; or what is nearest, and what each limit given up would allow."""

    chosen: dict[str, Option]
    nearest: Option | None = None
    instead: dict[str, Option] = {}  # noqa: RUF012  # by the flag to give up; never written to


def options(candidates: Sequence[Candidate], device: str | None) -> list[Option]:
    """The candidates with a measured accuracy and, with a device, a valid latency there."""
    options = []
    for candidate in candidates:
        there = [
            latency for latency in candidate.latencies if latency.device == device and latency.valid
        ]
        latency = min(there, key=attrgetter("ms"), default=None)
        if candidate.top1 is not None and (latency or not device):
            ms = latency.ms if latency else 0.0
            options.append(Option(candidate, latency, candidate.top1, ms, candidate.bytes))
    return options


def choose(options: Sequence[Option], limits: Limits) -> Choice:
    """The answers among `options`, which must not be empty."""
    asked = _asked(limits)
    fitting = [option for option in options if _excess(option, asked) == 0]
    if fitting:
        return Choice(_three(fitting))
    nearest = min(options, key=lambda option: (_excess(option, asked), -option.top1))
    instead = {}
    for gone in asked:
        others = [limit for limit in asked if limit is not gone]
        allowed = [option for option in options if _excess(option, others) == 0]
        if allowed:
            instead[gone.flag] = min(
                allowed, key=lambda option: (gone.excess(option), -option.top1)
            )
    return Choice({}, nearest, dict(sorted(instead.items(), key=lambda pair: _gap(asked, *pair))))


def _asked(limits: Limits) -> list[LimitFlag]:
    """The limits that are set."""
    latency, top1 = limits.max_latency_ms, limits.min_top1
    size, macs = limits.max_bytes, limits.max_macs
    asked = []
    if latency is not None:
        asked.append(LimitFlag("--max-latency", lambda option: option.ms / latency - 1))
    if top1 is not None:  # the share of mistakes, which is what doubles, not the share of hits
        asked.append(
            LimitFlag("--min-top1", lambda option: (top1 - option.top1) / max(1 - top1, 0.005))
        )
    if size is not None:
        asked.append(LimitFlag("--max-size", lambda option: option.bytes / size - 1))
    if macs is not None:
        asked.append(LimitFlag("--max-macs", lambda option: option.candidate.macs / macs - 1))
    return asked


def _excess(option: Option, limits: Sequence[LimitFlag]) -> float:
    """By how much all limits together are exceeded."""
    return sum(max(0.0, limit.excess(option)) for limit in limits)


def _gap(limits: Sequence[LimitFlag], flag: str, option: Option) -> float:
    return next(limit.excess(option) for limit in limits if limit.flag == flag)


def _three(fitting: Sequence[Option]) -> dict[str, Option]:
    """Quality, Balanced and Compact, all of them on the front."""
    costs = [(-option.top1, option.ms, option.bytes) for option in fitting]
    best = [fitting[place] for place in front(costs)]
    return {
        "quality": min(best, key=lambda option: (-option.top1, option.ms, option.bytes)),
        "balanced": min(best, key=_distances(best)),
        "compact": min(best, key=lambda option: (option.bytes, -option.top1, option.ms)),
    }


def _distances(best: Sequence[Option]) -> Callable[[Option], tuple[float, float]]:
    """How far an option is from the best in every objective; the more accurate of two equals."""
    scales = [_scale([objective(option) for option in best]) for objective in OBJECTIVES]

    def distance(option: Option) -> tuple[float, float]:
        pairs = zip(OBJECTIVES, scales, strict=True)
        shares = [(objective(option) - low) / span for objective, (low, span) in pairs]
        return round(math.hypot(*shares), 9), -option.top1

    return distance


OBJECTIVES: tuple[Callable[[Option], float], ...] = (
    lambda option: -option.top1,
    lambda option: math.log(max(option.ms, 1e-6)),
    lambda option: math.log(max(option.bytes, 1)),
)


def _scale(values: Sequence[float]) -> tuple[float, float]:
    """The least, and how far the others reach; never zero."""
    low, high = min(values), max(values)
    return low, (high - low) or 1.0
