"""A latency model from the user's own `edgecv profile --per-op` measurements of a board."""

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any

from edgecv.errors import RunFolderError, plural
from edgecv.estimate import prior
from edgecv.estimate.model import Error, LatencyModel
from edgecv.estimate.rates import Rates, Sample
from edgecv.tflite.operator_kinds import QUANTITIES, Cost

NEEDED = {
    **dict.fromkeys(("device", "origin", "runtime", "scheme", "model_sha256"), str),
    **{"threads": int, "valid": bool, "whole_ms": float, "operators": list},
}
MOST = 1e9  # milliseconds

Profile = Mapping[str, Any]  # what `edgecv profile --per-op` writes


def read(path: Path) -> Profile:
    """A profile by operator. Raises RunFolderError when the file holds none."""
    try:
        table = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise RunFolderError(f"{path}: not a readable profile by operator: {error}") from error
    return check(table, path)


def check(table: Any, path: Path) -> Profile:
    """The profile in a file's JSON. Raises RunFolderError when it is none."""
    try:
        wrong = [key for key, kind in NEEDED.items() if type(table.get(key)) is not kind]
        times = [row["ms"] for row in table["operators"] if "ms" in row and _cost(row)]
        timed = 0 < sum(times) < MOST and min(times) >= 0 and 0 < table["whole_ms"] < MOST
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise RunFolderError(f"{path}: not a readable profile by operator: {error}") from error
    if wrong or not timed:
        what = f"keys missing or wrong: {', '.join(wrong)}" if wrong else "nothing was measured"
        raise RunFolderError(f"{path}: {what}; see edgecv profile --per-op")
    return dict(table)


def usable(profiles: Iterable[Profile], device: str, scheme: str) -> list[Profile]:
    """Those that were measured of the scheme on that device, valid, the last of each model.

    All have the runtime and the threads of the last: what differs in them does not compare.
    """
    valid = [
        profile
        for profile in profiles
        if (profile["device"], profile["scheme"]) == (device, scheme)
        if profile["valid"] and profile["origin"] == "measured"
    ]
    alike = [profile for profile in valid if _setting(profile) == _setting(valid[-1])]
    return list({profile["model_sha256"]: profile for profile in alike}.values())


def _setting(profile: Profile) -> tuple[str, int]:
    return profile["runtime"], profile["threads"]


def model(profiles: Sequence[Profile], before: Rates) -> LatencyModel:
    """Rates from what `usable` left: those of before, at the pace of the measured models.

    A single model sets the pace only; the more there are, the more they move each rate from there.
    What was measured of single operators is not used: a kernel class that a model hardly has cannot
    be told from it.
    """
    first, last = profiles[0], profiles[-1]
    source = f"{plural(len(profiles), 'model')} measured there"
    source += f" on {last['date']}" if "date" in last else ""
    return LatencyModel(
        board=first["device"],
        scheme=first["scheme"],
        runtime=first["runtime"],
        threads=first["threads"],
        rates=prior.fit(_samples(profiles), before),
        error=_error(_samples(profiles), before),
        source=f"{source} with {first['runtime']}",
    )


def _samples(profiles: Sequence[Profile]) -> list[Sample]:
    return [
        Sample([_cost(row) for row in profile["operators"]], profile["whole_ms"])
        for profile in profiles
    ]


def _cost(row: Mapping[str, Any]) -> Cost:
    return Cost(row["kind"], 1, *(int(row[name]) for name in QUANTITIES[1:]))


def _error(samples: Sequence[Sample], before: Rates) -> Error | None:
    """On each whole model, of rates from the others; None of a single model."""
    if len(samples) < 2:
        return None
    errors = [abs(error) for error in prior.leave_one_out(samples, before)]
    return Error(len(samples), round(median(errors), 4), round(max(errors), 4))
