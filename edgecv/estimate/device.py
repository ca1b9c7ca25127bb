"""The pace of a device: by the user's measurements of it, else by what was published."""

from collections.abc import Sequence

from edgecv.device import description
from edgecv.device.description import Device
from edgecv.errors import RecipeError
from edgecv.estimate import measured, published
from edgecv.estimate.measured import Profile
from edgecv.estimate.model import FILE, SCHEMES, Estimate, LatencyModel, estimate, read
from edgecv.tflite import kinds
from edgecv.tflite.schema import ModelT


def models(device: Device, profiles: Sequence[Profile] = ()) -> list[LatencyModel]:
    """What is known of the device's pace, by scheme.

    Raises RecipeError when it is emulated, or nothing was published or measured of it.
    """
    if device.board.emulated:
        raise RecipeError(f"--device {device.name}: is emulated; no latency can be said of it")
    paper = _published(device)
    found = []
    for scheme in SCHEMES:
        own = measured.usable(profiles, device.name, scheme)
        if own:
            found.append(measured.model(own, paper.get(scheme)))
        elif scheme in paper:
            found.append(paper[scheme])
    if not found:
        known = ", ".join(dict.fromkeys(each.board for each in shipped()))
        spoilt = [each.get("reason", "not valid") for each in profiles if _is_of(each, device)]
        there = f"; {len(spoilt)} measured there, none of use: {spoilt[0]}" if spoilt else ""
        raise RecipeError(
            f"--device {device.name}: no latencies are published for it (there are for: {known})"
            f"{there}; measure a model there: edgecv profile MODEL --device {device.name} --per-op"
        )
    return found


def of_file(
    model: ModelT, scheme: str, device: Device, profiles: Sequence[Profile] = ()
) -> Estimate:
    """What any model, whose numbers are stored as `scheme`, takes on the device.

    Raises RecipeError as `models` does, and where nothing is known of the scheme there.
    """
    known = {pace.scheme: pace for pace in models(device, profiles)}
    if scheme not in known:
        raise RecipeError(
            f"--device {device.name}: no idea how fast {scheme} is there;"
            f" estimates are of {', '.join(known)}"
        )
    return estimate(known[scheme], kinds.costs(model))


def shipped() -> list[LatencyModel]:
    """The models that come with edgecv."""
    return read(published.folder() / FILE)


def _is_of(profile: Profile, device: Device) -> bool:
    return bool(profile["device"] == device.name)


def _published(device: Device) -> dict[str, LatencyModel]:
    """The shipped models of the board that the device is, whatever the user calls it."""
    alike = description.described(device.board.model) if device.board.model else None
    names = {device.name, alike.name if alike else ""}
    return {each.scheme: each for each in shipped() if each.board in names}
