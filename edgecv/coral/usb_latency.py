"""Milliseconds of one inference, estimated for each kind of host, and what they are made of.

An order of magnitude for ranking variants, never a frame rate: the constants are effective values
of one regression on published latencies, and hosts of one kind differ by a factor of two.
"""

from typing import Any, NamedTuple

from edgecv.coral.rule_tables import costs


class Demand(NamedTuple):
    """The bytes and cycles of one inference."""

    cycles: float
    io_bytes: int  # of inputs and outputs
    streamed_bytes: tuple[int, int, int]  # of parameters: at the least, usually, at the most


def estimates(demand: Demand) -> list[dict[str, Any]]:
    """For every host: low_ms, ms, high_ms and `parts`, the milliseconds that `ms` is the sum of."""
    return [_estimate(name, demand) for name in costs()["hosts"]]


def _estimate(name: str, demand: Demand) -> dict[str, Any]:
    host = costs()["hosts"][name]
    factor = host.get("factor", {"low": 1.0, "usual": 1.0, "high": 1.0})
    model = costs()["hosts"][host.get("like", name)]
    least, usual, most = (parts(model, demand, place) for place in range(3))
    return {
        "host": name,
        "title": host["title"],
        "origin": "estimated",
        "low_ms": sum(least.values()) * model["low"] * factor["low"],
        "ms": sum(usual.values()) * factor["usual"],
        "high_ms": sum(most.values()) * model["high"] * factor["high"],
        "parts": {part: value * factor["usual"] for part, value in usual.items()},
        "grade": host["grade"],
        "source": host["source"],
    }


def parts(host: dict[str, Any], demand: Demand, place: int = 1) -> dict[str, float]:
    """Milliseconds of the fixed part, of computing, of inputs and outputs, and of streaming.

    `place` chooses among the three figures for streamed parameters.
    """
    clock = costs()["cycles"]["clock_hz"]
    io = host.get("io_bytes_per_ms")
    return {
        "fixed": host["fixed_ms"],
        "compute": host["compute"] * demand.cycles / clock * 1e3,
        "io": demand.io_bytes / io if io else 0.0,
        "streaming": demand.streamed_bytes[place] / host["stream_bytes_per_ms"],
    }
