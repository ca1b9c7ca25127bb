"""Energy of an inference, from what the power chip of a Raspberry Pi 5 reads.

Written after the form of `vcgencmd pmic_read_adc`, not yet run on a board. The chip sees the rails
that it makes (processor, memory, 3.3 V, 1.8 V), not what USB and fan take from the 5 V.
"""

import re
from collections.abc import Sequence
from typing import Any

import numpy as np

READING = re.compile(r"(\w+)_([AV]) (?:current|volt)\(\d+\)=([\d.]+)[AV]")


def watts(reading: str) -> float | None:
    """The power of all rails with both volts and amperes in an answer; None without any."""
    rails: dict[str, dict[str, float]] = {}
    for rail, unit, value in READING.findall(reading):
        rails.setdefault(rail, {})[unit] = float(value)
    complete = [rail["A"] * rail["V"] for rail in rails.values() if len(rail) == 2]
    return sum(complete) if complete else None


def energy(blocks: Sequence[Sequence[str]], seconds: float) -> dict[str, Any] | None:
    """Power before and during inferences of so many seconds, and the energy of one, in mJ.

    A block is one answer from before the model was loaded, and those from while it ran. None where
    the board does not tell.
    """
    idle = [power for block in blocks if (power := watts("".join(block[:1]))) is not None]
    busy = [power for block in blocks for text in block[1:] if (power := watts(text)) is not None]
    if not (idle and busy):
        return None
    idle_w, busy_w = float(np.median(idle)), float(np.median(busy))
    return {
        "origin": "measured",
        "idle_w": round(idle_w, 3),
        "busy_w": round(busy_w, 3),
        "mj_per_inference": round(busy_w * seconds * 1e3, 3),
    }
