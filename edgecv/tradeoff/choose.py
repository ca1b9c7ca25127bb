"""One answer: of the models that fit a device and its limits, which to take.

Three are named. Quality is the most accurate, Compact the smallest file, and Balanced the nearest
to a model that had the best of each: every objective is scaled to 0..1 over what fits, size and
latency as logarithms. When nothing fits, it is said what is nearest, and which limit must give.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
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
    """What a model must keep to; None leaves it free."""

    max_latency_ms: float | None = None
    min_top1: float | None = None
    max_bytes: float | None = None
    max_macs: float | None = None

    def allow(self, option: Option) -> bool:
        """Whether a model keeps to all of them."""
        return _excess(option, _asked(self)) == 0


class Limit(NamedTuple):
    """One limit: its flag, and by what share a model exceeds it; 0 and below it is kept."""

    flag: str
    excess: Callable[[Option], float]


class Choice(NamedTuple):
    """Up to three answers by name; or what is nearest, and what each limit given up would allow."""

    chosen: dict[str, Option]
    nearest: Option | None = None
    instead: dict[str, Option] = {}  # noqa: RUF012  # by the flag to give up; never written to


def options(candidates: Sequence[Candidate], device: str | None) -> list[Option]:
    """What is known well enough: accuracy measured and, with a device, a valid latency there."""
    found = []
    for each in candidates:
        there = [one for one in each.latencies if one.device == device and one.valid]
        latency = min(there, key=lambda one: one.ms, default=None)
        if each.top1 is not None and (latency or not device):
            ms = latency.ms if latency else 0.0
            found.append(Option(each, latency, each.top1, ms, each.bytes))
    return found


def choose(known: Sequence[Option], limits: Limits) -> Choice:
    """The answers among `known`, which must not be empty."""
    asked = _asked(limits)
    fitting = [each for each in known if _excess(each, asked) == 0]
    if fitting:
        return Choice(_three(fitting))
    nearest = min(known, key=lambda each: (_excess(each, asked), -each.top1))
    instead = {}
    for gone in asked:
        others = [limit for limit in asked if limit is not gone]
        allowed = [each for each in known if _excess(each, others) == 0]
        if allowed:
            instead[gone.flag] = min(allowed, key=lambda each: (gone.excess(each), -each.top1))
    return Choice({}, nearest, dict(sorted(instead.items(), key=lambda pair: _gap(asked, *pair))))


def _asked(limits: Limits) -> list[Limit]:
    """The limits that are set."""
    latency, top1 = limits.max_latency_ms, limits.min_top1
    size, macs = limits.max_bytes, limits.max_macs
    found = []
    if latency is not None:
        found.append(Limit("--max-latency", lambda each: each.ms / latency - 1))
    if top1 is not None:  # the share of mistakes, which is what doubles, not the share of hits
        found.append(Limit("--min-top1", lambda each: (top1 - each.top1) / max(1 - top1, 0.005)))
    if size is not None:
        found.append(Limit("--max-size", lambda each: each.bytes / size - 1))
    if macs is not None:
        found.append(Limit("--max-macs", lambda each: each.candidate.macs / macs - 1))
    return found


def _excess(option: Option, limits: Sequence[Limit]) -> float:
    """By how much all limits together are exceeded."""
    return sum(max(0.0, limit.excess(option)) for limit in limits)


def _gap(limits: Sequence[Limit], flag: str, option: Option) -> float:
    return next(limit.excess(option) for limit in limits if limit.flag == flag)


def _three(fitting: Sequence[Option]) -> dict[str, Option]:
    """Quality, Balanced and Compact, all of them on the front."""
    costs = [(-each.top1, each.ms, each.bytes) for each in fitting]
    best = [fitting[place] for place in front(costs)]
    return {
        "quality": min(best, key=lambda each: (-each.top1, each.ms, each.bytes)),
        "balanced": min(best, key=_distances(best)),
        "compact": min(best, key=lambda each: (each.bytes, -each.top1, each.ms)),
    }


def _distances(best: Sequence[Option]) -> Callable[[Option], tuple[float, float]]:
    """How far an option is from the best in every objective; the more accurate of two equals."""
    scales = [_scale([objective(each) for each in best]) for objective in OBJECTIVES]

    def distance(option: Option) -> tuple[float, float]:
        pairs = zip(OBJECTIVES, scales, strict=True)
        shares = [(objective(option) - low) / span for objective, (low, span) in pairs]
        return round(math.hypot(*shares), 9), -option.top1

    return distance


OBJECTIVES: tuple[Callable[[Option], float], ...] = (
    lambda each: -each.top1,
    lambda each: math.log(max(each.ms, 1e-6)),
    lambda each: math.log(max(each.bytes, 1)),
)


def _scale(values: Sequence[float]) -> tuple[float, float]:
    """The least, and how far the others reach; never zero."""
    low, high = min(values), max(values)
    return low, (high - low) or 1.0
