"""Whether a measurement can be trusted.

A rule is one function: what it found, or None. Its docstring is what the user reads then, with that
in place of `{}`.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from edgecv.device.doctor import BUSY_SHARE, THROTTLED_BITS

# Single inferences of one model on a quiet machine vary by 1-5 %, with a rare outlier when the
# system takes the core away. Twice as much says that something else ran or the clock moved.
VARIATION_LIMIT = 0.10
CLOCK_LIMIT = 0.05  # turbo's last steps are smaller, those of a board that throttles larger
UNDER_VOLTAGE = 1  # the lowest of the bits


class Measurement(NamedTuple):
    """The conditions that the rules look at; None where the machine does not tell."""

    emulated: bool
    threads: int
    cores: int
    other_load: float | None  # cores kept busy by others
    variation: float
    states: Sequence[Mapping[str, Any]]  # before and after each block, as the board tells them

    def readings(self, name: str) -> list[Any]:
        """One fact of every state that has it."""
        return [state[name] for state in self.states if name in state]

    @property
    def throttled(self) -> int:
        """The bits of `vcgencmd get_throttled` that were set in the meantime."""
        bits = [int(word, 16) for word in self.readings("throttled")]
        if not bits:
            return 0
        since_start = (bits[-1] & ~bits[0]) >> 16
        now = 0
        for bit in bits:
            now |= bit & 0xF
        return now | since_start


Rule = Callable[[Measurement], str | None]


def emulated(measurement: Measurement) -> str | None:
    """The time it takes says nothing of a real board's."""
    return "" if measurement.emulated else None


def threads(measurement: Measurement) -> str | None:
    """There are {}: they wait for each other."""
    too_many = measurement.threads > measurement.cores
    return f"{measurement.threads} threads on {measurement.cores} cores" if too_many else None


def other_load(measurement: Measurement) -> str | None:
    """Other processes kept {}; end them."""
    limit = BUSY_SHARE * measurement.cores
    if measurement.other_load is None or measurement.other_load <= limit:
        return None
    return f"{measurement.other_load:.1f} of {measurement.cores} cores busy (limit {limit:.1f})"


def variation(measurement: Measurement) -> str | None:
    """Samples vary by {}: something else ran, or the clock moved."""
    if measurement.variation <= VARIATION_LIMIT:
        return None
    return f"{measurement.variation:.0%} (limit {VARIATION_LIMIT:.0%})"


def clock(measurement: Measurement) -> str | None:
    """The clock moved, {}: hold it with the governor `performance`."""
    clocks = measurement.readings("clock_mhz")
    if not clocks or min(clocks) >= (1 - CLOCK_LIMIT) * max(clocks):
        return None
    return f"{min(clocks):.0f} to {max(clocks):.0f} MHz"


def under_voltage(measurement: Measurement) -> str | None:
    """The board got too little power; use the official power supply."""
    return "" if measurement.throttled & UNDER_VOLTAGE else None


def throttled(measurement: Measurement) -> str | None:
    """The board held itself back ({}); let it cool, give it a fan."""
    bits = [
        name for bit, name in enumerate(THROTTLED_BITS) if bit and measurement.throttled >> bit & 1
    ]
    return ", ".join(bits) or None


RULES: tuple[Rule, ...] = (
    emulated,
    threads,
    other_load,
    variation,
    clock,
    under_voltage,
    throttled,
)


def objections(measurement: Measurement) -> list[str]:
    """Every reason why a measurement is not valid; none when nothing speaks against it."""
    verdicts = [(rule, rule(measurement)) for rule in RULES]
    return [_words(rule, what) for rule, what in verdicts if what is not None]


def _words(rule: Rule, what: str) -> str:
    """`other load: other processes kept 1.5 of 4 cores busy (limit 1.0); end them`."""
    text = (rule.__doc__ or "").strip(".").format(what)
    return f"{rule.__name__.replace('_', ' ')}: {text[0].lower()}{text[1:]}"
