"""Damaged files before the planner and the reader of packages: figures or one line, never a crash.

A damaged file is one of test_fuzz's: bytes flipped, lost or added, lengths and offsets made absurd;
or a sound FlatBuffer whose model is not.
"""

import json
from collections import Counter

import pytest

from edgecv.coral import package
from edgecv.coral.planner import plan
from edgecv.errors import UnsupportedModelError
from edgecv.tflite import flatbuffer
from tests import made_packages
from tests.coral_models import classifier
from tests.foreign_files import flattened, moved_outside, opened
from tests.test_coral_plan import REFUSED, around
from tests.test_fuzz import SECONDS, at_most, misled, mutated

FILES = 20_000
FEW = 300
NAME = "mutated.tflite"


def outcome(work, data):
    """`answered`, or `refused` in one line."""
    try:
        json.dumps(work(flatbuffer.parse(data, NAME), NAME))
    except UnsupportedModelError as error:
        assert str(error).startswith(f"{NAME}: ")
        assert "\n" not in str(error)
        return "refused"
    return "answered"


def outcomes(work, files):
    """How often each outcome was, of (seed, function that makes a file)."""
    found = Counter()
    for seed, made in files:
        with at_most(SECONDS):
            try:
                found[outcome(work, made(seed))] += 1
            except Exception as error:
                raise AssertionError(f"seed {seed} of {made.__name__}") from error
    assert min(found["answered"], found["refused"]) > 0.1 * found.total()
    return found.total()


def planned(model, name):
    found = plan(model, name)
    assert found.exit_code in (0, 3, 4)
    return found.to_dict()


def test_some_damaged_models_of_other_tools_are_planned_or_refused():
    """With an open batch, with shapes worked out at run time, with constants outside."""
    opens = flatbuffer.serialized(flattened())
    sources = [opens, moved_outside(opens), moved_outside(flatbuffer.serialized(classifier()))]

    def damaged(seed):
        change = misled if seed % 2 else mutated
        return change(sources[seed % len(sources)], seed)

    assert outcomes(planned, ((seed, damaged) for seed in range(FEW))) == FEW


@pytest.mark.slow
def test_twenty_thousand_damaged_models_are_planned_or_refused():
    others = [opened(classifier()), opened(flattened())]
    models = [classifier(), *others, *(around(add) for pair in REFUSED.values() for add in pair)]
    sources = [data for each in models if len(data := flatbuffer.serialized(each)) < 8000]
    sources.append(moved_outside(sources[0]))

    def damaged(seed):
        change = misled if seed % 4 == 0 else mutated
        return change(sources[seed % len(sources)], seed)

    assert len(sources) > 20
    assert outcomes(planned, ((seed, damaged) for seed in range(FILES))) == FILES


@pytest.mark.slow
def test_twenty_thousand_damaged_compiled_models_are_read_or_refused():
    sound = made_packages.cached(64, scratch=64, cycles=9)
    sources = [
        flatbuffer.serialized(made_packages.compiled(sound, left=left)) for left in ([], ["RELU"])
    ]

    def damaged(seed):
        return mutated(sources[seed % 2], seed)

    whole = made_packages.compiled(sound)

    def damaged_inside(seed):
        """The file around the package is sound."""
        made_packages.put(mutated(sound, seed), whole.subgraphs[0].operators[0])
        return flatbuffer.serialized(whole)

    files = ((seed, damaged_inside if seed % 2 else damaged) for seed in range(FILES))
    assert outcomes(package.summary, files) == FILES
