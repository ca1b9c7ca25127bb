"""Whether a model's parameters stay on the chip, or are sent again with every inference."""

from typing import NamedTuple

from edgecv.coral.rule_tables import costs

CACHED, STREAMED, UNDECIDED = "cached", "streamed", "undecided"
MIB = 2**20


class Cache(NamedTuple):
    """Bytes that hold parameters, as a band, and what of a model's does not fit into them."""

    verdict: str  # cached | streamed | undecided
    low_bytes: int
    usual_bytes: int
    high_bytes: int
    streamed_bytes: tuple[int, int, int]  # at the least, usually, at the most
    crowded: bool  # activations may not fit beside: the band is so much the wider
    unsized: bool = False  # some layer has parameters that no formula tells


def cache(
    parameter_bytes: int, activation_bytes: int, constant_bytes: int = 0, unsized: bool = False
) -> Cache:
    """The verdict for a model with these parameters and this many bytes of activations at once.

    Constants of element-wise operators are streamed, whatever the verdict on the parameters.
    """
    constants = costs()["cache"]
    crowded = activation_bytes > constants["activation_bytes"]
    names = ("crowded_low" if crowded else "low", "usual", "high")
    low, usual, high = (int(constants[f"{name}_mib"] * MIB) for name in names)
    verdict = UNDECIDED
    if parameter_bytes > high:
        verdict = STREAMED
    elif parameter_bytes <= low and not unsized:
        verdict = CACHED
    over = [constant_bytes + max(0, parameter_bytes - room) for room in (high, usual, low)]
    return Cache(verdict, low, usual, high, (over[0], over[1], over[2]), crowded, unsized)
