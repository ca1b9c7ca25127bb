"""The limits of `edgecv suggest` and `edgecv search`: what a published model may cost."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from edgecv.cli.recipe_flags import plain
from edgecv.cli.units import LATENCY, MACS, SHARE, SIZE

if TYPE_CHECKING:
    from edgecv.tradeoff.choose import Limits

LIMITS = (
    plain("--max-latency", type=LATENCY, help="Largest latency there in int8, e.g. 33ms."),
    plain("--max-size", type=SIZE, help="Largest int8 file, e.g. 4MB or 512KiB."),
    plain("--max-macs", type=MACS, help="Most multiply-accumulates, e.g. 300M."),
    plain("--min-top1", type=SHARE, help="Least ImageNet top-1, e.g. 70%."),
)


def limits_of(flags: "Mapping[str, float | None]") -> "Limits":
    """The limits that the flags set."""
    from edgecv.tradeoff.choose import Limits

    return Limits(flags["max_latency"], flags["min_top1"], flags["max_size"], flags["max_macs"])
