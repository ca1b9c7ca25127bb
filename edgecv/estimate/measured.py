"""A latency model from the user's own `edgecv profile --per-op` measurements of a board."""

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any

from edgecv.errors import RunFolderError
from edgecv.estimate import rates
from edgecv.estimate.model import Error, LatencyModel
from edgecv.estimate.rates import Rates, Sample
from edgecv.tflite.kinds import KINDS, QUANTITIES, Cost

NEEDED = {
    **dict.fromkeys(("device", "origin", "runtime", "scheme", "model_sha256"), str),
    **{"threads": int, "valid": bool, "whole_ms": float, "operators": list},
}
MOST = 1e9  # milliseconds
FLOOR = 0.02  # of a model's time: what an operator below that takes is mostly noise

Profile = Mapping[str, Any]  # what `edgecv profile --per-op` writes


def read(path: Path) -> Profile:
    """A profile by operator. Raises RunFolderError when the file holds none."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        wrong = [key for key, kind in NEEDED.items() if type(found.get(key)) is not kind]
        times = [each["ms"] for each in found["operators"] if "ms" in each and _cost(each)]
        timed = 0 < sum(times) < MOST and min(times) >= 0 and 0 < found["whole_ms"] < MOST
    except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
        raise RunFolderError(f"{path}: not a readable profile by operator: {error}") from error
    if wrong or not timed:
        what = f"keys missing or wrong: {', '.join(wrong)}" if wrong else "nothing was measured"
        raise RunFolderError(f"{path}: {what}; see edgecv profile --per-op")
    return dict(found)


def usable(profiles: Iterable[Profile], device: str, scheme: str) -> list[Profile]:
    """Those that were measured of the scheme on that device, valid, the last of each model.

    All have the runtime and the threads that most have: what differs in them does not compare.
    """
    found = {
        (each["runtime"], each["threads"], each["model_sha256"]): each
        for each in profiles
        if (each["device"], each["scheme"], each["origin"]) == (device, scheme, "measured")
        and each["valid"]
    }
    most = Counter(key[:2] for key in found).most_common(1)
    return [each for key, each in found.items() if key[:2] == most[0][0]]


def model(profiles: Sequence[Profile], published: LatencyModel | None) -> LatencyModel:
    """Rates from what `usable` left; kinds that were not measured get the published ones.

    Those are scaled to the board's pace on the kinds that were.
    """
    first = profiles[0]
    count = f"{len(profiles)} model{'s' * (len(profiles) > 1)}"
    return LatencyModel(
        board=first["device"],
        scheme=first["scheme"],
        runtime=first["runtime"],
        threads=first["threads"],
        rates=_rates(profiles, published),
        error=_error(profiles, published),
        source=f"operators of {count}, measured there",
    )


def _rates(profiles: Sequence[Profile], published: LatencyModel | None) -> Rates:
    samples = [sample for each in profiles for sample in _samples(each)]
    floor = FLOOR * median(each["whole_ms"] for each in profiles)
    found = rates.fit(samples, floor_ms=floor)
    seen = {cost.kind for sample in samples for cost in sample.costs}
    if published:
        costs = [cost for sample in samples for cost in sample.costs]
        paper = rates.milliseconds(published.rates, costs)
        pace = sum(sample.ms for sample in samples) / paper if paper else published.ratio
        for kind in set(published.rates) - seen:
            found[kind] = {name: rate * pace for name, rate in published.rates[kind].items()}
    return {kind: found[kind] for kind in KINDS if kind in found}


def _samples(profile: Profile) -> list[Sample]:
    """An operator each, at its part of the whole model's time, what is between them shared out."""
    rows = [each for each in profile["operators"] if each.get("ms", 0) > 0]
    pace = profile["whole_ms"] / sum(each["ms"] for each in rows)
    return [Sample([_cost(each)], each["ms"] * pace) for each in rows]


def _cost(row: Mapping[str, Any]) -> Cost:
    return Cost(row["kind"], 1, *(int(row[name]) for name in QUANTITIES[1:]))


def _error(profiles: Sequence[Profile], published: LatencyModel | None) -> Error | None:
    """On each whole model, of rates from the others."""
    if len(profiles) < 2:
        return None
    errors = []
    for index, each in enumerate(profiles):
        others = [*profiles[:index], *profiles[index + 1 :]]
        costs = [_cost(row) for row in each["operators"]]
        estimated = rates.milliseconds(_rates(others, published), costs)
        errors.append(abs(estimated / each["whole_ms"] - 1))
    return Error(len(profiles), round(median(errors), 4), round(max(errors), 4))
