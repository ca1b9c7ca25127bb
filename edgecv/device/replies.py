"""What an agent may answer: the keys of every reply, and the kinds of their values.

A board is not trusted: a reply of another form is one line of error, and control codes, which a
terminal would obey, are escaped in its texts.
"""

import base64
import math
import re
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from edgecv.errors import printable

Reply = dict[str, Any]

MOST_STEPS = 1_000_000  # of a progress
MOST_NUMBER = 1e18
SHOWN = 60  # characters of a value that is not of the right kind


class Text(NamedTuple):
    """A text of the given form; `lines` allows many."""

    form: str = ""  # a regular expression for all of it
    lines: bool = False


class Number(NamedTuple):
    """A finite number, no less than `least`."""

    least: float = -math.inf
    whole: bool = False


class Maybe(NamedTuple):
    """A value that is left out where it is absent, or null."""

    kind: Any


class Null(NamedTuple):
    """A value that may be null."""

    kind: Any


LINE, LINES = Text(), Text(lines=True)
NUMBER, AMOUNT, COUNT, SECONDS = Number(), Number(0), Number(0, whole=True), Number(1e-9)
THROTTLED = Text("(0x)?[0-9a-fA-F]{1,8}")
STATE = {  # of `conditions.state`
    "load_average": Maybe(AMOUNT),
    "governor": Maybe(LINE),
    "clock_mhz": Maybe(AMOUNT),
    "temperature_celsius": Maybe(NUMBER),
    "throttled": Maybe(THROTTLED),
}
RUN_ON = {"runtime": LINE, "delegate": LINE}
STORED = {"path": LINE, "whole": bool, "bytes": COUNT}
ARRAY = {
    "shape": [COUNT],
    "dtype": Text("u?int(8|16|32|64)|float(16|32|64)|bool"),
    "data": Text("[A-Za-z0-9+/=]*"),
}
KINDS: dict[str, Reply] = {  # [kind] is a list of any length, a tuple one of so many kinds
    "hello": {
        **dict.fromkeys(("python", "executable", "system", "machine", "cpu"), LINE),
        "cores": Number(1, whole=True),
        "emulated": bool,
    },
    "stored": STORED,
    "store": STORED,
    "clean": {"path": LINE},
    "probe": {
        **STATE,
        "throttled": Null(THROTTLED),
        "meminfo": Null(LINES),
        "bits": COUNT,
        "glibc": LINE,
        "page_bytes": COUNT,
        "free_disk_bytes": COUNT,
        "firmware_error": LINE,
        "externally_managed": bool,
        "usb": [{"id": LINE, "mbit_s": AMOUNT, "writable": bool}],
        **dict.fromkeys(("pcie_card", "pcie_edgetpu", "pcie_writable"), bool),
        "other_load": Null(AMOUNT),
    },
    "attempt": {"version": LINE, "devices": Maybe([{"kind": LINE, "path": LINE}])},
    "first": {**RUN_ON, "load_seconds": AMOUNT, "first_seconds": SECONDS},
    "benchmark": {
        **RUN_ON,
        "load_seconds": AMOUNT,
        "first_seconds": SECONDS,
        "warmup_runs": COUNT,
        "seconds": [SECONDS],
        "before": STATE,
        "after": STATE,
        "busy": Null((NUMBER, SECONDS)),
        "peak_rss_bytes": COUNT,
        "idle_rss_bytes": COUNT,
        "power": [LINES],
    },
    "compare": {
        "runtime": LINE,
        "delegates": [LINE],
        "seconds": [[SECONDS]],
        "before": STATE,
        "after": STATE,
        "other_load": Null(AMOUNT),
    },
    "run": {**RUN_ON, "seconds": [SECONDS], "outputs": [ARRAY]},
}
LENGTHS = {  # what was asked for as many times: the name of its number, or of its list
    "benchmark": {"seconds": "runs"},
    "compare": {"seconds": "models", "delegates": "models"},
    "run": {"seconds": "count"},
}


