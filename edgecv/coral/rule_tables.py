"""The rules and constants of the Edge TPU as data: operators.toml, costs.toml, runtimes.toml."""

import functools
import tomllib
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent
GRADES = {  # how sure a row is, the surest first
    "compiled": "seen in files that the compiler made",
    "documented": "on the vendor's pages",
    "reported": "in a public issue or log",
    "tried": "converter output tried by this project; the compiler was not run on it",
    "fitted": "a regression on published figures",
    "expected": "follows from other rows; nobody is known to have seen it",
    "unverified": "listed somewhere, not confirmed",
}


@functools.cache
def table(name: str) -> dict[str, Any]:
    """One of the tables, by its file's name without the suffix."""
    return tomllib.loads((FOLDER / f"{name}.toml").read_text(encoding="utf-8"))


def costs() -> dict[str, Any]:
    """Constants of parameters, cache, cycles and latency."""
    return table("costs")
