"""Whether a model's parameters stay on the chip, or are sent again with every inference."""

from typing import NamedTuple

from edgecv.coral.tables import costs

CACHED, STREAMED, UNDECIDED = "cached", "streamed", "undecided"
MIB = 2**20


class Cache(NamedTuple):
    """Bytes that hold parameters, as a band, and what of a model's does not fit into them."""

    verdict: str  # cached | streamed | undecided
    low_bytes: int
    usual_bytes: int
    high_bytes: int
    streamed_bytes: tuple[int, int, int]  # at the least, usually, at the most
    crowded: bool  # activations do not fit beside: the band is of few logs


def cache(parameter_bytes: int, activation_bytes: int) -> Cache:
    """The verdict for a model with these parameters and this many bytes of activations at once."""
    constants = costs()["cache"]
    crowded = activation_bytes > constants["activation_bytes"]
    band = constants["crowded"] if crowded else constants
    low, usual, high = (int(band[f"{name}_mib"] * MIB) for name in ("low", "usual", "high"))
    verdict = UNDECIDED
    if parameter_bytes <= low:
        verdict = CACHED
    elif parameter_bytes > high:
        verdict = STREAMED
    over = [max(0, parameter_bytes - each) for each in (high, usual, low)]
    return Cache(verdict, low, usual, high, (over[0], over[1], over[2]), crowded)