def read_result(method: str, params: Reply, result: Any) -> Reply:
    """The result of a method with the keys of KINDS. Raises ValueError, naming the key."""
    reply: Reply = _read(result, KINDS[method], method)
    for key, asked in LENGTHS.get(method, {}).items():
        count = params[asked] if isinstance(params[asked], int) else len(params[asked])
        if len(reply[key]) != count:
            raise ValueError(f"{method}: {key}: must be {count}, got {len(reply[key])}")
    for array in reply.get("outputs", ()):
        _check_array(array, params["count"])
    return reply


def _check_array(array: Reply, count: int) -> None:
    """Raise ValueError unless an array has as many items, and all their bytes."""
    shape, size = array["shape"], np.dtype(array["dtype"]).itemsize
    held = len(base64.b64decode(array["data"], validate=True))
    if shape[:1] != [count] or math.prod(shape) * size != held:
        raise ValueError(f"run: {held} bytes are no {count} items {shape} of {array['dtype']}")


def read_progress(progress: Any) -> int:
    """How many steps of a progress are done. Raises ValueError."""
    done, total = _read(progress, (COUNT, COUNT), "progress")
    if not done <= total <= MOST_STEPS:
        raise ValueError(f"progress: must be of {MOST_STEPS:,} steps at most, got {progress!r}")
    return int(done)


def _read(value: Any, kind: Any, where: str) -> Any:
    """The value, if it is of the kind; its texts printable."""
    if kind is bool:
        return _expect(isinstance(value, bool), value, "true or false", where)
    if isinstance(kind, Null):
        return value if value is None else _read(value, kind.kind, where)
    if isinstance(kind, Maybe):
        return _read(value, kind.kind, where)
    return READERS[type(kind)](value, kind, where)


def _text(value: Any, kind: Text, where: str) -> str:
    fits = isinstance(value, str) and (not kind.form or re.fullmatch(kind.form, value) is not None)
    _expect(fits, value, f"a text {kind.form}".strip(), where)
    if kind.form:
        return str(value)
    return "\n".join(map(printable, value.split("\n"))) if kind.lines else printable(value)


def _number(value: Any, kind: Number, where: str) -> float:
    types = (int,) if kind.whole else (int, float)
    fits = type(value) in types and abs(value) < MOST_NUMBER and value >= kind.least
    words = "a whole number" if kind.whole else "a number"
    least = f" of {kind.least:g} or more" if kind.least > -math.inf else ""
    number: float = _expect(fits, value, f"{words}{least}", where)
    return number


def _list(value: Any, kind: list[Any], where: str) -> list[Any]:
    _expect(isinstance(value, list), value, "a list", where)
    return [_read(item, kind[0], where) for item in value]


def _tuple(value: Any, kinds: tuple[Any, ...], where: str) -> list[Any]:
    fits = isinstance(value, list) and len(value) == len(kinds)
    _expect(fits, value, f"a list of {len(kinds)}", where)
    return [_read(item, kind, where) for item, kind in zip(value, kinds, strict=True)]


def _object(value: Any, kinds: Reply, where: str) -> Reply:
    _expect(isinstance(value, dict), value, "an object", where)
    absent = [
        key for key, kind in kinds.items() if value.get(key) is None and isinstance(kind, Maybe)
    ]
    missing = [key for key in kinds if key not in value and key not in absent]
    _expect(not missing, value, f"an object with {', '.join(missing)}", where)
    return {
        key: _read(value[key], kind, f"{where}: {key}")
        for key, kind in kinds.items()
        if key not in absent
    }


READERS: dict[type, Callable[[Any, Any, str], Any]] = {
    Text: _text,
    Number: _number,
    list: _list,
    tuple: _tuple,
    dict: _object,
}


def _expect(fits: bool, value: Any, words: str, where: str) -> Any:
    """The value. Raises ValueError unless it fits."""
    if fits:
        return value
    try:
        shown = repr(value)
    except RecursionError:
        shown = type(value).__name__
    end = "..." if len(shown) > SHOWN else ""
    raise ValueError(f"{where}: must be {words}, got {shown[:SHOWN]}{end}")
