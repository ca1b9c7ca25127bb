"""A measurement in the form of report.json's `latency`."""

from collections.abc import Sequence
from typing import Any

from edgecv.artifacts import TFLiteModel
from edgecv.device.description import Device
from edgecv.files import sha256
from edgecv.profile.energy import energy
from edgecv.profile.statistics import Summary, median_interval, summary
from edgecv.profile.validity import Measurement, objections

Block = dict[str, Any]  # what the agent answers to `benchmark`, and its `turn`


def entry(
    device: Device,
    model: TFLiteModel,
    threads: int,
    machine: dict[str, Any],
    blocks: Sequence[Block],
) -> dict[str, Any]:
    """Figures in ms, whether they are valid and if not why, and every sample they are made of.

    `first_ms` is the median over the blocks, each of which is a new process.
    """
    samples = [sample for block in blocks for sample in block["seconds"]]
    statistics = summary(samples)
    emulated = device.board.emulated or machine["emulated"]
    states = [state for block in blocks for state in (block["before"], block["after"])]
    cores, load = machine["cores"], _other_load(blocks)
    measurement = Measurement(emulated, threads, cores, load, statistics.variation, states)
    reasons = objections(measurement)
    interval = median_interval([block["seconds"] for block in blocks])
    power = energy([block["power"] for block in blocks], statistics.p50)
    return {
        "device": device.name,
        "origin": "emulated" if emulated else "measured",
        "runtime": blocks[0]["runtime"],
        "threads": threads,
        "delegate": blocks[0]["delegate"],
        "model": model.scheme,
        "runs": len(samples),
        **_figures(statistics),
        "ci_low_ms": _ms(interval.low),
        "ci_high_ms": _ms(interval.high),
        "first_ms": _ms(summary([block["first_seconds"] for block in blocks]).p50),
        "peak_rss_bytes": max(block["peak_rss_bytes"] for block in blocks),
        "valid": not reasons,
        **({"reason": "; ".join(reasons)} if reasons else {}),
        **({"energy": power} if power else {}),
        "blocks": [_told(block) for block in blocks],
        "context": _context(model, machine, blocks, load),
    }


def _figures(statistics: Summary) -> dict[str, float]:
    return {
        "p50_ms": _ms(statistics.p50),
        "p90_ms": _ms(statistics.p90),
        "p99_ms": _ms(statistics.p99),
        "min_ms": _ms(statistics.lowest),
        "mean_ms": _ms(statistics.mean),
        "cov": round(statistics.variation, 4),
    }


def _other_load(blocks: Sequence[Block]) -> float | None:
    """Cores that others kept busy while the blocks were measured."""
    busy = [block["busy"] for block in blocks if block["busy"]]
    if not busy:
        return None
    others, seconds = map(sum, zip(*busy, strict=True))
    return max(0.0, others / seconds)


def _told(block: Block) -> dict[str, Any]:
    """A block without its samples, which lie one after the other in the context."""
    return {
        "turn": block["turn"],
        "runs": len(block["seconds"]),
        "first_ms": _ms(block["first_seconds"]),
        "warmup_runs": block["warmup_runs"],
        "before": block["before"],
        "after": block["after"],
        **({"power": block["power"]} if block["power"] else {}),
    }


def _context(
    model: TFLiteModel,
    machine: dict[str, Any],
    blocks: Sequence[Block],
    other_load: float | None,
) -> dict[str, Any]:
    """The model, device and conditions of the figures, and every sample to compute them anew."""
    last = blocks[-1]
    context = {
        **{name: machine[name] for name in ("machine", "cpu", "cores", "system", "python")},
        **last["after"],
        "other_load": other_load,
        "idle_rss_bytes": last["idle_rss_bytes"],
        "load_ms": _ms(last["load_seconds"]),
        "model_sha256": sha256(model.path),
        "model_bytes": model.path.stat().st_size,
        "samples_ms": [_ms(sample) for block in blocks for sample in block["seconds"]],
    }
    return {name: value for name, value in context.items() if value is not None}


def _ms(seconds: float) -> float:
    return round(seconds * 1e3, 4)
